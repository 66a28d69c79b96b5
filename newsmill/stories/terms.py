"""The terms of a text: the words, names and numbers by which documents that tell the same news are recognised.

Weights are whole numbers, so that a similarity is the same on every machine and in every order of summation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from math import log

from newsmill.search import common_bigrams
from newsmill.search.tokens import fold
from newsmill.similarity.near_duplicates import SIGNS, UNSPACED
from newsmill.text import lazy_re as re

MAX_CHARACTERS = 6_000  # of a text: about 1,000 words; the news stands first
MAX_TERMS = 96
MAX_TERM_CHARACTERS = 40
RARE_TERMS = 10  # by which a text is found
LEAD_WORDS = 60
NAME_WEIGHT = 2.0

_WORD = re.compile(rf"[{UNSPACED}]|\d+(?:[.,]\d+)*|(?:(?![\d{UNSPACED}])[\w{SIGNS}])+")
_IDEOGRAPH = re.compile(f"[{UNSPACED}]")
_SENTENCE_END = frozenset('.!?:"“”„»«\n')


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a text with their weights, 1 to 255, the heaviest first."""

    weights: Mapping[str, int]

    @property
    def square(self) -> int:
        """The sum of the squared weights."""
        return sum(weight * weight for weight in self.weights.values())


def find_terms(title: str | None, text: str, language: str | None) -> Terms:
    """The terms of a document, at most MAX_TERMS. Never raises.

    >>> list(find_terms("Bridge in Leipzig closed", "", "en").weights)
    ['leipzig', 'bridge', 'closed', 'leipzig closed']
    """
    counts = defaultdict[str, float](float)
    words = list(_split(f"{title or ''}\n{text[:MAX_CHARACTERS]}"))
    for word, is_name in words:
        counts[word] += NAME_WEIGHT if is_name else 1
    for (one, is_name), (other, is_other_name) in pairwise(words):
        if one and other:
            counts[f"{one} {other}"] += NAME_WEIGHT if is_name and is_other_name else 1
    counts.pop("", None)
    weights = {term: log(1 + count) for term, count in counts.items()}
    heaviest = sorted(weights, key=lambda term: (-weights[term], term))[:MAX_TERMS]
    return Terms({term: min(255, round(40 * weights[term])) for term in heaviest})


def rare_terms(terms: Terms, count: int = RARE_TERMS) -> list[int]:
    """The keys of the heaviest terms. Two texts that tell the same news share at least one."""
    return [int.from_bytes(blake2b(term.encode(), digest_size=6).digest()) for term in list(terms.weights)[:count]]


def pack(terms: Terms, language: str | None) -> bytes:
    """The terms as bytes for one column."""
    return "\n".join((language or "", *terms.weights)).encode() + b"\0" + bytes(terms.weights.values())


def unpack(packed: bytes) -> tuple[str | None, Terms]:
    """The language and the terms that `pack` wrote."""
    words, _, weights = packed.partition(b"\0")
    language, *terms = words.decode().split("\n")
    return language or None, Terms(dict(zip(terms, weights, strict=True)))


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """Each word, folded, and whether its capital inside a sentence shows a name. A common word is "": no term, but a gap."""
    common, end = _common_words(), 0
    for match in _WORD.finditer(text):
        word = match[0]
        folded = fold(word)[:MAX_TERM_CHARACTERS].strip()
        before = text[end : match.start()].strip(" ")
        is_name = word[0].isupper() and end > 0 and before[-1:] not in _SENTENCE_END
        end = match.end()
        if folded in common or (len(folded) < 2 and not _IDEOGRAPH.fullmatch(folded)):
            yield "", False
            continue
        if len(folded) > 4 and folded.endswith("s") and not folded.endswith("ss"):
            folded = folded[:-1]
        yield folded, is_name


@cache
def _common_words() -> frozenset[str]:
    return frozenset((*common_bigrams.ENGLISH.split(), *common_bigrams.OTHER_LANGUAGES.split()))

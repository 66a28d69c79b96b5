"""The terms of a text: the words, names and numbers by which documents that tell the same news are recognised.

No table of word frequencies is needed: the commonest words are left out, and a term counts for more where it is a name. Weights are whole
numbers, so sums of them are the same on every machine and in every order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b
from itertools import pairwise
from math import log

from newsmill.search import common_bigrams
from newsmill.search.tokens import fold
from newsmill.similarity.near_duplicates import SIGNS, UNSPACED
from newsmill.text import lazy_re as re

TERMS_VERSION = 3  # of packed terms, their similarity and the weights of clusters: after a change all stories are decided again
MAX_CHARACTERS = 10_000  # of a text, about 1,700 words
MAX_TERMS = 128
MAX_TERM_CHARACTERS = 40
RARE_TERMS = 10  # by which a text is found
LEAD_WORDS = 60  # of a text; its title belongs to the lead as well
NAME_WEIGHT = 2
WEIGHT_SCALE = 60  # a name that a text has sixty times still fits into a byte

_LEAD, _NAME = 1, 2  # flags of a packed term
_WORD = re.compile(rf"[{UNSPACED}]+|\d+(?:[.,]\d+)*|(?:(?![\d_{UNSPACED}])[\w{SIGNS}])+")
_ANY_UNSPACED = re.compile(f"[{UNSPACED}]")
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,35}")
_YEAR = re.compile(r"(?:19|20)\d\d")
_SENTENCE_ENDS = frozenset('.!?:"“”„»«\n')


@dataclass(frozen=True)
class Terms:
    """The terms of a text with their weights, 1 to 255. `lead`, `names`: the words of the lead, and the names among them."""

    weights: Mapping[str, int]
    lead: frozenset[str]
    names: frozenset[str]

    @cached_property
    def square(self) -> int:
        """The sum of the squared weights."""
        return sum(weight * weight for weight in self.weights.values())

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The numbers in the text."""
        return frozenset(term for term in self.weights if term[0].isdigit() and " " not in term)

    @cached_property
    def years(self) -> frozenset[str]:
        """The years that the text names."""
        return frozenset(filter(_YEAR.fullmatch, self.numbers))


def find_terms(title: str | None, text: str, language: str | None) -> Terms:
    """The terms of a document, at most MAX_TERMS: the words of its lead, and the heaviest of the others. Never raises.

    >>> found = find_terms("Bridge closed", "A bridge in Leipzig was closed for 3 days.", "en")
    >>> list(found.weights), sorted(found.names)
    (['bridge', 'closed', 'leipzig', '3', '3 days', 'bridge closed', 'days'], ['leipzig'])
    """
    heading, body = list(_split(title or "")), list(_split(text[:MAX_CHARACTERS]))
    capitals = Counter(word for word, is_capital, _ in body or heading if is_capital)
    small = Counter(word for word, is_capital, _ in body or heading if not is_capital)
    names = {word for word, count in capitals.items() if count >= small[word]}
    words = [word for word, *_ in (*heading, ("", False, ""), *body)]
    counts = Counter(words)
    counts.update(f"{one} {other}" for one, other in pairwise(words) if one and other)
    del counts[""]
    weights = {
        term: min(255, round(WEIGHT_SCALE * log(1 + count * (NAME_WEIGHT if names.issuperset(term.split(" ")) else 1))))
        for term, count in counts.items()
    }
    lead = {word for word, *_ in (*heading, *body[:LEAD_WORDS]) if word}
    ranked = sorted(weights, key=lambda term: (term not in lead, -weights[term], term))[:MAX_TERMS]
    heaviest = sorted(ranked, key=lambda term: (-weights[term], term))
    kept = lead.intersection(heaviest)
    return Terms({term: weights[term] for term in heaviest}, frozenset(kept), frozenset(kept & names))


def rare_terms(terms: Terms, count: int = RARE_TERMS) -> list[int]:
    """The keys by which a text is found: its heaviest terms, names and pairs of words first. A key fits into a signed 64-bit column."""
    ranked = sorted(terms.weights, key=lambda term: (-terms.weights[term] * (1.5 if " " in term or term in terms.names else 1), term))
    return [int.from_bytes(blake2b(term.encode(), digest_size=6).digest()) for term in ranked[:count]]


def pack(terms: Terms, language: str | None, site: str | None = None) -> bytes:
    """The terms as bytes for one column, with the registered domain of their page. A language that is no tag of a language is left out."""
    flags = bytes(_LEAD * (term in terms.lead) + _NAME * (term in terms.names) for term in terms.weights)
    known = language if language is not None and _LANGUAGE.fullmatch(language) else ""
    return "\n".join((f"{known} {site or ''}", *terms.weights)).encode() + b"\0" + bytes(terms.weights.values()) + flags


def unpack(packed: bytes) -> tuple[str | None, Terms, str | None]:
    """The language, the terms and the registered domain that `pack` wrote."""
    words, _, numbers = packed.partition(b"\0")
    head, *terms = words.decode().split("\n")
    language, _, site = head.partition(" ")
    flags = dict(zip(terms, numbers[len(terms) :], strict=True))
    lead, names = (frozenset(term for term, flag in flags.items() if flag & mask) for mask in (_LEAD, _NAME))
    return language or None, Terms(dict(zip(terms, numbers[: len(terms)], strict=True)), lead, names), site or None


def find_spellings(words: Set[str], text: str) -> dict[str, str]:
    """How a text first writes the words of its terms. A word that it does not have is left out.

    >>> find_spellings({"street", "aceh"}, "The streets of Aceh, each street")
    {'street': 'streets', 'aceh': 'Aceh'}
    """
    found: dict[str, str] = {}
    for word, _, written in _split(text[:MAX_CHARACTERS]):
        if word in words:
            found.setdefault(word, written)
    return found


def _split(text: str) -> Iterator[tuple[str, bool, str]]:
    """Each word, folded, whether it has a capital inside a sentence, and as it is written. A common word is "": no term, but a
    gap between others.

    In scripts without spaces between words, every two neighbouring characters are a word.
    """
    common, end = _common_words(), 0
    for match in _WORD.finditer(text):
        word, before, is_first = match[0], text[end : match.start()].rstrip(" "), not end
        end = match.end()
        if _ANY_UNSPACED.match(word):
            yield from ((fold(one + other), False, one + other) for one, other in pairwise(word))
            continue
        folded = fold(word)[:MAX_TERM_CHARACTERS]
        if folded in common or (len(folded) < 2 and not folded.isdigit()):
            yield "", False, word
            continue
        if len(folded) > 4 and folded.endswith("s") and not folded.endswith("ss"):
            folded = folded[:-1]
        yield folded, word[0].isupper() and not is_first and before[-1:] not in _SENTENCE_ENDS, word


@cache
def _common_words() -> frozenset[str]:
    return frozenset((*common_bigrams.ENGLISH.split(), *common_bigrams.OTHER_LANGUAGES.split()))

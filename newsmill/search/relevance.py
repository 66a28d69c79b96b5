"""The relevance of a match: BM25 over title, lead and text, how close the words stand, and a mild preference for recent documents. Pure.

Both databases keep the words of each document as short codes in their order (`encode_words`), so both give the same score. A document of
400 words takes 1.2 kB and is scored in some 10 µs. Neither `bm25()` of FTS5 nor `ts_rank` is used: the first counts every document of each
word, 50 ms for a common one at a million documents, and the second knows no rarity.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log
from zlib import crc32

MAX_CODED_WORDS = 4000  # of one document: ten long articles, 12 kB
MAX_CODED_TITLE_WORDS = 100
MAX_CODED_LEAD_WORDS = 400

# Chosen with benchmarks/ranking.py, where other values near these change nDCG@10 by less than 0.01.
SATURATION = 1.8  # k1: each further occurrence counts less
LENGTH_SHARE = 0.6  # b: by how much the words of a long text count less
TITLE_WEIGHT = 5.0  # an occurrence in the title counts like five in the text
LEAD_WEIGHT = 1.6
FORM_WEIGHT = 0.2  # an occurrence in another form than typed
PROXIMITY_WEIGHT = 0.1  # of words side by side, as a share of one word's weight
MAX_PROXIMITY_WORDS = 10  # words farther apart than this do not count as close
AGE_PREFERENCE = 0.2  # a document of today scores a fifth more than a very old one
AGE_DAYS = 30  # at this age half of the preference is left

SCORE_SCALE = 1_000_000  # scores and weights are whole millionths, so that a cursor holds exactly what was compared

_CODE_BYTES = 3  # two of a million different words share a code
_HEADER = struct.Struct("<HHI")  # coded words of the title and of the lead, and all words of the document
_PART_GAP = MAX_PROXIMITY_WORDS + 1  # no two words of different parts are close


def encode_words(title: Sequence[str], lead: Sequence[str], body: Sequence[str]) -> bytes:
    """The words of a document in their order, in the form that `score_match` reads."""
    title, lead, total = title[:MAX_CODED_TITLE_WORDS], lead[:MAX_CODED_LEAD_WORDS], len(title) + len(lead) + len(body)
    words = [*title, *lead, *body][:MAX_CODED_WORDS]
    return _HEADER.pack(len(title), len(lead), total) + encode_phrase(words)


def encode_phrase(words: Sequence[str]) -> bytes:
    """The codes of adjacent words.

    >>> encode_phrase(["old", "harbour"]) in encode_words([], ["the", "old", "harbour"], [])
    True
    """
    return b"".join((crc32(word.encode("utf-8", "replace")) & 0xFFFFFF).to_bytes(_CODE_BYTES, "little") for word in words)


@dataclass(frozen=True, slots=True)
class RankedTerm:
    """A word or phrase of the query. `forms`: by lemmatizer, the codes of its other forms in documents of that language."""

    label: str
    codes: tuple[bytes, ...]  # as typed; several for the words that a beginning stands for
    forms: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    is_title_only: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the scores of a query depend on besides the documents. Weights are in millionths, one for each term."""

    terms: tuple[RankedTerm, ...]
    weights: tuple[int, ...]
    mean_words: int  # of a document


@dataclass(frozen=True, slots=True)
class TermScore:
    """What one word or phrase adds to a score: its rarity, and how often the document has it, in other forms too."""

    term: str
    weight: float
    title: int
    lead: int
    text: int
    score: float


@dataclass(frozen=True, slots=True)
class MatchScore:
    """A score and its parts: (sum of the terms + proximity) · recency."""

    score: float
    terms: tuple[TermScore, ...]
    proximity: float  # for words of the query close together
    recency: float  # 1 for old and undated documents, up to 1.2 for those of today
    words: int  # of the document


def weigh_term(found: int, documents: int) -> int:
    """The weight of a word that `found` of `documents` have, in millionths.

    >>> weigh_term(500, 1000) < weigh_term(50, 1000) < weigh_term(0, 1000)
    True
    """
    return round(SCORE_SCALE * log(1 + (documents - found + 0.5) / (found + 0.5)))


def recency(age_days: float | None) -> float:
    """The factor for a document's age; None: it has no date.

    >>> recency(0), recency(30), recency(None)
    (1.2, 1.1, 1.0)
    """
    return 1.0 if age_days is None else 1 + AGE_PREFERENCE / (1 + max(0.0, age_days) / AGE_DAYS)


def explain_match(ranking: Ranking, coded: bytes | None, lemmatizer: str, age_days: float | None) -> MatchScore:
    """The score of a match with its parts. `coded` None: the words of the document are not known yet, each term counts once in the text."""
    words, hits = _find_hits(ranking, coded, lemmatizer)
    length = 1 - LENGTH_SHARE + LENGTH_SHARE * words / max(1, ranking.mean_words)
    terms = []
    for term, weight, found in zip(ranking.terms, ranking.weights, hits, strict=True):
        title, lead, text = found.counts
        frequency = TITLE_WEIGHT * title + (LEAD_WEIGHT * lead + text) / length
        score = weight / SCORE_SCALE * frequency * (SATURATION + 1) / (frequency + SATURATION)
        terms.append(TermScore(term.label, weight / SCORE_SCALE, found.numbers[0], found.numbers[1], found.numbers[2], score))
    proximity, factor = _score_proximity(ranking.weights, [found.places for found in hits]), recency(age_days)
    return MatchScore((sum(term.score for term in terms) + proximity) * factor, tuple(terms), proximity, factor, words)


def score_match(ranking: Ranking, coded: bytes | None, lemmatizer: str, age_days: float | None) -> int:
    """The score of a match, in millionths."""
    return round(SCORE_SCALE * explain_match(ranking, coded, lemmatizer, age_days).score)


class _Hits:
    """Where a document has one term."""

    __slots__ = ("counts", "numbers", "places")

    def __init__(self) -> None:
        self.counts = [0.0, 0.0, 0.0]  # in title, lead and text; other forms count less than one
        self.numbers = [0, 0, 0]
        self.places: list[int] = []


def count_words(coded: bytes | None) -> int:
    """The number of words of a document; 0 if it is not known yet."""
    return 0 if coded is None else _HEADER.unpack_from(coded)[2]


def _find_hits(ranking: Ranking, coded: bytes | None, lemmatizer: str) -> tuple[int, list[_Hits]]:
    found = [_Hits() for _ in ranking.terms]
    if coded is None:
        for hits in found:
            hits.counts[2], hits.numbers[2] = 1.0, 1
        return ranking.mean_words, found
    title_words, lead_words, words = _HEADER.unpack_from(coded)
    end_of_lead = title_words + lead_words
    for term, hits in zip(ranking.terms, found, strict=True):
        for codes, weight in ((term.codes, 1.0), (term.forms.get(lemmatizer, ()), FORM_WEIGHT)):
            for code in codes:
                for place in _find_places(coded, code):
                    part = 0 if place < title_words else 1 if place < end_of_lead else 2
                    if part == 0 or not term.is_title_only:
                        hits.counts[part] += weight
                        hits.numbers[part] += 1
                        hits.places.append(place + part * _PART_GAP)
    return words, found


def _find_places(coded: bytes, code: bytes) -> Iterator[int]:
    """The numbers of the words at which a phrase begins."""
    at = coded.find(code, _HEADER.size) if code else -1
    while at >= 0:
        place, rest = divmod(at - _HEADER.size, _CODE_BYTES)
        if rest == 0:
            yield place
        at = coded.find(code, at + 1)


def _score_proximity(weights: Sequence[int], places: Sequence[Sequence[int]]) -> float:
    """For each two neighbouring occurrences of different terms: the more, the fewer words are between them."""
    if len(places) < 2:
        return 0.0
    ordered = sorted((place, number) for number, found in enumerate(places) for place in found)
    closeness = 0.0
    for (first, one), (second, other) in pairwise(ordered):
        if one != other and second - first <= MAX_PROXIMITY_WORDS:
            closeness += min(weights[one], weights[other]) / max(1, second - first) ** 2
    scale = sum(weights) / len(weights)
    return PROXIMITY_WEIGHT * closeness / (scale + closeness) * scale / SCORE_SCALE * (len(places) - 1) if closeness else 0.0

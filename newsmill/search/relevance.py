"""The relevance of a match: BM25 over title, lead and text, how close the words stand, and a mild preference for recent documents. Pure.

Both databases keep the words of each document as short codes in their order (`encode_words`), so both give the same score. A document of
400 words takes 1.2 kB and is scored in some 10 µs. Neither `bm25()` of FTS5 nor `ts_rank` is used: the first counts every document of each
word, 50 ms for a common one at a million documents, and the second knows no rarity.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import log
from typing import NamedTuple
from zlib import crc32

MAX_CODED_WORDS = 4000  # of one document: ten long articles, 12 kB
MAX_CODED_TITLE_WORDS = 100
MAX_CODED_LEAD_WORDS = 400
MAX_CACHED_CODES = 20_000
MAX_OCCURRENCES = 40  # of one form in one document that are counted

# Chosen with benchmarks/ranking.py on the queries that it asks, where first guesses gave 0.02 less and values near these 0.01 to 0.02 less.
SATURATION = 1.8  # k1: each further occurrence counts less
LENGTH_SHARE = 0.6  # b: by how much the words of a long text count less
TITLE_WEIGHT = 5.0  # an occurrence in the title counts like five in the text
LEAD_WEIGHT = 1.6
FORM_WEIGHT = 0.2  # an occurrence in another form than typed
PROXIMITY_WEIGHT = 0.1  # of words side by side, as a share of one word's weight
MAX_PROXIMITY_WORDS = 10  # words farther apart than this do not count as close
AGE_PREFERENCE = 0.2  # a document of today scores a fifth more than a very old one
AGE_DAYS = 30  # at this age half of the preference is left

# A document is about a word that is in its title, in the lead of a text of up to 800 words, or three times in such a text. Measured with
# the publishers' tags of 516 pages as the truth: of the documents tagged with one word, 71% are answers, and of the others that have it,
# 25%; with two or three words, 55% and 6%. The lead weighs more than for the order: with 1.6, 65% and 21%; 46% and 4%.
ANSWER_WORDS = 600  # a length of its own, so that other matches do not decide what a document is about
ANSWER_LEAD_WEIGHT = 3.0
MIN_ANSWER_FREQUENCY = 2.5
ANSWER_SCORE = 10**12  # what answers score more than documents that only mention the words; no other score is as high

SCORE_SCALE = 1_000_000  # scores and weights are whole millionths, so that a cursor holds exactly what was compared

# More forms are looked up in the set of a document's words: 20 µs however many they are, and as long as 28 forms take one after the other.
MAX_SOUGHT_FORMS = 28

_CODE_BYTES = 3  # two of a million different words share a code
_CODES = struct.Struct(32 * f"{_CODE_BYTES}s")
_HEADER = struct.Struct("<HHI")  # coded words of the title and of the lead, and all words of the document
_NO_FORMS: frozenset[bytes] = frozenset()
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
    return b"".join(map(_WORD_CODES.__getitem__, words))


class _WordCodes(dict[str, bytes]):
    """The codes of the words seen last, because a language repeats its words: 2 MB. `lru_cache` takes three times as long."""

    def __missing__(self, word: str) -> bytes:
        if len(self) >= MAX_CACHED_CODES:
            self.clear()
        self[word] = code = (crc32(word.encode("utf-8", "replace")) & 0xFFFFFF).to_bytes(_CODE_BYTES, "little")
        return code


_WORD_CODES = _WordCodes()


@dataclass(frozen=True, slots=True)
class RankedTerm:
    """A word or phrase of the query. `forms`: by lemmatizer, the codes of its other forms in documents of that language."""

    label: str
    codes: tuple[bytes, ...]  # as typed; several for the words that a beginning stands for
    forms: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    is_title_only: bool = False


@dataclass(frozen=True, slots=True)
class Topic:
    """What a document is about that answers a query: all of the terms, or any of them. `parts`: numbers of terms, and topics."""

    parts: tuple[int | Topic, ...]
    is_any: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the scores of a query depend on besides the documents. Weights are in millionths, one for each term."""

    terms: tuple[RankedTerm, ...]
    weights: tuple[int, ...]
    mean_words: int  # of a document
    topic: Topic = Topic(())


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
    is_answer: bool  # the document is about the words; else it only mentions them


class _Found(NamedTuple):
    """How often a document has a term in its title, lead and text, as typed and in other forms, and where."""

    typed: Sequence[int]
    others: Sequence[int]
    places: Sequence[int]

    def total(self) -> tuple[int, int, int]:
        """In any form."""
        (title, lead, text), (other_title, other_lead, other_text) = self.typed, self.others
        return title + other_title, lead + other_lead, text + other_text


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


def score_match(ranking: Ranking, coded: bytes | None, lemmatizer: str, age_days: float | None) -> int:
    """The score of a match, in millionths; ANSWER_SCORE is part of it if the document is about the query.

    `coded` None: the words of the document are not known yet, and each term counts once.
    """
    length, bounds = _measure(ranking, coded)
    found = [_find_term(term, coded, lemmatizer, bounds) for term in ranking.terms]
    total = sum(_score_term(weight, one, length) for weight, one in zip(ranking.weights, found, strict=True))
    proximity = _score_proximity(ranking.weights, found)
    score = round(SCORE_SCALE * (total + proximity) * recency(age_days))
    return score + ANSWER_SCORE if _is_answer(ranking.topic, found, count_words(coded), proximity) else score


def explain_match(ranking: Ranking, coded: bytes | None, lemmatizer: str, age_days: float | None) -> MatchScore:
    """The parts of the score that `score_match` gives."""
    length, bounds = _measure(ranking, coded)
    found = [_find_term(term, coded, lemmatizer, bounds) for term in ranking.terms]
    terms = tuple(
        TermScore(term.label, weight / SCORE_SCALE, *one.total(), _score_term(weight, one, length))
        for term, weight, one in zip(ranking.terms, ranking.weights, found, strict=True)
    )
    proximity, factor = _score_proximity(ranking.weights, found), recency(age_days)
    score = (sum(term.score for term in terms) + proximity) * factor
    return MatchScore(score, terms, proximity, factor, count_words(coded), _is_answer(ranking.topic, found, count_words(coded), proximity))


def count_words(coded: bytes | None) -> int:
    """The number of words of a document; 0 if it is not known yet."""
    return 0 if coded is None else _HEADER.unpack_from(coded)[2]


def _measure(ranking: Ranking, coded: bytes | None) -> tuple[float, tuple[int, int]]:
    """By how much the words of a document count less for its length, and where title and lead end."""
    if coded is None:
        return 1.0, (0, 0)
    title, lead, words = _HEADER.unpack_from(coded)
    return _weigh_length(words, ranking.mean_words), (title, title + lead)


def _weigh_length(words: int, mean_words: int) -> float:
    return 1 - LENGTH_SHARE + LENGTH_SHARE * words / mean_words


def _score_term(weight: int, found: _Found, length: float) -> float:
    (title, lead, text), (other_title, other_lead, other_text), _ = found
    frequency = TITLE_WEIGHT * title + (LEAD_WEIGHT * lead + text) / length
    frequency += FORM_WEIGHT * (TITLE_WEIGHT * other_title + (LEAD_WEIGHT * other_lead + other_text) / length)
    return weight / SCORE_SCALE * frequency * (SATURATION + 1) / (frequency + SATURATION)


def _is_answer(topic: Topic, found: Sequence[_Found], words: int, proximity: float) -> bool:
    """Whether a document is about the words of a query. Of words that are sought together, two stand close together in it.

    Words in any form count, because `Trumps` is about Trump.
    """
    if not topic.parts or (len(topic.parts) > 1 and not topic.is_any and not proximity):
        return False
    length = _weigh_length(words, ANSWER_WORDS)

    def is_about(part: int | Topic) -> bool:
        if isinstance(part, Topic):
            return (any if part.is_any else all)(map(is_about, part.parts))
        title, lead, text = found[part].total()
        return TITLE_WEIGHT * title + (ANSWER_LEAD_WEIGHT * lead + text) / length >= MIN_ANSWER_FREQUENCY

    return is_about(topic)


def _find_term(term: RankedTerm, coded: bytes | None, lemmatizer: str, bounds: tuple[int, int]) -> _Found:
    """The occurrences of a term. One function, because it runs for each match and term."""
    if coded is None:
        return _NOT_KNOWN
    (end_of_title, end_of_lead), places, typed, others = bounds, list[int](), [0, 0, 0], [0, 0, 0]
    forms = term.forms.get(lemmatizer, _NO_FORMS) if term.forms else _NO_FORMS
    if len(forms) > MAX_SOUGHT_FORMS:
        forms &= _split_codes(coded)
    for number, code in enumerate((*term.codes, *forms)):
        counts = typed if number < len(term.codes) else others
        at, found = coded.find(code, _HEADER.size) if code else -1, 0
        while at >= 0 and found < MAX_OCCURRENCES:
            place, rest = divmod(at - _HEADER.size, _CODE_BYTES)
            if rest:  # the end of one code and the beginning of the next
                at = coded.find(code, at + 1)
                continue
            found += 1
            part = 0 if place < end_of_title else 1 if place < end_of_lead else 2
            if part and term.is_title_only:
                break
            counts[part] += 1
            places.append(place + part * _PART_GAP)
            at = coded.find(code, at + _CODE_BYTES)
    return _Found(typed, others, places)


_NOT_KNOWN = _Found((0, 0, 1), (0, 0, 0), ())


def _split_codes(coded: bytes) -> set[bytes]:
    """The codes of a document's words, and one that fills the last block."""
    codes = coded[_HEADER.size :]
    return set(chain.from_iterable(_CODES.iter_unpack(codes + bytes(-len(codes) % _CODES.size))))


def _score_proximity(weights: Sequence[int], found: Sequence[_Found]) -> float:
    """For each two neighbouring occurrences of different terms: the more, the fewer words are between them."""
    if len(found) < 2:
        return 0.0
    ordered = [(place, number) for number, one in enumerate(found) for place in one.places]
    ordered.sort()
    closeness, last, one = 0.0, -_PART_GAP, -1
    for place, other in ordered:
        if other != one and place - last <= MAX_PROXIMITY_WORDS:
            closeness += min(weights[one], weights[other]) / max(1, place - last) ** 2
        last, one = place, other
    if not closeness:
        return 0.0
    scale = sum(weights) / len(weights)
    return PROXIMITY_WEIGHT * closeness / (scale + closeness) * scale / SCORE_SCALE * (len(found) - 1)

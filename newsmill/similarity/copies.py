"""Copies: which texts are copies of one another, which document of a group is the first, and the agency that a document credits. Pure.

Two texts are copies if their similarity is at least MIN_SIMILARITY and their numbers agree. A site's next forecast, table or market report
repeats the words of the last one and changes its numbers, so it is no copy.

Documents are taken in the order in which the store first saw their texts: each joins the earliest anchor of which it is a copy, or becomes
an anchor. So groups depend on the documents only, never on the order in which they are decided. A chain of small changes joins nothing,
because each text is compared with the anchor.

The head of a group stands for it. It is the anchor, because a stranger may state any time of publication. Two things are evidence for
another head: the anchor itself names another member as its original, or its site, or sources that the operator trusts, state an earlier
time (`choose_head`).

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Author
from newsmill.similarity.near_duplicates import (
    MAX_TEXT_CHARACTERS,
    Fingerprint,
    Shingle,
    count_agreeing_points,
    min_agreeing_points,
    shingles,
    similarity,
)
from newsmill.text import lazy_re as re

MIN_SIMILARITY = 0.7  # fingerprints find 92 % of the pairs at 0.7 and 99 % at 0.8; pairs of one event that are rewritten have less than 0.6
MIN_NUMBERS = 3  # with fewer numbers in one of the texts, numbers say nothing
MIN_SHARED_NUMBERS = 0.5  # of the numbers of the text that has fewer
DATELINE_CHARACTERS = 120  # of the text, in which a dateline names its agency

OrderKey = tuple[int, str]  # microseconds of the time when the text was first seen, and the document's ID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class ComparedText:
    """A text with what comparisons need of it, computed once."""

    __slots__ = ("numbers", "shingles", "text")

    def __init__(self, text: str) -> None:
        self.text = text[:MAX_TEXT_CHARACTERS]
        self.shingles: frozenset[Shingle] = shingles(text)
        self.numbers = frozenset(_NUMBER.findall(self.text))

    def is_copy_of(self, other: ComparedText) -> bool:
        """Whether two texts are copies; symmetric."""
        if self.text == other.text:
            return True
        if similarity(self.shingles, other.shingles) < MIN_SIMILARITY:
            return False
        fewer = min(len(self.numbers), len(other.numbers))
        return fewer < MIN_NUMBERS or len(self.numbers & other.numbers) >= MIN_SHARED_NUMBERS * fewer


def may_be_copies(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two fingerprints are so similar that their texts are compared: a common band, and enough points."""
    return any(a == b for a, b in zip(one, other, strict=True)) and count_agreeing_points(one, other) >= min_agreeing_points(MIN_SIMILARITY)


@dataclass(frozen=True, slots=True)
class Member:
    """A document of a group. `stated_at`: its time by its own date. `site`: its registered domain."""

    id: str
    site: str | None
    stated_at: datetime
    is_trusted: bool = False  # the operator trusts its source


def choose_head(members: Sequence[Member], find_named: Callable[[str], Iterable[str]] = lambda member: ()) -> str:
    """The ID of the document that stands for a group. `members`: in the order of `OrderKey`, so the anchor is the first one.

    A document gives way to the member that it names as its original: `find_named` returns the IDs that a document names. Times that two
    documents state are compared if both are of one site, or of sources that the operator trusts.

    >>> noon, year = datetime(2026, 11, 30, 12), datetime(2019, 1, 1)
    >>> anchor, copy, update = Member("a", "paper.example", noon), Member("b", "copy.example", year), Member("c", "paper.example", year)
    >>> choose_head([anchor, copy]), choose_head([anchor, update]), choose_head([copy, anchor], lambda one: {"b": "a"}.get(one, ()))
    ('a', 'c', 'a')
    """
    by_id, head = {member.id: member for member in members}, members[0]
    passed = {head.id}
    while (original := next(filter(by_id.__contains__, find_named(head.id)), None)) is not None:
        if original in passed:  # they name one another, which says nothing
            head = members[0]
            break
        passed.add(original)
        head = by_id[original]
    comparable = [one for one in members if one is head or one.site == head.site is not None or (one.is_trusted and head.is_trusted)]
    return min(comparable, key=lambda member: member.stated_at).id


def order_key(text_seen_at: datetime, document_id: str) -> OrderKey:
    """The place of a document in the order that makes the text that was seen first the anchor of its group."""
    return (text_seen_at - _EPOCH) // timedelta(microseconds=1), document_id


def find_wire_agency(text: str, authors: Sequence[Author]) -> str | None:
    """The news agency that a document credits as an author or in the dateline at its beginning, as it is written there.

    >>> find_wire_agency("BERLIN (dpa/lnw) - The city builds a bridge.", ())
    'dpa'
    """
    for author in authors:
        if (named := _agency_pattern().fullmatch(author.name)) is not None:
            return named["agency"]
    dateline = _dateline_pattern().match(text[:DATELINE_CHARACTERS])
    return None if dateline is None else dateline["agency"]


@cache
def _agency_pattern() -> re.Pattern[str]:
    return re.compile(rf"(?:from |by )?(?P<agency>{build_alternation('agency')})", re.IGNORECASE)


@cache
def _dateline_pattern() -> re.Pattern[str]:
    """A place, perhaps a date, the agency in brackets and a dash: "PARIS, June 3 (AP) —"; the place may be missing."""
    agency = rf"(?P<agency>{build_alternation('agency')})"
    return re.compile(rf"(?:[^\W\d_][^\n(:.!?]{{0,60}})?\s?\({agency}(?:[/,\- ][^)\n]{{0,20}})?\)\s?[-–—:]", re.IGNORECASE)

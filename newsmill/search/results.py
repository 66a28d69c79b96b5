"""The results of a search: hits, a page of them, and the documents before and behind one of them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from newsmill.model import Document
from newsmill.search.parsed_query import QueryNote, Remedy

MAX_TOTAL = 10_000  # counted exactly for a page of results; counting more costs more than finding the page

FIRST_PAGE = "first"  # in the place of a cursor, where None means that the page is unknown

Order = Literal["relevance", "newest"]
Step = Literal["hour", "day"]
Snippet = tuple[tuple[str, bool], ...]  # pieces of text, and whether the piece matches the query
FindPage = Callable[[str | None, int], tuple[list[str], str | None]]  # (cursor, size) → the ids of a page, and the cursor of the next one


@dataclass(frozen=True, slots=True)
class Hit:
    """A matching document, as a list of results shows it."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    section: str | None
    image: str | None
    published_at: datetime | None
    published_precision: str | None  # second, minute, day
    first_seen_at: datetime
    authors: tuple[str, ...]
    word_count: int
    is_free: bool | None
    doubtful: bool
    title_snippet: Snippet  # the whole title; empty without one
    snippet: Snippet
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SearchResults:
    """One page of hits."""

    hits: tuple[Hit, ...]
    cursor: str | None  # of the next page; None on the last
    total: int | None  # None: more than MAX_TOTAL match, or counting takes too long
    # Not None: a longer search would have exceeded its time limit. The page is short, possibly empty. Everything down to
    # this time was searched, and the cursor continues with older documents.
    reached: datetime | None = None
    notes: tuple[QueryNote, ...] = ()  # what is wrong with the query
    remedies: tuple[Remedy, ...] = ()  # where nothing is found: what may help
    suggestion: str | None = None  # where nothing is found: the query with a word of the index in place of a similar one


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A document of a list of results."""

    id: str
    cursor: str | None  # of its page; None: the first
    previous: str | None = None  # the cursor of the page before that, or FIRST_PAGE; None: unknown


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The documents before and behind one in a list of results."""

    previous: Neighbour | None = None
    next: Neighbour | None = None
    cursor: str | None = None  # of the page that the document itself is on
    previous_page: str | None = None  # before that one, as in Neighbour


@dataclass(frozen=True, slots=True)
class StoredHit:
    """A document from `iterate`; the cursor continues after it."""

    document: Document
    stored_at: datetime
    cursor: str


def find_neighbours(find: FindPage, document_id: str, cursor: str | None, previous: str | None, size: int) -> Neighbours:
    """The neighbours of a document on the page with this cursor, or on the page after it; see `Search.neighbours`."""
    ids, following = find(cursor, size)
    if document_id not in ids and following is not None:
        previous, cursor = cursor or FIRST_PAGE, following
        ids, following = find(cursor, size)
    if document_id not in ids:
        return Neighbours()
    at, before, behind = ids.index(document_id), None, None
    if at:
        before = Neighbour(ids[at - 1], cursor, previous)
    elif previous is not None:
        page = None if previous == FIRST_PAGE else previous
        before = next((Neighbour(last, page) for last in find(page, size)[0][-1:]), None)
    if at + 1 < len(ids):
        behind = Neighbour(ids[at + 1], cursor, previous)
    elif following is not None:
        behind = next((Neighbour(first, following, cursor or FIRST_PAGE) for first in find(following, 1)[0]), None)
    return Neighbours(before, behind, cursor, previous)

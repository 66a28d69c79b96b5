"""The results of a search."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from newsmill.model import Document
from newsmill.search.query_nodes import Remedy
from newsmill.search.query_notes import QueryNote

MAX_TOTAL = 10_000  # counted exactly for a page of results; counting more costs more than finding the page

FIRST_PAGE = "first"  # in the place of a cursor, where None means that the page is unknown

Order = Literal["relevance", "newest"]
Step = Literal["hour", "day"]
Snippet = tuple[tuple[str, bool], ...]  # pieces of text, and whether the piece matches the query


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

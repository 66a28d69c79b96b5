"""The results of a search: hits, a page of them, and the documents before and behind one of them.

The title and the snippet of a hit highlight the words of the query: the same words and forms that the index matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from newsmill.model import Author, AuthorType, Document, is_doubtful
from newsmill.model.document_fields import Use, list_fields
from newsmill.search.form_table import Forms
from newsmill.search.highlights import Highlighter, Snippet
from newsmill.search.parsed_query import Remedy, Terms
from newsmill.search.positions import IndexPosition
from newsmill.search.query_notes import QueryNote
from newsmill.search.relevance import MatchScore
from newsmill.search.snippets import SEARCHED_CHARACTERS, build_snippet
from newsmill.search.word_forms import lemmatizer_of
from newsmill.storage.schema import documents

MAX_TOTAL = 10_000  # counted exactly for a page of results; counting more costs more than finding the page

FIRST_PAGE = "first"  # in the place of a cursor, where None means that the page is unknown

Order = Literal["relevance", "newest"]
Step = Literal["hour", "day"]
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
    authors: tuple[Author, ...]
    word_count: int
    is_free: bool | None
    doubtful: bool
    title_snippet: Snippet  # the whole title; empty without one
    snippet: Snippet
    gone_at: datetime | None = None
    score: MatchScore | None = None  # where a search was asked to explain the order
    copies: int = 0  # other matches of its group of copies, for which it stands
    is_answer: bool | None = None  # False: the document only mentions the words of the query; None: it was not scored


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
    answers: int | None = None  # the matches that are about the query; None: not all were scored


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


_HIT_FIELDS = tuple(name for name in list_fields(Use.HIT) if name not in ("authors", "doubtful"))  # those two need a conversion
_HIT_ROWS = select(
    *(documents.c[name] for name in (*_HIT_FIELDS, "confidence", "authors")),
    func.substr(documents.c.text, 1, SEARCHED_CHARACTERS).label("text"),
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


def load_hits(conn: Connection, positions: Sequence[IndexPosition], terms: Sequence[Terms], forms: Forms) -> tuple[Hit, ...]:
    """The documents of some positions, in this order, without those that were deleted meanwhile."""
    ids = [position[1] for position in positions]
    rows = {row["id"]: row for row in conn.execute(_HIT_ROWS, {"b_ids": ids}).mappings().all()} if ids else {}
    return tuple(_build_hit(rows[position[1]], terms, forms) for position in positions if position[1] in rows)


def _build_hit(row: RowMapping, terms: Sequence[Terms], forms: Forms) -> Hit:
    highlighter = Highlighter(terms, forms, lemmatizer_of(row["language"]))
    fields: dict[str, Any] = {name: row[name] for name in _HIT_FIELDS}
    authors = tuple(Author(author["name"], AuthorType(author["type"])) for author in row["authors"])
    return Hit(
        **fields,
        authors=authors,
        doubtful=is_doubtful(row["confidence"]),
        title_snippet=highlighter.mark(row["title"] or "", is_title=True),
        snippet=build_snippet(row["text"], highlighter),
    )

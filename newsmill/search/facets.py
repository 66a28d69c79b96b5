"""Facets: the values of matching documents, counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from sqlalchemy import Connection, Engine

from newsmill.search.backend import Backend, StatementTimeoutError
from newsmill.search.connections import backend_of, read_connection
from newsmill.search.folding import fold_copies
from newsmill.search.index_query import IndexQuery, prepare_query
from newsmill.search.parsed_query import span_of_query
from newsmill.search.positions import MAX_POSITION, MIN_POSITION, IndexPosition, Span
from newsmill.search.query import parse_query
from newsmill.search.tokens import fold

FACET_MATCHES = 2_000  # the newest matches, whose values are counted: 12 ms on SQLite at a million documents
MAX_FACET_VALUES = 10  # shown of each facet

FacetName = Literal["language", "source", "section", "author", "type", "site"]
FACETS: tuple[FacetName, ...] = ("language", "source", "section", "author", "type", "site")
FACET_FIELDS: Mapping[FacetName, str] = {**{name: name for name in FACETS}, "language": "lang"}  # the filter of the query language

_WHOLE = ("section", "author")  # filters that compare single words unless written with "="
_PLAIN = re.compile(r"[\w.@][\w.@-]*")
_QUOTES = re.compile('["“”„\0]')


@dataclass(frozen=True, slots=True)
class FacetCount:
    """One value of a facet."""

    value: str  # in the spelling that most documents have
    n: int
    filter: str | None  # what added to the query selects these documents; None where a query cannot express the value


@dataclass(frozen=True, slots=True)
class Facets:
    """The most frequent values of each facet, largest count first."""

    values: Mapping[FacetName, tuple[FacetCount, ...]]
    counted: int  # matches whose values were counted
    is_complete: bool  # all matches were counted, so each count is exact; otherwise each is "at least"


def count_facets(
    engine: Engine,
    query: str = "",
    *,
    user: str = "",
    limit: int = MAX_FACET_VALUES,
    matches: int = FACET_MATCHES,
    seconds: float | None = None,
    without_copies: bool = False,
) -> Facets:
    """The facets of a query: `limit` values of each, counted among the newest `matches` for at most `seconds` (None: as long as needed).

    `user`: whose marks the query is about. `without_copies`: of a group of copies, one match is counted. Raises ServiceError.
    """
    parsed, backend = parse_query(query, user=user), backend_of(engine)
    with read_connection(engine) as conn:
        index_query, span = prepare_query(conn, backend, parsed.node), span_of_query(parsed)
        until = inf if seconds is None else index_query.deadline(seconds)
        rows, is_complete = _newest_rows(index_query, span, matches, until)
        if without_copies:
            matches_read = [(row.moment, row.document_id) for row in rows]
            complete = span if is_complete else span.intersect(matches_read[-1]) if rows else Span(MAX_POSITION)
            grouped = [(row.moment, row.document_id) for row in rows if row.copy_group is not None]
            kept = fold_copies(index_query, span, grouped, complete, matches_read)
            rows = [row for row in rows if row.copy_group is None or (row.moment, row.document_id) in kept]
    return Facets(dict(_count_values(rows, limit)), len(rows), is_complete)


def count_newest_values(conn: Connection, backend: Backend, limit: int, seconds: float) -> Mapping[FacetName, tuple[FacetCount, ...]]:
    """`limit` values of each facet, counted among the newest FACET_MATCHES documents. Raises StatementTimeoutError."""
    return dict(_count_values(backend.newest_facets(conn, None, Span(), FACET_MATCHES, seconds), limit))


def _newest_rows(index_query: IndexQuery, span: Span, limit: int, until: float) -> tuple[list[Any], bool]:
    """The facet values of the newest matches, and whether these are all."""
    rows: list[Any] = []

    def newest(chunk: Span, limit: int, seconds: float | None) -> list[IndexPosition]:
        found = index_query.newest_facets(chunk, limit, seconds)
        rows.extend(found)
        return [(row.moment, row.document_id) for row in found]

    try:
        scanned = index_query.scan_newest(span, limit + 1, enough=limit + 1, until=until, newest=newest)
    except StatementTimeoutError:  # of the first chunk
        return [], False
    return rows[:limit], scanned.lower == MIN_POSITION and len(rows) <= limit


def _count_values(rows: Sequence[Any], limit: int) -> Iterator[tuple[FacetName, tuple[FacetCount, ...]]]:
    columns: dict[str, Counter[str | None]] = {
        name: Counter(getattr(row, name) for row in rows) for name in ("language", "source", "section", "authors", "type", "site")
    }
    authors: Counter[str | None] = Counter()
    for names, n in columns["authors"].items():
        for name in (names or "").split("\n"):
            authors[name] += n
    for facet in FACETS:
        counts = authors if facet == "author" else columns[facet]
        folded = add_subdomains(_merge_spellings(counts)) if facet == "site" else _merge_spellings(counts)
        ranked = sorted(folded.values(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        yield facet, tuple(FacetCount(value, n, format_filter(facet, value)) for value, n in ranked)


def _merge_spellings(counts: Mapping[str | None, int]) -> dict[str, tuple[str, int]]:
    """Folded value → its most frequent spelling, and the count of all its spellings."""
    merged: dict[str, tuple[str, int]] = {}
    for value, n in sorted(((value, n) for value, n in counts.items() if value), key=lambda pair: (-pair[1], pair[0])):
        folded = fold(value)
        spelling, before = merged.get(folded, (value, 0))
        merged[folded] = (spelling, before + n)
    return merged


def add_subdomains(counts: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """The counts of hosts, each with the hosts below it, because `site:` matches these too.

    >>> add_subdomains({"bbc.co.uk": ("bbc.co.uk", 2), "news.bbc.co.uk": ("news.bbc.co.uk", 3)})["bbc.co.uk"]
    ('bbc.co.uk', 5)
    """
    totals = dict(counts)
    for host, (_, n) in counts.items():
        parent = host.partition(".")[2]
        while parent:
            if parent in totals:
                totals[parent] = (totals[parent][0], totals[parent][1] + n)
            parent = parent.partition(".")[2]
    return totals


def format_filter(facet: FacetName, value: str) -> str | None:
    """The filter that selects the documents of a facet's value; None where the value has a quotation mark.

    >>> format_filter("section", "Local News"), format_filter("language", "de"), format_filter("source", 'The "Paper"')
    ('section:="Local News"', 'lang:de', None)
    """
    if _QUOTES.search(value):
        return None
    quoted = value if _PLAIN.fullmatch(value) else f'"{value}"'
    return f"{FACET_FIELDS[facet]}:{'=' if facet in _WHOLE else ''}{quoted}"


def list_counts(facets: Facets, wanted: Iterable[FacetName] = FACETS) -> Iterator[tuple[FacetName, FacetCount]]:
    """Every value with its facet, in the order of `wanted`."""
    for facet in wanted:
        for count in facets.values[facet]:
            yield facet, count

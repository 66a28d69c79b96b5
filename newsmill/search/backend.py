"""A connection to look things up with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, text

from newsmill.search import postgres, scan, sqlite
from newsmill.search.positions import MIN_POSITION, IndexPosition, Span
from newsmill.search.query import AllOf, AnyOf, Node, NoneOf, Part, SyntheticTerm, Terms, has_facet, needs_word_positions, restrict_to_part
from newsmill.search.scan import BucketCounts, ScanResult
from newsmill.search.time_buckets import covering_terms
from newsmill.search.tokens import COMMON_WORD_CHARACTERS, character_term, common_bigrams, is_unspaced
from newsmill.storage.database import reading, translate_errors

# Postgres does not count what it costs to fetch a vector from beside its row, and so would rather read all of them than use the index
# (measured at 8,000 documents); and it compiles nothing that such short statements would gain from.
_PLANNER_SETTINGS = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """For statements that read. Raises ServiceError."""
    if engine.dialect.name == "sqlite":
        with reading(engine) as conn:
            yield conn
        return
    with translate_errors(engine), engine.connect() as conn, conn.begin():
        conn.execute(_PLANNER_SETTINGS)
        yield conn


# The same query, asked so that the index has less to read. Pure.
#
# What changes in meaning: a phrase of nothing but common words is looked for as it is, not by its stems.


def rewrite(node: Node) -> Node:
    """
    >>> quicker(Words(("猫",), prefix=True))
    Mark(word='猫\\ue002', part='')
    """
    match node:
        case Terms():
            return _rewrite_terms(node)
        case NoneOf():
            return NoneOf(rewrite(node.node))
        case AllOf():
            return AllOf(tuple(rewrite(child) for child in node.nodes))
        case AnyOf():
            return AnyOf(tuple(rewrite(child) for child in node.nodes))
        case _:
            return node


def restrict_to_span(node: Node, span: Span) -> Node:
    """The same within a span, said in words of the index. What it finds may lie a little outside."""
    marks = tuple(SyntheticTerm(word) for word in covering_terms(span.lower[0], span.upper[0] + 1))
    return AllOf((node, AnyOf(marks))) if marks else node


def _rewrite_terms(node: Terms) -> Node:
    if node.prefix:
        alone = len(node.words) == 1 and len(node.words[0]) == 1 and is_unspaced(node.words[0])
        return SyntheticTerm(character_term(node.words[0]), node.part) if alone else node
    if len(node.words) == 1 or any(word not in COMMON_WORD_CHARACTERS for word in node.words):
        return node
    held = tuple(SyntheticTerm(pair, node.part) for pair in sorted(common_bigrams(node.words)))
    return held[0] if len(node.words) == 2 else AllOf((*held, node))


# One query against one database, whichever it is.


def backend_of(engine: Engine) -> ModuleType:
    """What looks things up in this database."""
    return sqlite if engine.dialect.name == "sqlite" else postgres


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """`node`: None for every document. `stems`: of its words, where the database has them."""

    conn: Connection
    look: ModuleType
    node: Node | None
    stems: Any

    def until(self, seconds: float) -> float:
        """So much later, by the clock that walks go by."""
        now: float = self.look.CLOCK()
        return now + seconds

    def newest(self, span: Span, limit: int, *, enough: int, until: float) -> ScanResult:
        """The newest matches; see `walk.walk`."""
        if self.node is None:
            places = self._some(span, limit, None)
            return ScanResult(places, places[-1] if len(places) >= limit else MIN_POSITION)
        first, clock = self.look.FIRST_CHUNK_DOCUMENTS, self.look.CLOCK
        jump = not self.look.IN_ORDER and not needs_word_positions(
            self.node
        )  # GIN does not hold places: each candidate would have to be read
        return scan.scan_matches(self._edge, self._ends, self._some, span, limit, enough, first=first, jump=jump, clock=clock, until=until)

    def every(self, span: Span, limit: int) -> list[IndexPosition]:
        """The matches of a span that was walked before, newest first."""
        return self._some(span, limit, None)

    def matching(self, part: Part, places: Sequence[IndexPosition]) -> set[IndexPosition]:
        """Those of some places, newest first, that hold all the words in one part."""
        node = None if self.node is None else restrict_to_part(self.node, part)
        if self.node is None or node is None or not places:
            return set()
        if has_facet(self.node):
            # A small source's documents lie far apart; the words alone, without the source, are in too many others between them.
            node = AllOf((self.node, node))
        found: set[IndexPosition] = self.look.filter_near_positions(self.conn, self._said(node), places)
        return found

    def among(self, places: Sequence[IndexPosition]) -> set[IndexPosition]:
        """Those of some places that match, wherever they lie."""
        found: set[IndexPosition] = self.look.filter_positions(self.conn, self._said(self.node), places)
        return found

    def count(self, span: Span, most: int) -> int:
        """How many match; `most + 1` when they are more than `most`."""
        return self._count(span, most, None)

    def count_soon(self, walked: ScanResult, rest: Span, most: int, until: float) -> int:
        """How many match in the rest of a walk; `most + 1` when they are more, or there is no time to find out."""
        seconds = min(scan.COUNT_SECONDS, until - self.look.CLOCK())
        if seconds <= 0:
            return most + 1
        if self.look.IN_ORDER:
            until = self.until(seconds)
            return scan.count_matches(
                self._edge, self._ends, self._count, rest, most, first=scan.FAR_DOCUMENTS, clock=self.look.CLOCK, until=until
            )
        if walked.seen and self.look.estimate_documents(self.conn) * len(walked.places) > 3 * most * walked.seen:
            return most + 1
        try:
            return self._count(rest, most, seconds)
        except scan.ScanTimeoutError:
            return most + 1

    def per_time(self, span: Span, ticks: int) -> Sequence[Any]:
        """(number of the stretch of `ticks`, how many match in it)."""
        rows: Sequence[Any] = self.look.count_per_bucket(self.conn, self._within(span), span, ticks)
        return rows

    def per_source(self, span: Span) -> Sequence[Any]:
        """(source or None, how many match)."""
        rows: Sequence[Any] = self.look.count_per_source(self.conn, self._within(span), span)
        return rows

    def tally(self, span: Span, ticks: int, since: IndexPosition, enough: int, until: float) -> BucketCounts:
        """How many match per stretch of `ticks` and per source; see `walk.tallied`."""

        def rows(chunk: Span, sources: bool, seconds: float | None) -> Sequence[Any]:
            found: Sequence[Any] = self.look.count_buckets(self.conn, self._within(chunk), chunk, ticks, sources, seconds)
            return found

        first, clock = self.look.FIRST_CHUNK_DOCUMENTS, self.look.CLOCK
        return scan.count_buckets(self._edge, self._ends, rows, span, since, enough, first=first, clock=clock, until=until)

    def _edge(self, span: Span, n: int) -> IndexPosition | None:
        place: IndexPosition | None = self.look.nth_position(self.conn, span, n)
        return place

    def _ends(self, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        ends: tuple[IndexPosition, IndexPosition] | None = self.look.end_positions(self.conn, span)
        return ends

    def _some(self, span: Span, limit: int, seconds: float | None) -> list[IndexPosition]:
        places: list[IndexPosition] = self.look.newest(self.conn, self._within(span), span, limit, seconds)
        return places

    def _count(self, span: Span, most: int, seconds: float | None) -> int:
        found: int = self.look.count(self.conn, self._within(span), span, most, seconds)
        return found

    def _within(self, span: Span) -> str | None:
        return self._said(restrict_to_span(self.node, span) if self.node is not None else None)

    def _said(self, node: Node | None) -> str | None:
        said: str | None = None if node is None else self.look.format_query(node, self.stems)
        return said


def prepare_query(conn: Connection, look: ModuleType, node: Node | None) -> IndexQuery:
    """A query, in the form for which the index has least to read."""
    node = None if node is None else rewrite(node)
    return IndexQuery(conn, look, node, None if node is None else look.load_stems(conn, node))

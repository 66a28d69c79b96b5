"""One query against one database, whichever it is and whatever state its index is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, select

from newsmill.search import postgres, scan, sqlite
from newsmill.search.positions import FIRST, Place, Span
from newsmill.search.query import All, Node, Part, has_facet, needs_places, within
from newsmill.search.rewrite import narrowed, quicker
from newsmill.search.scan import Tally, Walked
from newsmill.storage.schema import search_entries

_UNMARKED = select(search_entries.c.moment).where(search_entries.c.format.is_(None)).limit(1)


def module(engine: Engine) -> ModuleType:
    """What looks things up in this database."""
    return sqlite if engine.dialect.name == "sqlite" else postgres


@dataclass(frozen=True, slots=True)
class Lookup:
    """`node`: None for every document. `marked`: every entry has the marks, so that `node` asks for them. `stems`: of its words, where
    the database has them."""

    conn: Connection
    look: ModuleType
    node: Node | None
    marked: bool
    stems: Any

    def until(self, seconds: float) -> float:
        """So much later, by the clock that walks go by."""
        now: float = self.look.CLOCK()
        return now + seconds

    def newest(self, span: Span, limit: int, *, enough: int, until: float) -> Walked:
        """The newest matches; see `walk.walk`."""
        if self.node is None or not self.marked:
            places: list[Place] = self.look.newest_unmarked(self.conn, self._said(self.node), span, limit)
            return Walked(places, places[-1] if len(places) >= limit else FIRST)
        first, clock = self.look.FIRST_CHUNK, self.look.CLOCK
        jump = not self.look.IN_ORDER and not needs_places(self.node)  # GIN does not hold places: each candidate would have to be read
        return scan.walk(self._edge, self._ends, self._some, span, limit, enough, first=first, jump=jump, clock=clock, until=until)

    def every(self, span: Span, limit: int) -> list[Place]:
        """The matches of a span that was walked before, newest first."""
        if self.node is None or not self.marked:
            places: list[Place] = self.look.newest_unmarked(self.conn, self._said(self.node), span, limit)
            return places
        return self._some(span, limit, None)

    def matching(self, part: Part, places: Sequence[Place]) -> set[Place]:
        """Those of some places, newest first, that hold all the words in one part."""
        node = None if self.node is None else within(self.node, part)
        if self.node is None or node is None or not places:
            return set()
        if has_facet(self.node):
            # A small source's documents lie far apart; the words alone, without the source, are in too many others between them.
            node = All((self.node, node))
        found: set[Place] = self.look.matching(self.conn, self._said(node), places)
        return found

    def among(self, places: Sequence[Place]) -> set[Place]:
        """Those of some places that match, wherever they lie."""
        found: set[Place] = self.look.among(self.conn, self._said(self.node), places)
        return found

    def count(self, span: Span, most: int) -> int:
        """How many match; `most + 1` when they are more than `most`."""
        return self._count(span, most, None)

    def count_soon(self, walked: Walked, rest: Span, most: int, until: float) -> int:
        """How many match in the rest of a walk; `most + 1` when they are more, or there is no time to find out."""
        seconds = min(scan.TO_COUNT, until - self.look.CLOCK())
        if seconds <= 0:
            return most + 1
        if self.look.IN_ORDER:
            until = self.until(seconds)
            return scan.counted(self._edge, self._ends, self._count, rest, most, first=scan.FAR, clock=self.look.CLOCK, until=until)
        if walked.seen and self.look.about(self.conn) * len(walked.places) > 3 * most * walked.seen:
            return most + 1
        try:
            return self._count(rest, most, seconds)
        except scan.TimeIsUp:
            return most + 1

    def per_time(self, span: Span, ticks: int) -> Sequence[Any]:
        """(number of the stretch of `ticks`, how many match in it)."""
        rows: Sequence[Any] = self.look.per_time(self.conn, self._within(span), span, ticks)
        return rows

    def per_source(self, span: Span) -> Sequence[Any]:
        """(source or None, how many match)."""
        rows: Sequence[Any] = self.look.per_source(self.conn, self._within(span), span)
        return rows

    def tally(self, span: Span, ticks: int, since: Place, enough: int, until: float) -> Tally:
        """How many match per stretch of `ticks` and per source; see `walk.tallied`."""

        def rows(chunk: Span, sources: bool, seconds: float | None) -> Sequence[Any]:
            found: Sequence[Any] = self.look.tally(self.conn, self._within(chunk), chunk, ticks, sources, seconds)
            return found

        first, clock = self.look.FIRST_CHUNK, self.look.CLOCK
        return scan.tallied(self._edge, self._ends, rows, span, since, enough, first=first, clock=clock, until=until)

    def _edge(self, span: Span, n: int) -> Place | None:
        place: Place | None = self.look.edge(self.conn, span, n)
        return place

    def _ends(self, span: Span) -> tuple[Place, Place] | None:
        ends: tuple[Place, Place] | None = self.look.ends(self.conn, span)
        return ends

    def _some(self, span: Span, limit: int, seconds: float | None) -> list[Place]:
        places: list[Place] = self.look.newest(self.conn, self._within(span), span, limit, seconds)
        return places

    def _count(self, span: Span, most: int, seconds: float | None) -> int:
        found: int = self.look.count(self.conn, self._within(span), span, most, seconds)
        return found

    def _within(self, span: Span) -> str | None:
        return self._said(narrowed(self.node, span) if self.node is not None and self.marked else self.node)

    def _said(self, node: Node | None) -> str | None:
        said: str | None = None if node is None else self.look.said(node, self.stems)
        return said


def lookup(conn: Connection, look: ModuleType, node: Node | None) -> Lookup:
    """A query, made quick where the index allows it."""
    marked = conn.execute(_UNMARKED).first() is None
    node = quicker(node) if node is not None and marked else node
    return Lookup(conn, look, node, marked, None if node is None else look.stems(conn, node))

"""One query against one database, whichever it is and whatever state its index is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from sqlalchemy import Connection, Engine, select

from newsmill.keep.search import postgres, sqlite, walk
from newsmill.keep.search.places import FIRST, Place, Span
from newsmill.keep.search.query import Node, Part, within
from newsmill.keep.search.quick import narrowed, quicker
from newsmill.keep.search.walk import Walked
from newsmill.keep.tables import search_entries

_UNMARKED = select(search_entries.c.moment).where(search_entries.c.format.is_(None)).limit(1)


def module(engine: Engine) -> ModuleType:
    """What looks things up in this database."""
    return sqlite if engine.dialect.name == "sqlite" else postgres


@dataclass(frozen=True, slots=True)
class Lookup:
    """`node`: None for every document. `marked`: every entry has the marks, so that `node` asks for them."""

    conn: Connection
    look: ModuleType
    node: Node | None
    marked: bool

    def newest(self, span: Span, limit: int, *, enough: int, until: float) -> Walked:
        """The newest matches; see `walk.walk`."""
        node = self.node
        if node is None or not self.marked:
            places: list[Place] = self.look.newest_unmarked(self.conn, node, span, limit)
            return Walked(places, places[-1] if len(places) >= limit else FIRST)
        return walk.walk(self._edge, self._some, span, limit, enough, first=self.look.FIRST_CHUNK, until=until)

    def every(self, span: Span, limit: int) -> list[Place]:
        """The matches of a span that was walked before, newest first."""
        if self.node is None or not self.marked:
            places: list[Place] = self.look.newest_unmarked(self.conn, self.node, span, limit)
            return places
        return self._some(span, limit, None)

    def matching(self, part: Part, places: Sequence[Place]) -> set[Place]:
        """Those of some places, newest first, that hold all the words in one part."""
        node = None if self.node is None else within(self.node, part)
        if node is None or not places:
            return set()
        found: set[Place] = self.look.matching(self.conn, self._narrowed(node, Span(places[-1], places[0])), places)
        return found

    def count(self, span: Span, most: int, *, until: float) -> int:
        """How many match; `most + 1` when they are more, or there is no time to find out."""
        return walk.counted(self._edge, self._count, span, most, until=until)

    def _edge(self, span: Span, n: int) -> Place | None:
        place: Place | None = self.look.edge(self.conn, span, n)
        return place

    def _some(self, span: Span, limit: int, seconds: float | None) -> list[Place]:
        places: list[Place] = self.look.newest(self.conn, self._narrowed(self.node, span), span, limit, seconds)
        return places

    def _count(self, span: Span, most: int, seconds: float | None) -> int:
        node = None if self.node is None else self._narrowed(self.node, span)
        found: int = self.look.count(self.conn, node, span, most, seconds)
        return found

    def _narrowed(self, node: Node, span: Span) -> Node:
        return narrowed(node, span) if self.marked else node


def lookup(conn: Connection, look: ModuleType, node: Node | None) -> Lookup:
    """A query, made quick where the index allows it."""
    marked = conn.execute(_UNMARKED).first() is None
    return Lookup(conn, look, quicker(node) if node is not None and marked else node, marked)

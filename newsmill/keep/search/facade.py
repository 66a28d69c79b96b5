"""`Search`: what the rest of the house asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

from sqlalchemy import Connection, Engine

from newsmill.keep.search import postgres, rank, sqlite
from newsmill.keep.search.cursor import seal, unseal
from newsmill.keep.search.entry import TICKS, moment, time_at
from newsmill.keep.search.hits import hits_of
from newsmill.keep.search.looking import looking
from newsmill.keep.search.places import END, FIRST, Place, span_of
from newsmill.keep.search.query import Query, parse, positive, within
from newsmill.keep.search.records import COUNTED, MOST, Order, Results, Step, Stored
from newsmill.keep.search.stream import stream

_STEPS = {"hour": 3_600 * TICKS, "day": 86_400 * TICKS}


@dataclass(frozen=True, slots=True)
class _Page:
    """`total`: how many match, where finding the page has told: a word that is rare need not be looked up a second time to count it."""

    places: list[Place]
    cursor: str | None
    total: int | None


class Search:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._look: ModuleType = sqlite if engine.dialect.name == "sqlite" else postgres

    def search(self, query: str = "", *, limit: int = 20, cursor: str | None = None, order: Order = "relevance") -> Results:
        """One page of what matches. Without words to weigh, relevance is newness. Raises CursorError."""
        asked = parse(query)
        wanted = () if asked.node is None else positive(asked.node)
        with looking(self._engine) as conn:
            page = (self._ranked if order == "relevance" and wanted else self._newest)(conn, asked, limit, cursor)
            hits = hits_of(conn, page.places, wanted)
            total = page.total if page.total is not None else self._look.count_soon(conn, asked.node, span_of(asked), MOST)
        return Results(hits, page.cursor, total if total <= MOST else None)

    def count(self, query: str = "", *, most: int = MOST) -> int:
        """How many documents match; `most + 1` when they are more than `most`."""
        asked = parse(query)
        with looking(self._engine) as conn:
            found: int = self._look.count(conn, asked.node, span_of(asked), most)
        return found

    def over_time(
        self, query: str = "", step: Step = "hour", *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[datetime, int], ...]:
        """How many documents match per hour or day (UTC, each named by its first moment), in order, those without any left out.

        Of more than COUNTED matches the newest are counted, so give `since` where it must be exact.
        """
        asked = parse(query)
        with looking(self._engine) as conn:
            rows = self._look.per_time(conn, asked.node, span_of(asked).between(since, until), _STEPS[step], COUNTED)
        return tuple((time_at(row.stretch * _STEPS[step]), row.n) for row in rows)

    def by_source(
        self, query: str = "", *, since: datetime | None = None, until: datetime | None = None, most: int = COUNTED
    ) -> tuple[tuple[str, int], ...]:
        """How many documents match per source, the largest first; "" stands for documents without one. Of at most `most` matches."""
        asked = parse(query)
        with looking(self._engine) as conn:
            rows = self._look.per_source(conn, asked.node, span_of(asked).between(since, until), most)
        return tuple(sorted(((row.source or "", row.n) for row in rows), key=lambda pair: (-pair[1], pair[0])))

    def iterate(self, query: str = "", *, since: str | datetime | None = None, until: datetime | None = None) -> Iterator[Stored]:
        """Every match in the order of storing, streamed: memory stays flat. A document that changes comes again, at its new place.

        `since`: a `Stored.cursor`, or a time (stored then or later). `until`: stored before. What is stored meanwhile may or may not come.
        Raises CursorError.
        """
        return stream(self._engine, self._look, parse(query), since, until)

    def _newest(self, conn: Connection, asked: Query, limit: int, cursor: str | None) -> _Page:
        number, document = END if cursor is None else unseal("newest", cursor, int, str)
        span = span_of(asked).within(upper=(int(number), str(document)))
        places: list[Place] = self._look.newest(conn, asked.node, span, limit + 1)
        more = len(places) > limit
        total = len(places) if cursor is None and not more else None
        return _Page(places[:limit], seal("newest", *places[limit - 1]) if more else None, total)

    def _ranked(self, conn: Connection, asked: Query, limit: int, cursor: str | None) -> _Page:
        mark = rank.Mark(moment(datetime.now(UTC))) if cursor is None else rank.unseal_mark(cursor)
        taken: list[rank.Mark] = []
        while len(taken) <= limit:
            block, mark = self._block(conn, asked, mark)
            taken += block
            if mark.lower == FIRST:
                break
            mark = rank.Mark(mark.now, upper=mark.lower or FIRST)
        total = len(taken) if cursor is None and mark.lower == FIRST else None
        return _Page([reached.place for reached in taken[:limit]], taken[limit - 1].seal() if len(taken) > limit else None, total)

    def _block(self, conn: Connection, asked: Query, mark: rank.Mark) -> tuple[list[rank.Mark], rank.Mark]:
        """What is left of the block a reader is in, best first, and the block, its ends now chosen."""
        span = span_of(asked).within(mark.lower or FIRST, mark.upper)
        places: Sequence[Place] = self._look.newest(conn, asked.node, span, rank.BLOCK if mark.lower is None else 2 * rank.BLOCK)
        after = None if mark.lower is None else (mark.score, mark.place)
        block = rank.chosen(mark, places)
        parts = [within(asked.node, part) if asked.node else None for part in ("title", "lead")]
        title, lead = ([] if part is None else self._look.matching(conn, part, places) for part in parts)
        return [rank.reached(block, *pair) for pair in rank.ranked(places, mark.now, title, lead, after)], block

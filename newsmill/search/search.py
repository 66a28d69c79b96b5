"""`Search`: what the rest of the house asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from sqlalchemy import Engine

from newsmill.search import ranking, scan
from newsmill.search.backend import Lookup, looking, lookup, module
from newsmill.search.entry import TICKS, moment, time_at
from newsmill.search.positions import END, FIRST, IndexPosition, Span, span_of
from newsmill.search.query import Query, parse, positive
from newsmill.search.records import MOST, SAMPLE, Breakdown, Order, SearchResults, Step, StoredHit
from newsmill.search.scan import BucketCounts, ScanResult
from newsmill.search.snippet import hits_of
from newsmill.search.stream import end, stream
from newsmill.storage.cursor import seal, unseal

_STEPS = {"hour": 3_600 * TICKS, "day": 86_400 * TICKS}


@dataclass(frozen=True, slots=True)
class _Page:
    """`found`, `rest`: how many were found on the way to this page, and the span in which nobody has looked for more; None when all has
    been looked at, so that a rare word need not be looked up a second time to count it. `cut`: the page is short for want of time."""

    places: list[IndexPosition]
    cursor: str | None
    found: int
    walked: ScanResult
    rest: Span | None
    cut: bool = False


class Search:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._look = module(engine)

    def search(
        self,
        query: str = "",
        *,
        limit: int = 20,
        cursor: str | None = None,
        order: Order = "relevance",
        wait: bool = False,
        count: bool = True,
    ) -> SearchResults:
        """One page of what matches. Without words to weigh, relevance is newness. Raises CursorError.

        A page that would take too long ends where the time did (`Results.reached`), unless `wait`. Not `count`: `total` is given only
        where finding the page has told it.
        """
        asked = parse(query)
        wanted = () if asked.node is None else positive(asked.node)
        with looking(self._engine) as conn:
            look = lookup(conn, self._look, asked.node)
            until = inf if wait else look.until(scan.PATIENCE)
            page = (self._ranked if order == "relevance" and wanted else self._newest)(look, asked, limit, cursor, until)
            hits = hits_of(conn, page.places, wanted)
            total = self._total(look, asked, page, cursor is None, (inf if wait else until + scan.AFTER) if count else -inf)
        return SearchResults(hits, page.cursor, total, time_at(page.rest.upper[0]) if page.cut and page.rest else None)

    def _total(self, look: Lookup, asked: Query, page: _Page, is_first: bool, until: float) -> int | None:
        found, rest = (page.found, page.rest) if is_first else (0, span_of(asked))
        if page.cut:
            return None
        if rest is not None:
            found += look.count_soon(page.walked, rest, MOST - found, until)
        return found if found <= MOST else None

    def count(self, query: str = "", *, most: int = MOST) -> int:
        """How many documents match; `most + 1` when they are more than `most`."""
        asked = parse(query)
        with looking(self._engine) as conn:
            look = lookup(conn, self._look, asked.node)
            return look.count(span_of(asked), most)

    def over_time(
        self, query: str = "", step: Step = "hour", *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[datetime, int], ...]:
        """How many documents match per hour or day (UTC, each named by its first moment), in order, those without any left out."""
        asked = parse(query)
        with looking(self._engine) as conn:
            look = lookup(conn, self._look, asked.node)
            rows = look.per_time(span_of(asked).between(since, until), _STEPS[step])
        return tuple((time_at(row.stretch * _STEPS[step]), row.n) for row in rows)

    def by_source(self, query: str = "", *, since: datetime | None = None, until: datetime | None = None) -> tuple[tuple[str, int], ...]:
        """How many documents match per source, the largest first; "" stands for documents without one."""
        asked = parse(query)
        with looking(self._engine) as conn:
            look = lookup(conn, self._look, asked.node)
            rows = look.per_source(span_of(asked).between(since, until))
        return _largest_first({row.source or "": row.n for row in rows})

    def spread(self, query: str = "", *, since: datetime, seconds: float) -> Breakdown:
        """How many documents match per day from `since` on (the first moment of a UTC day) and per source, and how many in all, counted
        from the newest on until `seconds` (of `clock`) are over, or the rest does not matter."""
        asked = parse(query)
        with looking(self._engine) as conn:
            look = lookup(conn, self._look, asked.node)
            until = look.until(seconds)
            found = look.tally(span_of(asked), _STEPS["day"], (moment(since), ""), SAMPLE, until)
        return _spread(found, moment(since))

    def clock(self) -> float:
        """Seconds: on SQLite of our thread's CPU, so that a busy machine is slow but shows everything; on Postgres those of a clock."""
        now: float = self._look.CLOCK()
        return now

    def iterate(self, query: str = "", *, since: str | datetime | None = None) -> Iterator[StoredHit]:
        """Every match in the order of storing, streamed: memory stays flat. A document that changes comes again, at its new place.

        `since`: a `Stored.cursor`, or a time (stored then or later). What is stored meanwhile does not come, but it comes after the cursor
        of the last one that did: nothing is missed and nothing comes twice. Raises CursorError.
        """
        return stream(self._engine, self._look, parse(query), since)

    def end(self) -> str:
        """The cursor behind everything that is stored now; `iterate` goes on from it."""
        return end(self._engine)

    def _newest(self, look: Lookup, asked: Query, limit: int, cursor: str | None, until: float) -> _Page:
        number, document = END if cursor is None else unseal("newest", cursor, int, str)
        span = span_of(asked).within(upper=(int(number), str(document)))
        walked = look.newest(span, limit + 1, enough=limit + 1, until=until)
        places = walked.places
        if len(places) > limit:
            return _Page(places[:limit], seal("newest", *places[limit - 1]), limit, walked, span.within(upper=places[limit - 1]))
        if walked.lower == FIRST:
            return _Page(places, None, len(places), walked, None)
        return _Page(places, seal("newest", *walked.lower), len(places), walked, span.within(upper=walked.lower), cut=True)

    def _ranked(self, look: Lookup, asked: Query, limit: int, cursor: str | None, until: float) -> _Page:
        mark = ranking.RankCursor(moment(datetime.now(UTC))) if cursor is None else ranking.unseal_mark(cursor)
        taken: list[ranking.RankCursor] = []
        while True:
            block, mark, walked = self._block(look, asked, mark, until)
            taken += block
            if len(taken) > limit or mark.lower == FIRST or walked.cut:
                break
            mark = ranking.RankCursor(mark.now, upper=mark.lower or FIRST)
        places = [reached.place for reached in taken[:limit]]
        rest = None if mark.lower == FIRST else span_of(asked).within(upper=mark.lower or FIRST)
        if len(taken) > limit:
            return _Page(places, taken[limit - 1].seal(), len(taken), walked, rest)
        if rest is None:
            return _Page(places, None, len(taken), walked, None)
        return _Page(places, ranking.RankCursor(mark.now, upper=mark.lower or FIRST).seal(), len(taken), walked, rest, cut=True)

    def _block(
        self, look: Lookup, asked: Query, mark: ranking.RankCursor, until: float
    ) -> tuple[list[ranking.RankCursor], ranking.RankCursor, ScanResult]:
        """What is left of the block a reader is in, best first; the block, its ends now chosen; how it was found."""
        span = span_of(asked).within(mark.lower or FIRST, mark.upper)
        if mark.lower is None:
            walked = look.newest(span, ranking.BLOCK, enough=scan.ENOUGH, until=until)
        else:
            walked = ScanResult(look.every(span, 2 * ranking.BLOCK), mark.lower)
        after = None if mark.lower is None else (mark.score, mark.place)
        block = ranking.chosen(mark, walked.places, walked.lower)
        lead = look.matching("lead", walked.places)
        title = look.matching("title", [place for place in walked.places if place in lead])
        ranked = ranking.ranked(walked.places, mark.now, title, lead, after)
        return [ranking.reached(block, *pair) for pair in ranked], block, walked


def _spread(found: BucketCounts, since: int) -> Breakdown:
    day = _STEPS["day"]
    lower = found.lower[0] + bool(found.lower[1])  # there may be more in the moment itself, under smaller ids
    whole = max(since, -(-lower // day) * day)
    days = tuple((time_at(at * day), n) for at, n in sorted(found.stretches.items()) if at * day >= whole)
    total = found.stretches.total() if found.lower == FIRST else None
    return Breakdown(days, time_at(whole), _largest_first(found.sources), found.sources.total(), total)


def _largest_first(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

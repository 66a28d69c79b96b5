"""`Search`: what the rest of the house asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from sqlalchemy import Engine

from newsmill.search import ranking, scan
from newsmill.search.backend import IndexQuery, backend_of, prepare_query, read_connection
from newsmill.search.entry import MOMENTS_PER_SECOND, to_moment, to_time
from newsmill.search.positions import MAX_POSITION, MIN_POSITION, IndexPosition, Span, span_of_query
from newsmill.search.query import Query, parse_query, positive_terms
from newsmill.search.records import MAX_TOTAL, SOURCE_SAMPLE_MATCHES, Breakdown, Order, SearchResults, Step, StoredHit
from newsmill.search.scan import BucketCounts, ScanResult
from newsmill.search.snippet import load_hits
from newsmill.search.stream import end_cursor, iterate_stored
from newsmill.storage.cursor import decode_cursor, encode_cursor

_STEP_MOMENTS = {"hour": 3_600 * MOMENTS_PER_SECOND, "day": 86_400 * MOMENTS_PER_SECOND}


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
        self._look = backend_of(engine)

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
        asked = parse_query(query)
        wanted = () if asked.node is None else positive_terms(asked.node)
        with read_connection(self._engine) as conn:
            look = prepare_query(conn, self._look, asked.node)
            until = inf if wait else look.until(scan.PAGE_SECONDS)
            page = (self._ranked if order == "relevance" and wanted else self._newest)(look, asked, limit, cursor, until)
            hits = load_hits(conn, page.places, wanted)
            total = self._total(
                look, asked, page, cursor is None, (inf if wait else until + scan.COUNT_OVERTIME_SECONDS) if count else -inf
            )
        return SearchResults(hits, page.cursor, total, to_time(page.rest.upper[0]) if page.cut and page.rest else None)

    def _total(self, look: IndexQuery, asked: Query, page: _Page, is_first: bool, until: float) -> int | None:
        found, rest = (page.found, page.rest) if is_first else (0, span_of_query(asked))
        if page.cut:
            return None
        if rest is not None:
            found += look.count_soon(page.walked, rest, MAX_TOTAL - found, until)
        return found if found <= MAX_TOTAL else None

    def count(self, query: str = "", *, max_count: int = MAX_TOTAL) -> int:
        """How many documents match; `most + 1` when they are more than `most`."""
        asked = parse_query(query)
        with read_connection(self._engine) as conn:
            look = prepare_query(conn, self._look, asked.node)
            return look.count(span_of_query(asked), max_count)

    def count_over_time(
        self, query: str = "", step: Step = "hour", *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[datetime, int], ...]:
        """How many documents match per hour or day (UTC, each named by its first moment), in order, those without any left out."""
        asked = parse_query(query)
        with read_connection(self._engine) as conn:
            look = prepare_query(conn, self._look, asked.node)
            rows = look.per_time(span_of_query(asked).between(since, until), _STEP_MOMENTS[step])
        return tuple((to_time(row.stretch * _STEP_MOMENTS[step]), row.n) for row in rows)

    def count_by_source(
        self, query: str = "", *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[str, int], ...]:
        """How many documents match per source, the largest first; "" stands for documents without one."""
        asked = parse_query(query)
        with read_connection(self._engine) as conn:
            look = prepare_query(conn, self._look, asked.node)
            rows = look.per_source(span_of_query(asked).between(since, until))
        return _largest_first({row.source or "": row.n for row in rows})

    def break_down(self, query: str = "", *, since: datetime, seconds: float) -> Breakdown:
        """How many documents match per day from `since` on (the first moment of a UTC day) and per source, and how many in all, counted
        from the newest on until `seconds` (of `clock`) are over, or the rest does not matter."""
        asked = parse_query(query)
        with read_connection(self._engine) as conn:
            look = prepare_query(conn, self._look, asked.node)
            until = look.until(seconds)
            found = look.tally(span_of_query(asked), _STEP_MOMENTS["day"], (to_moment(since), ""), SOURCE_SAMPLE_MATCHES, until)
        return _build_breakdown(found, to_moment(since))

    def read_clock(self) -> float:
        """Seconds: on SQLite of our thread's CPU, so that a busy machine is slow but shows everything; on Postgres those of a clock."""
        now: float = self._look.CLOCK()
        return now

    def iterate(self, query: str = "", *, since: str | datetime | None = None) -> Iterator[StoredHit]:
        """Every match in the order of storing, streamed: memory stays flat. A document that changes comes again, at its new place.

        `since`: a `Stored.cursor`, or a time (stored then or later). What is stored meanwhile does not come, but it comes after the cursor
        of the last one that did: nothing is missed and nothing comes twice. Raises CursorError.
        """
        return iterate_stored(self._engine, self._look, parse_query(query), since)

    def end_cursor(self) -> str:
        """The cursor behind everything that is stored now; `iterate` goes on from it."""
        return end_cursor(self._engine)

    def _newest(self, look: IndexQuery, asked: Query, limit: int, cursor: str | None, until: float) -> _Page:
        number, document = MAX_POSITION if cursor is None else decode_cursor("newest", cursor, int, str)
        span = span_of_query(asked).within(upper=(int(number), str(document)))
        walked = look.newest(span, limit + 1, enough=limit + 1, until=until)
        places = walked.places
        if len(places) > limit:
            return _Page(places[:limit], encode_cursor("newest", *places[limit - 1]), limit, walked, span.within(upper=places[limit - 1]))
        if walked.lower == MIN_POSITION:
            return _Page(places, None, len(places), walked, None)
        return _Page(places, encode_cursor("newest", *walked.lower), len(places), walked, span.within(upper=walked.lower), cut=True)

    def _ranked(self, look: IndexQuery, asked: Query, limit: int, cursor: str | None, until: float) -> _Page:
        mark = ranking.RankCursor(to_moment(datetime.now(UTC))) if cursor is None else ranking.decode_rank_cursor(cursor)
        taken: list[ranking.RankCursor] = []
        while True:
            block, mark, walked = self._block(look, asked, mark, until)
            taken += block
            if len(taken) > limit or mark.lower == MIN_POSITION or walked.cut:
                break
            mark = ranking.RankCursor(mark.now, upper=mark.lower or MIN_POSITION)
        places = [reached.place for reached in taken[:limit]]
        rest = None if mark.lower == MIN_POSITION else span_of_query(asked).within(upper=mark.lower or MIN_POSITION)
        if len(taken) > limit:
            return _Page(places, taken[limit - 1].seal(), len(taken), walked, rest)
        if rest is None:
            return _Page(places, None, len(taken), walked, None)
        return _Page(places, ranking.RankCursor(mark.now, upper=mark.lower or MIN_POSITION).seal(), len(taken), walked, rest, cut=True)

    def _block(
        self, look: IndexQuery, asked: Query, mark: ranking.RankCursor, until: float
    ) -> tuple[list[ranking.RankCursor], ranking.RankCursor, ScanResult]:
        """What is left of the block a reader is in, best first; the block, its ends now chosen; how it was found."""
        span = span_of_query(asked).within(mark.lower or MIN_POSITION, mark.upper)
        if mark.lower is None:
            walked = look.newest(span, ranking.BLOCK_MATCHES, enough=scan.ENOUGH_MATCHES, until=until)
        else:
            walked = ScanResult(look.every(span, 2 * ranking.BLOCK_MATCHES), mark.lower)
        after = None if mark.lower is None else (mark.score, mark.place)
        block = ranking.fix_block(mark, walked.places, walked.lower)
        lead = look.matching("lead", walked.places)
        title = look.matching("title", [place for place in walked.places if place in lead])
        ranked = ranking.rank_matches(walked.places, mark.now, title, lead, after)
        return [ranking.advance_to(block, *pair) for pair in ranked], block, walked


def _build_breakdown(found: BucketCounts, since: int) -> Breakdown:
    day = _STEP_MOMENTS["day"]
    lower = found.lower[0] + bool(found.lower[1])  # there may be more in the moment itself, under smaller ids
    whole = max(since, -(-lower // day) * day)
    days = tuple((to_time(at * day), n) for at, n in sorted(found.stretches.items()) if at * day >= whole)
    total = found.stretches.total() if found.lower == MIN_POSITION else None
    return Breakdown(days, to_time(whole), _largest_first(found.sources), found.sources.total(), total)


def _largest_first(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

"""Counts of the matches of a query: facets, by language, source, section, author, type and site; and timelines, by day, week or month.

Facets: the values stand beside the index in the order of time, so the newest FACET_MATCHES matches are read and counted. Of a query with
fewer matches every count is exact, and equals the number of matches with the filter added. Otherwise each count is a lower bound.

Timelines: for any period of up to ten years, days are counted from the newest back, and added up to weeks (from Monday) and months. A bar
that there was no time to count completely has no number. The first and the last bar are cut where the period begins and ends. All days are
UTC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, Literal

from sqlalchemy import Connection, Engine

from newsmill.search.backend import Backend, StatementTimeoutError, backend_of, read_connection
from newsmill.search.folding import count_buckets_folded, fold_copies
from newsmill.search.index_query import IndexQuery, prepare_query
from newsmill.search.parsed_query import span_of_query
from newsmill.search.positions import MAX_POSITION, MIN_POSITION, MOMENTS_PER_DAY, IndexPosition, Span, to_time
from newsmill.search.query import parse_query
from newsmill.search.tokens import fold

# ---- facets ------------------------------------------------------------------------------------------------------------------


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


# ---- timelines ---------------------------------------------------------------------------------------------------------------


DAY = timedelta(days=1)
DEFAULT_DAYS = 30  # of a period for which nobody chose a beginning
MAX_DAYS = 3_653  # ten years
MAX_DAY_BARS = 400  # more days are drawn as weeks
DEFAULT_DAY_BARS = 62  # without a chosen step; more days are weeks ...
DEFAULT_WEEK_BARS = 60  # ... and more weeks are months
FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)  # the index has no earlier times

TimelineStep = Literal["day", "week", "month"]
TIMELINE_STEPS: tuple[TimelineStep, ...] = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on and before `until` (aware, UTC), in bars of one step."""

    since: datetime
    until: datetime
    step: TimelineStep

    @property
    def last(self) -> datetime:
        """A time of the last day."""
        return self.until - timedelta(seconds=1)

    @property
    def steps(self) -> tuple[TimelineStep, ...]:
        """The steps in which the period can be drawn."""
        return TIMELINE_STEPS if (self.until - self.since).days <= MAX_DAY_BARS else TIMELINE_STEPS[1:]


@dataclass(frozen=True, slots=True)
class TimelineBar:
    """The matches from `start` on and before `end` (aware, UTC)."""

    start: datetime
    end: datetime
    n: int | None  # None: there was no time to count it

    def share_of(self, whole: TimelineBar) -> float | None:
        """The share of these documents in those of another bar of the same time; None where one was not counted."""
        if self.n is None or whole.n is None:
            return None
        return min(1.0, self.n / whole.n) if whole.n else 0.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """The bars of a period, oldest first, with those that are zero."""

    period: Period
    bars: tuple[TimelineBar, ...]

    @property
    def total(self) -> int:
        """The matches of the counted bars."""
        return sum(bar.n or 0 for bar in self.bars)

    @property
    def is_complete(self) -> bool:
        """Whether every bar was counted."""
        return all(bar.n is not None for bar in self.bars)


def choose_period(
    query: str,
    now: datetime,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    step: TimelineStep | None = None,
    days: int = DEFAULT_DAYS,
) -> Period:
    """The period of a query: as given, else that of its after: and before:, else the `days` up to the end of today.

    At most the last MAX_DAYS of it, and nothing after today. A step that would make too many bars becomes a longer one.
    """
    parsed = parse_query(query, now)
    tomorrow = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    until = max(min(until or parsed.until or tomorrow, tomorrow), FIRST_DAY + DAY)
    since = max(since or parsed.since or until - days * DAY, until - MAX_DAYS * DAY, FIRST_DAY)
    since = since if since < until else until - DAY
    return Period(since.astimezone(UTC), until.astimezone(UTC), _choose_step(since, until, step))


def _choose_step(since: datetime, until: datetime, step: TimelineStep | None) -> TimelineStep:
    days = (until - since).days
    if step is None:
        return "day" if days <= DEFAULT_DAY_BARS else "week" if days <= 7 * DEFAULT_WEEK_BARS else "month"
    return "week" if step == "day" and days > MAX_DAY_BARS else step


def count_timeline(
    engine: Engine, query: str, period: Period, *, user: str = "", seconds: float | None = None, without_copies: bool = False
) -> Timeline:
    """The timeline of a query, counted for at most `seconds` (None: as long as needed). Raises ServiceError.

    `user`: whose marks the query is about. `without_copies`: of a group of copies, one match is counted.
    """
    parsed, backend = parse_query(query, user=user), backend_of(engine)
    with read_connection(engine) as conn:
        index_query = prepare_query(conn, backend, parsed.node)
        until = inf if seconds is None else index_query.deadline(seconds)
        span = span_of_query(parsed).limit_to_times(period.since, period.until)
        count = index_query.count_chunk(MOMENTS_PER_DAY)
        count = count_buckets_folded(index_query, MOMENTS_PER_DAY, count) if without_copies else count
        counts = index_query.scan_buckets(span, count, until)
    days = {to_time(number * MOMENTS_PER_DAY): n for number, n in counts.buckets.items()}
    counted_since = period.since if counts.lower == span.lower else to_time(counts.lower[0]) + timedelta(seconds=1)
    return build_timeline(period, days, counted_since)


def build_timeline(period: Period, days: Mapping[datetime, int], counted_since: datetime) -> Timeline:
    """The bars of a period from the counts of its days, of which those from `counted_since` on are complete."""
    numbers: Counter[datetime] = Counter()
    for day, n in days.items():
        numbers[start_of_step(day, period.step)] += n
    bars: list[TimelineBar] = []
    for start in list_starts(period):
        clipped = max(start, period.since)
        is_counted = clipped >= counted_since
        bars.append(TimelineBar(clipped, min(next_start(start, period.step), period.until), numbers[start] if is_counted else None))
    return Timeline(period, tuple(bars))


def list_starts(period: Period) -> Iterator[datetime]:
    """The starts of the days, weeks or months that a period touches."""
    start = start_of_step(period.since, period.step)
    while start < period.until:
        yield start
        start = next_start(start, period.step)


def start_of_step(at: datetime, step: TimelineStep) -> datetime:
    """The start of the day, week or month of a time.

    >>> start_of_step(datetime(2026, 11, 28, 9, tzinfo=UTC), "week").date().isoformat()
    '2026-11-23'
    """
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if step == "day" else day.replace(day=1) if step == "month" else day - day.weekday() * DAY


def next_start(start: datetime, step: TimelineStep) -> datetime:
    """The start of the next day, week or month."""
    return start + DAY if step == "day" else start + 7 * DAY if step == "week" else (start.replace(day=1) + 32 * DAY).replace(day=1)


def format_bar_filters(bar: TimelineBar) -> tuple[str, str]:
    """The filters that select the documents of a bar."""
    return f"after:{_format_time(bar.start)}", f"before:{_format_time(bar.end)}"


def _format_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d}" if at == start_of_step(at, "day") else f"{at:%Y-%m-%dT%H:%M:%S}"

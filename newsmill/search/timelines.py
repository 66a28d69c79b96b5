"""Timelines: matching documents, counted by span of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Literal

from sqlalchemy import Engine

from newsmill.search.connections import backend_of, read_connection
from newsmill.search.folding import count_buckets_folded
from newsmill.search.index_query import prepare_query
from newsmill.search.parsed_query import span_of_query
from newsmill.search.positions import MOMENTS_PER_DAY, to_time
from newsmill.search.query import parse_query

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

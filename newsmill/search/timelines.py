"""Timelines: matching documents, counted by span of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
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
DEFAULT_DAYS = 30  # of a period that nobody chose and that has no matches
FITTED_BARS = 60  # at most, without a chosen step
MAX_BARS = 400  # of a chosen step; more are drawn in the next longer step
FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)  # the index has no earlier times

TimelineStep = Literal["day", "week", "month", "year"]
TIMELINE_STEPS: tuple[TimelineStep, ...] = ("day", "week", "month", "year")
_STEP_SPANS = {"day": DAY, "week": 7 * DAY, "month": 32 * DAY, "year": 366 * DAY}  # from a start, they end within the next step


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
        """The steps in which the period can be drawn: those with several bars, and its own."""
        counts = {step: count_bars(self.since, self.until, step) for step in TIMELINE_STEPS}
        return tuple(step for step, n in counts.items() if step == self.step or 1 < n <= MAX_BARS)


@dataclass(frozen=True, slots=True)
class PeriodChoice:
    """What was chosen of a period (aware, UTC). A side or step that is None fits the matches."""

    since: datetime | None
    until: datetime | None
    step: TimelineStep | None
    tomorrow: datetime

    @property
    def widest(self) -> Period:
        """The longest period that the choice allows."""
        return Period(self.since or FIRST_DAY, self.until or self.tomorrow, "day")

    def fit(self, days: Collection[datetime], counted_since: datetime) -> Period:
        """The period of the days with matches, of which those from `counted_since` on are known."""
        until = self.until or (max(days) + DAY if days else self.tomorrow)
        since = self.since or (min(days) if days else max(until - DEFAULT_DAYS * DAY, FIRST_DAY))
        if counted_since > self.widest.since:
            since = self.since or counted_since - timedelta(seconds=1)  # a bar that is not counted tells that there are earlier ones
        step = _choose_step(since, until, self.step)
        since = self.since or start_of_step(since, step)
        return Period(since, self.until or min(next_start(start_of_step(until - DAY, step), step), self.tomorrow), step)


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
    query: str, now: datetime, *, since: datetime | None = None, until: datetime | None = None, step: TimelineStep | None = None
) -> PeriodChoice:
    """The period as given, else that of the query's after: and before:. Nothing after today; a wrong order leaves the last day."""
    parsed = parse_query(query, now)
    tomorrow = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    since, until = since or parsed.since, until or parsed.until
    until = until and max(min(until.astimezone(UTC), tomorrow), FIRST_DAY + DAY)
    since = since and max(since.astimezone(UTC), FIRST_DAY)
    return PeriodChoice(since and (since if since < (end := until or tomorrow) else end - DAY), until, step, tomorrow)


def join_periods(periods: Collection[Period], step: TimelineStep | None) -> Period:
    """The period that covers all of them."""
    since, until = min(one.since for one in periods), max(one.until for one in periods)
    return Period(since, until, _choose_step(since, until, step))


def _choose_step(since: datetime, until: datetime, wanted: TimelineStep | None) -> TimelineStep:
    steps, most = (TIMELINE_STEPS, FITTED_BARS) if wanted is None else (TIMELINE_STEPS[TIMELINE_STEPS.index(wanted) :], MAX_BARS)
    return next((step for step in steps if count_bars(since, until, step) <= most), "year")


def count_bars(since: datetime, until: datetime, step: TimelineStep) -> int:
    """The number of days, weeks, months or years that a period touches.

    >>> [count_bars(datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), step) for step in TIMELINE_STEPS]
    [2, 1, 2, 2]
    """
    first, last = start_of_step(since, step), start_of_step(until - timedelta(microseconds=1), step)
    if step in ("day", "week"):
        return (last - first).days // (1 if step == "day" else 7) + 1
    months = 12 * (last.year - first.year) + last.month - first.month
    return (months if step == "month" else months // 12) + 1


def count_timeline(
    engine: Engine,
    query: str,
    chosen: Period | PeriodChoice,
    *,
    user: str = "",
    seconds: float | None = None,
    without_copies: bool = False,
) -> Timeline:
    """The timeline of a query, counted for at most `seconds` (None: as long as needed). Raises ServiceError.

    `user`: whose marks the query is about. `without_copies`: of a group of copies, one match is counted.
    """
    period = chosen if isinstance(chosen, Period) else chosen.widest
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
    if isinstance(chosen, PeriodChoice):
        period = chosen.fit([day for day, n in days.items() if n > 0], counted_since)
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
    """The starts of the days, weeks, months or years that a period touches."""
    start = start_of_step(period.since, period.step)
    while start < period.until:
        yield start
        start = next_start(start, period.step)


def start_of_step(at: datetime, step: TimelineStep) -> datetime:
    """The start of the day, week, month or year of a time.

    >>> start_of_step(datetime(2026, 11, 28, 9, tzinfo=UTC), "week").date().isoformat()
    '2026-11-23'
    """
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if step in ("month", "year"):
        return day.replace(day=1) if step == "month" else day.replace(month=1, day=1)
    return day if step == "day" else day - day.weekday() * DAY


def next_start(start: datetime, step: TimelineStep) -> datetime:
    """The start of the next day, week, month or year."""
    return start_of_step(start + _STEP_SPANS[step], step)


def format_bar_filters(bar: TimelineBar) -> tuple[str, str]:
    """The filters that select the documents of a bar."""
    return f"after:{_format_time(bar.start)}", f"before:{_format_time(bar.end)}"


def _format_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d}" if at == start_of_step(at, "day") else f"{at:%Y-%m-%dT%H:%M:%S}"

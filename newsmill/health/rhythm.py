"""The rhythm of a source: when it usually publishes, by hour of the week, and how improbable its present silence is.

The unit is the active hour: an hour (UTC) in which at least one document was first seen. A batch of documents, or the first import of an
archive, is therefore one event. An hour of the week that was never observed counts as silent, so that a young source raises no alarm.

**How improbable a silence must be.** Every silence ends with a document, so a source with `n` active hours a week has `n` silences a
week. With the level `MAX_FALSE_ALARMS_PER_WEEK / (MANY_SOURCES * n)` for each of them, `MANY_SOURCES` sources together have on average
at most MANY_SOURCES * n * level = MAX_FALSE_ALARMS_PER_WEEK = 0.01 false alarms a week: one in two years.

The number of active hours in a span is modelled as negative binomial with the mean that the history gives. Its shape is that of the
counts per day, at most MAX_DAY_SHAPE, times the number of days, and at most the number of active hours from which the mean was
estimated: a mean that rests on few events proves little. The probability of none is then (1 + mean / shape) ** -shape.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#
HOURS_PER_WEEK = 168
HISTORY = timedelta(weeks=8)
MANY_SOURCES = 10_000
MAX_FALSE_ALARMS_PER_WEEK = 0.01  # of MANY_SOURCES together
QUIET_PROBABILITY = 0.05  # one silence in twenty is called quiet; nobody is alarmed
MAX_DAY_SHAPE = 8.0  # a public holiday with a tenth of the usual documents is possible for every source
MIN_DAY_SHAPE = 0.25
HOUR = timedelta(hours=1)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """For each hour of the week (Monday 0:00 UTC first): how often it was observed, and how often it was active."""

    observed: tuple[int, ...] = (0,) * HOURS_PER_WEEK
    active: tuple[int, ...] = (0,) * HOURS_PER_WEEK
    day_shape: float = MAX_DAY_SHAPE  # of the negative binomial distribution of the active hours of one day

    @property
    def events(self) -> int:
        """Active hours in the history."""
        return sum(self.active)

    @property
    def events_per_week(self) -> float:
        return sum(self._rate(hour) for hour in range(HOURS_PER_WEEK))

    @property
    def level(self) -> float:
        """The probability below which a silence is an alarm."""
        return MAX_FALSE_ALARMS_PER_WEEK / (MANY_SOURCES * max(1.0, self.events_per_week))

    def _rate(self, hour: int) -> float:
        return self.active[hour] / self.observed[hour] if self.observed[hour] else 0.0

    def expect(self, start: datetime, end: datetime) -> float:
        """The active hours that the history lets expect between two times."""
        if end <= start:
            return 0.0
        weeks = (end - start) // timedelta(weeks=1)
        total = weeks * self.events_per_week if weeks else 0.0
        at = start + weeks * timedelta(weeks=1)
        while at < end:
            following = min(end, at.replace(minute=0, second=0, microsecond=0) + HOUR)
            total += self._rate(hour_of_week(at)) * ((following - at) / HOUR)
            at = following
        return total

    def silence_probability(self, start: datetime, end: datetime) -> float:
        """The probability that a healthy source has no document between two times."""
        mean, shape = self.expect(start, end), self._shape(start, end)
        return math.pow(1 + mean / shape, -shape)

    def is_quiet(self, count: int, start: datetime, end: datetime) -> bool:
        """Whether `count` active hours between two times are fewer than in all but QUIET_PROBABILITY of such spans."""
        mean, shape = self.expect(start, end), self._shape(start, end)
        term = total = math.pow(1 + mean / shape, -shape)
        for number in range(1, count + 1):
            term *= (number - 1 + shape) / number * (mean / (mean + shape))
            total += term
        return total < QUIET_PROBABILITY

    def _shape(self, start: datetime, end: datetime) -> float:
        days = max(1.0, (end - start) / timedelta(days=1))
        return max(MIN_DAY_SHAPE, min(self.day_shape * days, float(self.events)))


def build_rhythm(times: Iterable[datetime], since: datetime, until: datetime) -> Rhythm:
    """The rhythm of documents first seen at `times`, of the last weeks of a history from `since` to `until` (aware)."""
    first = count_hours(max(since, until - HISTORY)) + 1  # the hour that is not observed whole is left out
    last = count_hours(until)
    seen = {hour for at in times if first <= (hour := count_hours(at)) < last}
    observed, active = [0] * HOURS_PER_WEEK, [0] * HOURS_PER_WEEK
    for hour in range(first, last):
        observed[hour % HOURS_PER_WEEK] += 1
    for hour in seen:
        active[hour % HOURS_PER_WEEK] += 1
    return Rhythm(tuple(observed), tuple(active), _estimate_day_shape(seen, first, last, observed, active))


def _estimate_day_shape(seen: set[int], first: int, last: int, observed: list[int], active: list[int]) -> float:
    """By the method of moments: the variance of the days' counts is mean + mean² / shape."""
    counts = Counter(hour // 24 for hour in seen)
    squares = excess = 0.0
    for day in range(-(-first // 24), last // 24):
        hours = [hour % HOURS_PER_WEEK for hour in range(day * 24, day * 24 + 24)]
        mean = sum(active[hour] / observed[hour] for hour in hours)
        squares += mean * mean
        excess += (counts[day] - mean) ** 2 - mean
    if excess <= 0 or not math.isfinite(squares / excess):
        return MAX_DAY_SHAPE
    return min(MAX_DAY_SHAPE, max(MIN_DAY_SHAPE, squares / excess))


def count_hours(at: datetime) -> int:
    """Whole hours from a Monday at midnight UTC to the time."""
    return (at - MONDAY) // HOUR


def hour_of_week(at: datetime) -> int:
    """0 for Monday from 0:00 to 1:00 UTC, 167 for Sunday from 23:00.

    >>> hour_of_week(datetime(2026, 11, 24, 13, 30, tzinfo=UTC))
    37
    """
    return count_hours(at) % HOURS_PER_WEEK

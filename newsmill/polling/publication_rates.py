"""How often a source publishes: articles to expect by hour of the week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

UNKNOWN_RATE = 1 / 144.0  # articles per minute that are assumed before the first one: ten a day

RATE_WINDOW = timedelta(days=28)
RECENT_HOURS = 3
_HOUR_WEIGHT, _DAY_WEIGHT, _RECENT_WEIGHT = 4.0, 25.0, 4.0  # articles that a deviation of an hour, a day and today must outweigh


@dataclass(frozen=True, slots=True)
class PublicationRates:
    """How many articles a source publishes: on average, and the factors of the hours (0 to 23) and weekdays (Monday first), in UTC."""

    per_minute: float
    hours: tuple[float, ...] = (1.0,) * 24
    days: tuple[float, ...] = (1.0,) * 7

    def at(self, moment: datetime) -> float:
        """Articles per minute at an aware time in UTC."""
        return self.per_minute * self.hours[moment.hour] * self.days[moment.weekday()]

    def expect(self, start: datetime, end: datetime) -> float:
        """The number of articles to expect between two times in UTC."""
        count, at = 0.0, start
        while at < end:
            stop = min(end, at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))
            count += self.at(at) * (stop - at).total_seconds() / 60
            at = stop
        return count


def estimate_rates(times: Sequence[datetime], since: datetime, now: datetime) -> PublicationRates:
    """The rates of a source from the times (aware, UTC) of all articles that it published between `since` and `now`.

    Each factor is shrunk towards 1: with few articles every hour is like every other. Neighbouring hours are smoothed.
    """
    times = [at for at in times if since <= at <= now]
    minutes = max((now - since).total_seconds() / 60, 1.0)
    per_minute = (len(times) + 1) / (minutes + 1 / UNKNOWN_RATE)
    flat = PublicationRates(per_minute)
    hours = _shrink(
        _smooth([sum(at.hour == hour for at in times) for hour in range(24)]), _smooth(_expect_by_hour(flat, since, now)), _HOUR_WEIGHT
    )
    hourly = PublicationRates(per_minute, hours)
    found = [float(sum(at.weekday() == day for at in times)) for day in range(7)]
    return PublicationRates(per_minute, hours, _shrink(found, _expect_by_day(hourly, since, now), _DAY_WEIGHT))


def _smooth(values: Sequence[float]) -> list[float]:
    """A quarter of each neighbour and half of the value, around the clock."""
    return [(values[at - 1] + 2 * value + values[(at + 1) % len(values)]) / 4 for at, value in enumerate(values)]


def _shrink(found: Sequence[float], expected: Sequence[float], weight: float) -> tuple[float, ...]:
    return tuple((count + weight) / (expectation + weight) for count, expectation in zip(found, expected, strict=True))


def _expect_by_hour(rates: PublicationRates, start: datetime, end: datetime) -> list[float]:
    expected, at = [0.0] * 24, start
    while at < end:
        stop = min(end, at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))
        expected[at.hour] += rates.at(at) * (stop - at).total_seconds() / 60
        at = stop
    return expected


def _expect_by_day(rates: PublicationRates, start: datetime, end: datetime) -> list[float]:
    expected, at = [0.0] * 7, start
    while at < end:
        stop = min(end, at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1))
        expected[at.weekday()] += rates.expect(at, stop)
        at = stop
    return expected


def compute_today_factor(rates: PublicationRates, recent: int, now: datetime) -> float:
    """How much today deviates from the rates, by the number of articles of the last RECENT_HOURS."""
    expected = rates.expect(now - timedelta(hours=RECENT_HOURS), now)
    return (recent + _RECENT_WEIGHT) / (expected + _RECENT_WEIGHT)

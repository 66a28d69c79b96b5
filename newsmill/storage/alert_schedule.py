"""When an alert sends a message: at once, or as a digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from newsmill.exceptions import ConfigError
from newsmill.text.sentences import Sentence, keyed

MAX_ZONE_CHARACTERS = 64
WEEKDAYS = 7


class Frequency(StrEnum):
    """How often an alert may send a message."""

    AT_ONCE = "at_once"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`hour` (0 to 23) is used by daily and weekly digests, `weekday` (0 is Monday) by weekly ones; both in the time zone `zone`."""

    frequency: Frequency = Frequency.AT_ONCE
    hour: int = 8
    weekday: int = 0
    zone: str = "UTC"

    @property
    def is_digest(self) -> bool:
        return self.frequency is not Frequency.AT_ONCE

    def next_after(self, now: datetime) -> datetime:
        """The first time of a digest after `now` (aware), in UTC; `now` itself for an alert at once.

        An hour that a change of clocks leaves out is replaced by the hour after it; of one that comes twice, the first counts.

        >>> Schedule(Frequency.DAILY, hour=8, zone="Europe/Berlin").next_after(datetime(2026, 11, 25, 7, 0, tzinfo=UTC)).isoformat()
        '2026-11-26T07:00:00+00:00'
        """
        if self.frequency is Frequency.AT_ONCE:
            return now
        if self.frequency is Frequency.HOURLY:
            return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        zone = ZoneInfo(self.zone)
        local = now.astimezone(zone)
        days = 0 if self.frequency is Frequency.DAILY else (self.weekday - local.weekday()) % WEEKDAYS
        while True:
            day = local.date() + timedelta(days=days)
            at = datetime(day.year, day.month, day.day, self.hour, tzinfo=zone).astimezone(UTC)
            if at > now:
                return at
            days += 1 if self.frequency is Frequency.DAILY else WEEKDAYS


def _refuse(key: str, what: Sentence, value: str | int) -> ConfigError:
    return ConfigError(keyed(key, Sentence("expected {what}, not {value}", what=what, value=value)))


def make_schedule(frequency: str, hour: int = 8, weekday: int = 0, zone: str = "UTC") -> Schedule:
    """The schedule of these values. Raises ConfigError."""
    if frequency not in list(Frequency):
        raise _refuse("schedule", Sentence("one of {names}", names=", ".join(Frequency)), repr(frequency[:40]))
    if not 0 <= hour <= 23:
        raise _refuse("hour", Sentence("a whole number from 0 to 23"), hour)
    if not 0 <= weekday < WEEKDAYS:
        raise _refuse("weekday", Sentence("a whole number from 0 (Monday) to 6 (Sunday)"), weekday)
    try:
        ZoneInfo(zone[:MAX_ZONE_CHARACTERS])
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a path raises the others
        raise _refuse("zone", Sentence("a time zone such as Europe/Berlin or UTC"), repr(zone[:40])) from None
    return Schedule(Frequency(frequency), hour, weekday, zone)

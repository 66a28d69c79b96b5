"""Dates as listings write them: aware UTC, or None. Unknown is never a guess."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import struct_time

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)  # what lies before is a zero that somebody took for a date
_AHEAD = timedelta(hours=24)  # a wrong time zone accounts for a day; what lies further ahead is no publication date
_SHORT = re.compile(r"(\d{4})(?:-(\d{2}))?")  # W3C-DTF also allows a year, or a year and a month


def moment(text: object, now: datetime | None = None) -> datetime | None:
    """A W3C / ISO 8601 or RFC 822 date as aware UTC (UTC where it names no zone).

    None for anything absurd, and for what lies more than a day after `now`.
    """
    if not isinstance(text, str) or len(text) > 64:
        return None
    text = text.strip()
    if short := _SHORT.fullmatch(text):
        text = f"{short[1]}-{short[2] or '01'}-01"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
    return plausible(at, now)


def from_struct(parsed: struct_time | None, now: datetime | None = None) -> datetime | None:
    """feedparser's broken-down UTC time as aware UTC, or None."""
    if parsed is None:
        return None
    try:
        return plausible(datetime.fromtimestamp(timegm(parsed), UTC), now)
    except (ValueError, OverflowError, OSError):  # what the platform's calendar does not reach
        return None


def plausible(at: datetime, now: datetime | None) -> datetime | None:
    """The date in UTC when it can be a publication date; without `now` only the calendar's own limits are checked."""
    try:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        return None
    if at < _EARLIEST or at.year > 2200 or (now is not None and at > now + _AHEAD):
        return None
    return at

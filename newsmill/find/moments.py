"""Dates as listings write them: aware UTC, or None. Unknown is never a guess."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)  # what lies before is a zero that somebody took for a date
_AHEAD = timedelta(hours=24)  # a wrong time zone accounts for a day; what lies further ahead is no publication date
_NO_YEAR = re.compile(r"(?<![\d:+-])00\d\d(?![\d:])")  # "0001" is a program's zero; email.utils takes it for 2001
# Names of time zones RFC 5322 does not know, as far as each has one meaning among publishers.
_ZONES = {
    "WEST": "+0100", "BST": "+0100", "CET": "+0100", "MEZ": "+0100", "CEST": "+0200", "MESZ": "+0200", "EET": "+0200", "SAST": "+0200",
    "EEST": "+0300", "MSK": "+0300", "SGT": "+0800", "HKT": "+0800", "JST": "+0900", "KST": "+0900", "AEST": "+1000", "AEDT": "+1100",
    "NZST": "+1200", "NZDT": "+1300",
}  # fmt: skip
_ZONE = re.compile(r"\b([A-Z]{3,4})$")


def moment(text: object, now: datetime | None = None) -> datetime | None:
    """A W3C / ISO 8601 or RFC 822 date as aware UTC (UTC where it names no zone).

    None for anything absurd, and for what lies more than a day after `now`.
    """
    if not isinstance(text, str) or len(text) > 64:
        return None
    text = text.strip()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(_ZONE.sub(lambda match: _ZONES.get(match[1], match[1]), text))
        except (ValueError, OverflowError):
            return None
    return None if _NO_YEAR.search(text) else plausible(at, now)


def plausible(at: datetime, now: datetime | None) -> datetime | None:
    """The date in UTC when it can be a publication date; without `now` only the calendar's own limits are checked."""
    try:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        return None
    if at < _EARLIEST or at.year > 2200 or (now is not None and at > now + _AHEAD):
        return None
    return at

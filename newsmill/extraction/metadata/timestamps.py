"""Timestamps for programs: year, month and day at least; those that are impossible or in the future are rejected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime

from newsmill.extraction.normalise import normalise_line
from newsmill.text import lazy_re as re

MAX_AHEAD = timedelta(hours=24)  # the unnamed time zone of a timestamp may put it ahead of UTC
MIN_TIMESTAMP = datetime(1990, 1, 1, tzinfo=UTC)  # the year of the first web pages; older timestamps are zero dates and misread numbers
MAX_STAMP_CHARACTERS = 100  # characters of a timestamp; longer texts are sentences

_ISO = re.compile(
    r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s,]+(\d{1,2}):(\d{2})(?::(\d{1,2})(?:[.,]\d+)?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?",
    re.IGNORECASE,
)
_COMPACT = re.compile(r"\s*(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2})?)?(Z)?\s*$")
_MAIL = re.compile(r"(?:\w{3},?\s+)?\d{1,2}\s+\w{3}\s+\d{4}\s+\d{1,2}:\d{2}")  # RFC 5322: "Wed, 04 May 2022 02:41:00 GMT"
# "Mon Aug 03 12:45:00 EDT 2015" (C's asctime, the program `date`, Java) and "Mon Aug 03 2015 12:45:00 GMT-0400 (EDT)" (JavaScript)
_PROGRAM = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<year>\d{4} )?(?P<time>\d{1,2}:\d{2}:\d{2})"
    r"(?: (?:GMT(?=[+-]))?(?P<zone>[A-Z]{1,5}|[+-]\d{4}))?(?P<last> \d{4})?(?: \(.*\))?"
)
_EPOCH = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
_URL_DAY = re.compile(
    r"(?:(?<=/)|(?<=[_-])(?=\d{4}[/_-]))((?:19|20)\d{2})([/_-]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\D|$)"
    r"|(?<=/)((?:19|20)\d{2})/(1[0-2]|[1-9])/([12]\d|3[01]|[1-9])(?=/)"  # Squarespace: /2017/7/12/
)


@dataclass(frozen=True, slots=True)
class Timestamp:
    """An instant that a page states."""

    at: datetime  # aware UTC; midnight UTC if only the day is known
    day: str  # ISO day in the time zone of the page, as its readers see it
    source: str  # json-ld, meta, dom, url, feed
    precision: str  # second, minute, day
    zone: str  # "local" (with an offset), "utc", "none" (no zone named; read as UTC)


def parse_timestamp(value: object, source: str, latest: datetime) -> Timestamp | None:
    """Parse ISO 8601 and similar forms, RFC 5322, the forms of C and JavaScript, or seconds since 1970.

    Return None for other values and for times after `latest`. `source` is the provenance that the result gets.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(float(value), source, latest)
    if not isinstance(value, str) or len(value) > MAX_STAMP_CHARACTERS:
        return None
    value = value.strip() if value.isascii() else normalise_line(value)
    if _EPOCH.fullmatch(value):
        return _from_epoch(float(value), source, latest)
    match = _ISO.match(value) or _COMPACT.match(value)
    if match is not None:
        return _from_parts(match, source, latest)
    if (found := _PROGRAM.fullmatch(value)) is not None:
        value = f"{found['day']} {found['month']} {found['year'] or found['last'] or ''} {found['time']} {found['zone'] or ''}".strip()
    return _from_mail(value, source, latest) if _MAIL.match(value) else None


def _from_parts(match: re.Match[str], source: str, latest: datetime) -> Timestamp | None:
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        local = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59), tzinfo=UTC)
        at = local - _parse_offset(zone) if hour is not None else local
    except (ValueError, OverflowError):
        return None
    precision = "day" if hour is None else "minute" if second is None else "second"
    return _reject_implausible(Timestamp(at, local.date().isoformat(), source, precision, _classify_zone(zone)), latest)


def _classify_zone(zone: str | None) -> str:
    if zone is None:
        return "none"
    return "utc" if zone.upper() in ("Z", "UTC", "GMT") or not zone.strip("+-0:") else "local"


def _parse_offset(zone: str | None) -> timedelta:
    if _classify_zone(zone) != "local" or zone is None:
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if size > timedelta(hours=15):
        raise ValueError(zone)  # the maximum offset from UTC is 14 hours
    return size if zone[0] == "+" else -size


def _from_mail(value: str, source: str, latest: datetime) -> Timestamp | None:
    try:
        found = parsedate_to_datetime(value)
    except ValueError:
        return None
    zone = "none" if found.tzinfo is None else "utc" if not found.utcoffset() else "local"
    at = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return _reject_implausible(Timestamp(at, found.date().isoformat(), source, "second", zone), latest)


def _from_epoch(seconds: float, source: str, latest: datetime) -> Timestamp | None:
    seconds = seconds / 1000 if seconds > 1e11 else seconds
    if not 0 < seconds < 1e11:
        return None
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)
    return _reject_implausible(Timestamp(at, at.date().isoformat(), source, "second", "utc"), latest)


def make_timestamp(value: datetime | date | None, source: str, latest: datetime) -> Timestamp | None:
    """Make a timestamp from a time or a day that is already parsed (a feed); None for None and for implausible ones.

    Midnight with an offset is a day without a time. Midnight in UTC may be one, and stays a time, as it is written.
    """
    if value is not None and not isinstance(value, datetime):
        return parse_timestamp(value.isoformat(), source, latest)
    if (
        value is None or not MIN_TIMESTAMP.year - 1 <= value.year <= latest.year + 1
    ):  # a year at the end of the calendar cannot be converted
        return None
    day, zone = value.date().isoformat(), "utc" if not value.utcoffset() else "local"
    if zone == "local" and value.time() == time():  # "2026-11-14T00:00:00+01:00": a day
        return _reject_implausible(Timestamp(value.replace(tzinfo=UTC), day, source, "day", zone), latest)
    return _reject_implausible(Timestamp(value.astimezone(UTC), day, source, "second", zone), latest)


def _reject_implausible(moment: Timestamp, latest: datetime) -> Timestamp | None:
    return moment if MIN_TIMESTAMP <= moment.at <= latest else None


def find_url_day(url: str, latest: datetime) -> Timestamp | None:
    """Return the day in a URL like /2026/11/25/ or /2026/7/5/, or None."""
    match = _URL_DAY.search(url)
    return parse_timestamp("-".join(match.group(1, 3, 4) if match[1] else match.group(5, 6, 7)), "url", latest) if match else None

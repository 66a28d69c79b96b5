"""When it was published and last changed: instants in UTC with their source and precision. Never a guess, never in the future."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from htmldate import find_date
from lxml.html import HtmlElement

from newsmill.read.structured import Structured

TOLERANCE = timedelta(hours=24)  # a stamp may be ahead of us by a time zone that it does not name; RELIABILITY.md, case C4
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # the web's first pages; older stamps are zero dates and misread numbers

_ISO = re.compile(
    r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?",
    re.IGNORECASE,
)
_COMPACT = re.compile(r"\s*(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2})?)?(Z)?\s*$")
_URL_DAY = re.compile(r"/((?:19|20)\d{2})[/-]?(0[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01])(?=\D|$)")
_META = ("article:published_time", "og:article:published_time", "datepublished", "date.published", "publishdate", "publish-date", "publication_date",
    "pubdate", "parsely-pub-date", "sailthru.date", "cxenseparse:recs:publishtime", "dc.date.issued", "dcterms.created", "dc.date", "dcterms.date", "date", "article.published")  # fmt: skip
_META_CHANGED = (
    "article:modified_time",
    "og:updated_time",
    "datemodified",
    "last-modified",
    "lastmod",
    "dcterms.modified",
    "dc.date.modified",
)


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant as the page states it."""

    at: datetime  # aware UTC; midnight UTC of the day where only the day is known
    day: str  # ISO day in the page's own zone
    source: str  # json-ld, meta, dom, url, text, feed
    precision: str  # second, minute, day


def find_published(page: Structured, tree: HtmlElement, url: str, now: datetime, hint: datetime | None = None) -> Moment | None:
    """The publication moment, or None. `now` is when the page was fetched: nothing later than a day after it is believed."""
    latest = now + TOLERANCE
    article = page.article or {}
    json_ld = _first((article.get("datePublished"), article.get("dateCreated"), article.get("uploadDate")), "json-ld", latest)
    meta = _first((value for name in _META for value in page.meta.get(name, ())), "meta", latest)
    local = url_day(url, latest)
    if json_ld is not None and (meta is None or meta.day == json_ld.day):
        return json_ld
    if meta is not None and json_ld is None:
        return meta
    if json_ld is not None:
        return json_ld
    return _by_htmldate(tree, url, now) or _from_hint(hint, latest) or local


def find_modified(page: Structured, published: Moment | None, now: datetime, hint: datetime | None = None) -> Moment | None:
    """The last change, or None; never before the publication."""
    latest = now + TOLERANCE
    article = page.article or {}
    found = _first((article.get("dateModified"),), "json-ld", latest) or _first(
        (value for name in _META_CHANGED for value in page.meta.get(name, ())), "meta", latest
    )
    found = found or _from_hint(hint, latest)
    return found if found is None or published is None or found.at >= published.at else None


def _first(values: Iterator[object] | tuple[object, ...], source: str, latest: datetime) -> Moment | None:
    return next((moment for value in values if (moment := read_moment(value, source, latest)) is not None), None)


def read_moment(value: object, source: str, latest: datetime) -> Moment | None:
    """A machine-readable stamp: ISO 8601 and what looks like it, or seconds since 1970. None for anything impossible or later than `latest`."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(float(value), source, latest)
    if not isinstance(value, str) or len(value) > 100:
        return None
    match = _ISO.match(value) or _COMPACT.match(value)
    if match is None:
        return _from_epoch(float(value), source, latest) if re.fullmatch(r"\d{10}(?:\d{3})?", value.strip()) else None
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        local = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59), tzinfo=UTC)
        at = local - _offset(zone)
    except (ValueError, OverflowError):
        return None
    precision = "day" if hour is None else "minute" if second is None else "second"
    return _plausible(Moment(at, local.date().isoformat(), source, precision), latest)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone.upper() in ("Z", "UTC", "GMT"):
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if size > timedelta(hours=15):
        raise ValueError(zone)
    return size if zone[0] == "+" else -size


def _from_epoch(seconds: float, source: str, latest: datetime) -> Moment | None:
    seconds = seconds / 1000 if seconds > 1e11 else seconds
    if not 0 < seconds < 1e11:
        return None
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)
    return _plausible(Moment(at, at.date().isoformat(), source, "second"), latest)


def _from_hint(hint: datetime | None, latest: datetime) -> Moment | None:
    return None if hint is None else _plausible(Moment(hint.astimezone(UTC), hint.date().isoformat(), "feed", "second"), latest)


def _plausible(moment: Moment, latest: datetime) -> Moment | None:
    return moment if EARLIEST <= moment.at <= latest else None


def url_day(url: str, latest: datetime) -> Moment | None:
    """The day in an address like /2026/11/25/, or None."""
    match = _URL_DAY.search(url)
    return read_moment("-".join(match.groups()), "url", latest) if match else None


def _by_htmldate(tree: HtmlElement, url: str, now: datetime) -> Moment | None:
    """htmldate's reading of the visible page, where no stamp for machines exists."""
    found = find_date(tree, url=url or None, original_date=True, extensive_search=True, max_date=now + TOLERANCE)
    return None if found is None else read_moment(found, "dom", now + TOLERANCE)

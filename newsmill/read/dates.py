"""When it was published and last changed: which of the page's stamps to believe. Unknown is None, never today's date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from htmldate import find_date

from newsmill.read import first_use
from newsmill.read.shown_days import shown_day
from newsmill.read.stamps import TOLERANCE, Moment, from_datetime, read_moment, url_day
from newsmill.read.structured import Structured

# <meta> names of the publication, those defined for it (Open Graph, schema.org) first.
_FIRM = ("article:published_time", "og:article:published_time", "datepublished")
_META = (
    *_FIRM,
    *(
        "date.published",
        "article.published",
        "publishdate",
        "publish-date",
        "publication_date",
        "pubdate",
        "parsely-pub-date",
        "sailthru.date",
    ),
    *("cxenseparse:recs:publishtime", "dc.date.issued", "dcterms.created", "dc.date", "dcterms.date", "date"),
)
_META_CHANGED = (
    "article:modified_time",
    "og:updated_time",
    "datemodified",
    "last-modified",
    "lastmod",
    "dcterms.modified",
    "dc.date.modified",
)
_SAME = timedelta(seconds=90)  # two stamps of one event differ by the seconds one of them leaves out


def find_published(page: Structured, url: str, now: datetime, hint: datetime | None = None) -> Moment | None:
    """The publication moment, or None. `now` is when the page was fetched: nothing later than a day after it is believed.

    JSON-LD counts at once where <meta> or microdata name the same day, or nobody else speaks; a firm <meta> counts alone. Where they
    disagree, htmldate's reading of the whole page decides the day (quality/FINDINGS.md section 5). The listing and the address come last.
    """
    latest = now + TOLERANCE
    article = page.article or {}
    json_ld = _first((article.get("datePublished"), article.get("dateCreated"), article.get("uploadDate")), "json-ld", latest)
    meta = _first(_contents(page, _META), "meta", latest)
    micro = None if _is_sure(json_ld, meta) else _first(page.marks.dates, "dom", latest)
    found = _agreed(json_ld, meta, micro)
    if found is None and json_ld is None and micro is None:
        found = _first(_contents(page, _FIRM), "meta", latest)
    found = found or _by_htmldate(page, url, now, (json_ld, meta, micro))
    found = found or json_ld or meta or micro or from_datetime(hint, "feed", latest) or url_day(url, latest)
    return None if found is None else _on_its_own_day(found, page, url, now)


def find_modified(page: Structured, published: Moment | None, now: datetime, hint: datetime | None = None) -> Moment | None:
    """The last change, or None; never before the publication."""
    latest = now + TOLERANCE
    found = (
        _first(((page.article or {}).get("dateModified"),), "json-ld", latest)
        or _first(_contents(page, _META_CHANGED), "meta", latest)
        or from_datetime(hint, "feed", latest)
    )
    return found if found is None or published is None or found.at >= published.at else None


def _contents(page: Structured, names: Iterable[str]) -> Iterator[str]:
    return (value for name in names for value in page.meta.get(name, ()))


def _first(values: Iterable[object], source: str, latest: datetime) -> Moment | None:
    return next((moment for value in values if (moment := read_moment(value, source, latest)) is not None), None)


def _is_sure(json_ld: Moment | None, meta: Moment | None) -> bool:
    """Whether nothing that microdata may say would change what `_agreed` makes of these two: the page's elements need not be asked."""
    return json_ld is not None and json_ld.precision != "day" and meta is not None and _is_same(json_ld, meta)


def _agreed(json_ld: Moment | None, meta: Moment | None, micro: Moment | None) -> Moment | None:
    """JSON-LD when another source names its day or instant, or when it speaks alone; the one of them with the most exact stamp."""
    if json_ld is None:
        return None
    others = [other for other in (meta, micro) if other is not None]
    same = [other for other in others if _is_same(json_ld, other)]
    if others and not same:
        return None
    return next((other for other in same if json_ld.precision == "day" and other.precision != "day"), json_ld)


def _is_same(one: Moment, other: Moment) -> bool:
    return other.day == one.day or abs(other.at - one.at) <= _SAME


def _by_htmldate(page: Structured, url: str, now: datetime, stated: Iterable[Moment | None]) -> Moment | None:
    """htmldate's day; with the time of a stated stamp of that day."""
    first_use.watch_date_words()
    found = find_date(page.marks.tree, url=url or None, original_date=True, extensive_search=True, max_date=now + TOLERANCE)
    day = None if found is None else read_moment(found, "dom", now + TOLERANCE)
    return next((moment for moment in stated if moment is not None and day is not None and moment.day == day.day), day)


def _on_its_own_day(found: Moment, page: Structured, url: str, now: datetime) -> Moment:
    """The same instant with the day that the site's readers see.

    A stamp in UTC may lie on the day before or after the site's own. Another stamp of the same instant with an offset knows the site's
    day; so does the address, a stamp without zone a few hours away, and what the page shows.
    """
    latest = now + TOLERANCE
    if found.zone != "utc" or found.precision == "day":
        return found
    stamps = [
        moment for value in _all_stamps(page) if (moment := read_moment(value, "dom", latest)) is not None and moment.precision != "day"
    ]
    local = next((moment.day for moment in stamps if moment.zone == "local" and abs(moment.at - found.at) <= _SAME), None)
    address = url_day(url, latest)
    if local is None and address is not None and abs(date.fromisoformat(address.day) - date.fromisoformat(found.day)).days == 1:
        local = address.day
    if local is None:
        local = next((moment.day for moment in stamps if moment.zone == "none" and _is_offset(moment.at - found.at)), None)
    local = local or shown_day((*page.times, *page.marks.dated), found)
    return found if local is None else replace(found, day=local)


def _all_stamps(page: Structured) -> Iterator[object]:
    yield from (node["datePublished"] for node in page.nodes if "datePublished" in node)
    yield from _contents(page, _META)
    yield from page.marks.dates
    yield from (element.get("datetime") for element in page.times)


def _is_offset(gap: timedelta) -> bool:
    """True for a difference that a time zone can make: up to 14 hours, in quarters."""
    seconds = abs(gap.total_seconds())
    return 0 < seconds <= 14 * 3600 and seconds % 900 < _SAME.total_seconds()

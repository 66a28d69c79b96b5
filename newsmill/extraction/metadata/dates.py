"""The publication date and the last change of a page: the choice between its timestamps. An unknown date is None, never the current date.

A timestamp in UTC may be on the day before or after the day of the site, which another timestamp, the URL or a <time> tells.
Class names such as "date" are not evidence: mastheads show the current date, and teasers show those of other articles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.blocks import Layout
from newsmill.extraction.body.prompts import replace_elements
from newsmill.extraction.body.teasers import find_comments, find_teasers
from newsmill.extraction.metadata.headline_dates import MAX_DATED_ELEMENTS, HeadlineDate, find_headline, find_headline_date
from newsmill.extraction.metadata.json_ld import get_types, is_json_ld, parse_json_ld
from newsmill.extraction.metadata.marked_elements import ARTICLE_TYPES
from newsmill.extraction.metadata.other_articles import find_items, find_teaser_parts
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, Timestamp, find_url_day, make_timestamp, parse_timestamp
from newsmill.extraction.metadata.titles import find_title
from newsmill.extraction.metadata.written_dates import find_written_dates
from newsmill.text.language_tags import parse_language_tag

MAX_HOURS_BEHIND, MAX_HOURS_AHEAD = 12, 14  # hours by which local times are behind and ahead of UTC
# <meta> names of the publication date; the standard ones (Open Graph, schema.org) come first.
_STANDARD_META = ("article:published_time", "datepublished")
_PUBLISHED_META = (
    *_STANDARD_META,
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
    *("cxenseparse:recs:publishtime", "dc.date.issued", "dcterms.created", "dc.date.created", "dc.date", "dcterms.date", "date"),
)
_MODIFIED_META = (
    "article:modified_time",
    "og:updated_time",
    "datemodified",
    "last-modified",
    "lastmod",
    "dcterms.modified",
    "dc.date.modified",
)
MAX_REQUEST_GAP = timedelta(seconds=60)  # between the fetch and a timestamp that is the time of the request; clocks differ
_SAME_EVENT = timedelta(seconds=90)  # one of two timestamps of an event may omit the seconds
_DATE_CLASS = re.compile(r"date|time|publish", re.IGNORECASE)


def find_published(
    page: StructuredData, url: str, now: datetime, hint: datetime | date | None = None, language: str | None = None
) -> Timestamp | None:
    """Return the publication time, or None. `now` is the time of the fetch; a timestamp more than one day later is ignored.

    `language` is the BCP 47 tag of the text, and `hint` is the date of the listing.

    JSON-LD is used at once if <meta> or microdata name the same day, or if no other source has a date. A standard <meta> is used alone.
    A time of the request in microdata or another <meta> is none: some sites write the current time there.
    If these disagree or are absent, the date beside the headline decides, then the URL, then the sources by rank, with the listing last.
    htmldate is the last choice, and only for elements marked as dates: half of its results in free text are wrong.
    """
    latest, language = now + MAX_AHEAD, language or parse_language_tag(page.lang)
    article = page.article or {}
    json_ld = _parse_first((article.get("datePublished"), article.get("dateCreated"), article.get("uploadDate")), "json-ld", latest)
    standard = _parse_first(_list_meta_values(page, _STANDARD_META), "meta", latest)
    meta = standard or _drop_request_time(_parse_first(_list_meta_values(page, _PUBLISHED_META), "meta", latest), now)
    microdata = None if _is_settled(json_ld, meta) else _drop_request_time(_parse_first(page.marks.dates, "dom", latest), now)
    found = _choose_agreed(json_ld, meta, microdata)
    if found is None and json_ld is None and microdata is None:
        found = standard
    if found is None:
        web_page = _parse_first((node.get("datePublished") for node in page.nodes if "WebPage" in get_types(node)), "json-ld", latest)
        declared = (json_ld, meta, microdata, web_page, make_timestamp(hint, "feed", latest))
        date_shown = find_headline_date(_get_layout(page, page.marks.tree), _get_title(page, url), language)
        found = (
            _find_by_headline(url, latest, declared, date_shown)
            or next(filter(None, declared), None)
            or _find_by_htmldate(page, url, now, date_shown)
        )
    if found is None:
        return None
    return _correct_day(found, page, url, latest, hint, language)


def _find_by_headline(
    url: str, latest: datetime, declared: Sequence[Timestamp | None], date_shown: HeadlineDate | None
) -> Timestamp | None:
    """Return the day of the date beside the headline or of the URL, with the time of a declared timestamp of that day."""
    url_day = find_url_day(url, latest)
    days = () if date_shown is None or date_shown.updated else date_shown.days
    near = next((one for day in days for one in (*declared, url_day) if one is not None and one.day == day), None)
    if near is not None:
        return near
    timestamps = [parse_timestamp(value, "dom", latest) for value in (() if date_shown is None else date_shown.datetimes)]
    precise = [replace(one, day=day) for day in days for one in timestamps if one is not None and day in list_possible_days(one.at)]
    if precise:
        return min(precise, key=lambda one: one.at)
    if url_day is not None:
        return next((one for one in declared if one is not None and one.day == url_day.day), url_day)
    return parse_timestamp(days[0], "dom", latest) if len(days) == 1 else None


def _drop_request_time(found: Timestamp | None, now: datetime) -> Timestamp | None:
    return None if found is not None and found.precision != "day" and abs(found.at - now) <= MAX_REQUEST_GAP else found


def _find_by_htmldate(page: StructuredData, url: str, now: datetime, date_shown: HeadlineDate | None) -> Timestamp | None:
    """Return the day that htmldate finds in other <meta> names and in elements marked as dates, outside comments and teasers.

    If a <time> has this day, its time is returned.

    Return None for the day of the last change, and for the day of the fetch if a <meta> or microdata states the time of the request.
    """
    latest = now + MAX_AHEAD
    # it costs 0.05 s of CPU, which the processes that import this module and read no page need not spend
    from htmldate import find_date

    tree = page.marks.tree
    with replace_elements(_list_other_articles(page, url)):
        day = find_date(tree, original_date=True, extensive_search=False, max_date=latest)
        times = [element.get("datetime") for element in islice(tree.iter("time"), MAX_DATED_ELEMENTS)]
    found = None if day is None else parse_timestamp(day, "dom", latest)
    if found is None:
        return None
    changed = {
        moment.day for value in _list_meta_values(page, _MODIFIED_META) if (moment := parse_timestamp(value, "meta", latest)) is not None
    }
    changed.update(date_shown.days if date_shown is not None and date_shown.updated else ())
    changed.update(
        moment.day for node in page.nodes if (moment := parse_timestamp(node.get("dateModified"), "json-ld", latest)) is not None
    )
    stated = (*page.marks.dates, *(value for values in page.meta.values() for value in values))
    timestamps = filter(None, (parse_timestamp(value, "meta", latest) for value in stated))
    changed.update(moment.day for moment in timestamps if _drop_request_time(moment, now) is None)
    if found.day in changed:
        return None
    moments = (parse_timestamp(value, "dom", latest) for value in times)
    return next((one for one in moments if one is not None and one.day == found.day), found)


def _list_other_articles(page: StructuredData, url: str) -> list[HtmlElement]:
    """Return the elements of comments, teasers and other articles of microdata; with JSON-LD, all its dates are those of other things."""
    tree, title = page.marks.tree, _get_title(page, url)
    layout = _get_layout(page, tree)
    headline = None if title is None else find_headline(layout.blocks, title)
    comments = [box.element for box in find_comments(layout, headline)]
    if headline is not None:
        teasers = [box.element for box in find_teasers(layout, headline, url)]
    else:
        dated = [part for part in tree.iter(etree.Element) if part.tag == "time" or _DATE_CLASS.search(part.get("class", ""))]
        teasers = [*find_teaser_parts(tree, dated, page.marks.titles)]
    scripts = (script for script in tree.iter("script") if is_json_ld(script) and parse_json_ld(script.text or "") is not None)
    others = find_items(tree, ARTICLE_TYPES, page.marks.titles).others
    return [*comments, *teasers, *scripts, *others]


def find_modified(
    page: StructuredData, published: Timestamp | None, now: datetime, hint: datetime | date | None = None
) -> Timestamp | None:
    """Return the time of the last change, or None. A time before the publication is ignored."""
    latest = now + MAX_AHEAD
    found = (
        _parse_first(((page.article or {}).get("dateModified"),), "json-ld", latest)
        or _parse_first(_list_meta_values(page, _MODIFIED_META), "meta", latest)
        or make_timestamp(hint, "feed", latest)
    )
    return found if found is None or published is None or found.at >= published.at else None


def _list_meta_values(page: StructuredData, names: Iterable[str]) -> Iterator[str]:
    return (value for name in names for value in page.meta.get(name, ()))


def _parse_first(values: Iterable[object], source: str, latest: datetime) -> Timestamp | None:
    return next((moment for value in values if (moment := parse_timestamp(value, source, latest)) is not None), None)


def _is_settled(json_ld: Timestamp | None, meta: Timestamp | None) -> bool:
    """Whether microdata cannot change the result of `_choose_agreed` for these two, so that the elements need not be searched."""
    return json_ld is not None and json_ld.precision != "day" and meta is not None and _is_same(json_ld, meta)


def _choose_agreed(json_ld: Timestamp | None, meta: Timestamp | None, microdata: Timestamp | None) -> Timestamp | None:
    """Return the date of JSON-LD if no other source contradicts its day; a more precise timestamp of the same day takes precedence."""
    if json_ld is None:
        return None
    others = [other for other in (meta, microdata) if other is not None]
    same = [other for other in others if _is_same(json_ld, other)]
    if others and not same:
        return None
    return next((other for other in same if json_ld.precision == "day" and other.precision != "day"), json_ld)


def _is_same(one: Timestamp, other: Timestamp) -> bool:
    return other.day == one.day or abs(other.at - one.at) <= _SAME_EVENT


def _get_layout(page: StructuredData, tree: HtmlElement) -> Layout:
    return page.marks.layout if tree is page.marks.part else segment(tree)


def _get_title(page: StructuredData, url: str) -> str | None:
    found = find_title(page, url)
    return None if found is None else found[0]


def _correct_day(
    found: Timestamp, page: StructuredData, url: str, latest: datetime, hint: datetime | date | None, language: str | None
) -> Timestamp:
    """Return the same instant with the day of the site. A timestamp in UTC may be on the day before or after it.

    Another timestamp of the same instant with an offset gives the day of the site, otherwise the URL, otherwise a <time>.
    """
    if found.zone != "utc" or found.precision == "day":
        return found
    stated = (*(parse_timestamp(value, "dom", latest) for value in _list_timestamps(page)), make_timestamp(hint, "feed", latest))
    timed = (moment for moment in stated if moment is not None and moment.zone == "local" and moment.precision != "day")
    local = next((moment.day for moment in timed if abs(moment.at - found.at) <= _SAME_EVENT), None)
    url_date = find_url_day(url, latest)
    if local is None and url_date is not None and abs(date.fromisoformat(url_date.day) - date.fromisoformat(found.day)).days == 1:
        local = url_date.day
    local = local or _find_displayed_day(page, found, language)
    return found if local is None else replace(found, day=local)


def _find_displayed_day(page: StructuredData, found: Timestamp, language: str | None) -> str | None:
    """Return the day of the instant in some time zone that a <time> or microdata display; the day of the timestamp comes first."""
    texts = ("".join(element.itertext()) for element in islice((*page.times, *page.marks.dated), MAX_DATED_ELEMENTS))
    shown = {day for text in texts for one in find_written_dates(text, language) for day in one.days}
    return next((day for day in (found.day, *list_possible_days(found.at)) if day in shown), None)


def _list_timestamps(page: StructuredData) -> Iterator[object]:
    yield from (node["datePublished"] for node in page.nodes if "datePublished" in node)
    yield from _list_meta_values(page, _PUBLISHED_META)
    yield from page.marks.dates
    yield from (element.get("datetime") for element in page.times)


def list_possible_days(at: datetime) -> tuple[str, ...]:
    """Return the ISO days of an instant in UTC in all time zones, the earliest first.

    >>> list_possible_days(datetime(2026, 3, 3, 9, 30))
    ('2026-03-02', '2026-03-03')
    """
    shown = ((at + timedelta(hours=hours)).date().isoformat() for hours in (-MAX_HOURS_BEHIND, 0, MAX_HOURS_AHEAD))
    return tuple(dict.fromkeys(shown))

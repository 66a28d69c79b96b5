"""A feed as written: its fields and entries before they are cleaned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto


class TitleForm(Enum):
    """How a title is written."""

    HTML = auto()  # declared by the feed
    TEXT = auto()  # declared by the feed, though many such titles hold character references
    XHTML = auto()  # the scanner removed its elements; "<" in the rest is text
    UNKNOWN = auto()  # RSS does not declare a form; only the usual tags of titles count as markup


def find_title_form(media_type: str, mode: str, is_atom: bool) -> TitleForm:
    """The form by the type of a title (Atom 1.0: text, html, xhtml; Atom 0.3: a media type and a mode)."""
    if "xhtml" in media_type or mode == "xml":
        return TitleForm.XHTML
    if "html" in media_type:
        return TitleForm.HTML
    return TitleForm.TEXT if is_atom and mode != "escaped" and media_type in ("", "text", "text/plain") else TitleForm.UNKNOWN


MAX_UPDATE_INTERVAL = timedelta(days=366)  # of `yearly`, the longest period of the syndication module
_PERIODS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "monthly": timedelta(days=30),
    "yearly": timedelta(days=365),
}
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class RawFeed:
    """The content of a feed; `is_feed` is False for any other text."""

    is_feed: bool
    language: str | None
    authors: tuple[str, ...]  # of an Atom feed, for entries that name none
    entries: tuple[RawEntry, ...]
    hub: str | None = None  # href of the first link with rel="hub"
    self_url: str | None = None  # href of the first link with rel="self"
    updates: Mapping[str, str] = field(default_factory=dict)  # the texts of UPDATE_ELEMENTS, by element
    is_cut_off: bool = False  # the root element does not end


@dataclass(slots=True)
class RawEntry:
    """One entry's fields as written, by name, each with the text of all its elements in order."""

    language: str | None
    fields: dict[str, list[str]] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)  # (rel, URL); of a type in PAGE_TYPES if rel is "alternate"
    title_form: TitleForm = TitleForm.UNKNOWN
    source_authors: list[str] = field(default_factory=list)


def find_update_interval(updates: Mapping[str, str]) -> timedelta | None:
    """How often a feed says that it changes; None: it does not say it, or in no valid form.

    `ttl` is a number of minutes (RSS 2.0, rssboard.org/rss-specification). Without it, `sy:updatePeriod` is divided by
    `sy:updateFrequency` (RSS 1.0 syndication module: daily and 1 where one of the two is missing).

    >>> find_update_interval({"sy:updateperiod": "daily", "sy:updatefrequency": "4"})
    datetime.timedelta(seconds=21600)
    """
    if minutes := _parse_number(updates.get("ttl")):
        return min(timedelta(minutes=minutes), MAX_UPDATE_INTERVAL)
    period, frequency = updates.get("sy:updateperiod"), updates.get("sy:updatefrequency")
    if period is None and frequency is None:
        return None
    span, times = _PERIODS.get((period or "daily").lower()), _parse_number(frequency or "1")
    return None if span is None or not times else max(span / times, timedelta(seconds=1))


def _parse_number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None

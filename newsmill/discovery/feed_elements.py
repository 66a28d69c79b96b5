"""The elements of feed formats: their canonical names, the fields of an entry that they fill, the list of the open ones, and the raw feed.

The formats are RSS, RDF, CDF and Atom, with Dublin Core, Media RSS, iTunes and FeedBurner.
Sources: RSS 2.0 (rssboard.org), RSS 1.0 (web.resource.org), RFC 4287, Media RSS 1.5.1, DCMI terms, and feedparser's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import NamedTuple

import ada_url

from newsmill.urls import MAX_URL_CHARACTERS

MAX_DEPTH = 256  # open elements; a feed has about 6, and XHTML inside it a dozen
_MAX_PREFIXES = 64  # namespaces in force at one place
# Part of a namespace's URL → canonical prefix. Atom and RSS have many URLs and no prefix.
_NAMESPACES = (
    ("purl.org/dc", "dc:"), ("mrss", "media:"), ("itunes", "itunes:"), ("feedburner", "feedburner:"), ("1999/xhtml", "xhtml:"),
    ("22-rdf-syntax-ns", "rdf:"), ("prismstandard", "prism:"), ("rss/1.0/modules/rss091", ""), ("rss/1.0/modules/content", "content:"),
    ("rss/1.0/modules/syndication", "sy:"),
    ("2005/atom", ""), ("purl.org/atom/ns", ""), ("purl.org/pie", ""), ("purl.org/echo", ""), ("backend.userland.com/rss", ""),
    ("harvard.edu/tech/rss", ""), ("netscape.com", ""), ("purl.org/net/rss1.1", ""), ("rssboard.org", ""),
    ("/necho", ""), ("echo/namespace", ""), ("/newformat#", ""),  # drafts of Atom
)  # fmt: skip
_RSS_1 = re.compile(r"https?://purl\.org/rss/[\d.]+/?", re.I)
ROOT_ELEMENTS = frozenset({"rss", "feed", "rdf:rdf", "rdf", "channel"})
ENTRY_ELEMENTS = frozenset({"item", "entry"})
# Elements of a feed that say how often it changes: RSS 2.0, and the syndication module of RSS 1.0.
UPDATE_ELEMENTS = frozenset({"ttl", "sy:updateperiod", "sy:updatefrequency"})


# Element of an entry → field. A field's elements nearest to the entry count.
ENTRY_FIELDS = {
    "title": "title", "dc:title": "dc:title", "media:title": "media:title",
    "link": "link", "guid": "guid", "id": "id", "feedburner:origlink": "origlink", "pheedo:origlink": "origlink",
    "pubdate": "published", "published": "published", "issued": "published", "dc:issued": "published",
    "created": "created", "dc:created": "created", "date": "date", "dc:date": "date", "prism:publicationdate": "date",
    "updated": "updated", "modified": "updated", "dc:modified": "updated", "lastbuilddate": "updated",
    "author": "author", "dc:creator": "author", "dc:author": "author", "itunes:author": "author", "managingeditor": "author",
    "category": "tag", "dc:subject": "tag", "media:category": "tag", "itunes:category": "tag", "keywords": "tag",
    "media:keywords": "keywords", "itunes:keywords": "keywords", "tags": "keywords",
    "language": "language", "dc:language": "language",
}  # fmt: skip
TITLE_FIELDS = ("title", "dc:title", "media:title")  # by priority
LIST_FIELDS = frozenset({"author", "tag", "keywords"})  # every element of these fields counts, at any depth
# Elements of an entry whose content has titles, links and authors of its own.
CONTAINER_ELEMENTS = frozenset({
    "source", "image", "textinput", "contributor", "content", "content:encoded", "description", "summary", "body", "xhtml:body",
    "media:description", "itunes:summary", "dc:description", "media:credit",
})  # fmt: skip
HTML_CONTAINERS = frozenset({"content:encoded", "description", "summary", "media:description", "itunes:summary", "dc:description"})
PERSON_NAME_ELEMENTS = frozenset({"name", "itunes:name", "foaf:name", "dc:title"})
PERSON_DETAIL_ELEMENTS = frozenset({"email", "uri", "url", "homepage", "itunes:email", "foaf:mbox", "foaf:homepage", "gd:image"})
HIDDEN_ELEMENTS = frozenset({"script", "style", "applet", "xhtml:script", "xhtml:style", "xhtml:applet"})
BREAK_ELEMENTS = frozenset({"br", "p", "div", "li", "xhtml:br", "xhtml:p", "xhtml:div", "xhtml:li"})
PAGE_TYPES = frozenset({"", "html", "xhtml", "text/html", "application/xhtml+xml"})  # types of an alternate link that is an article


class Element(NamedTuple):
    """An open element; `prefixes` maps the prefixes in force to the canonical ones."""

    name: str
    base: str
    language: str | None
    prefixes: dict[str, str]


class OpenElements:
    """The open elements: the document is at level 1, the deepest element at MAX_DEPTH."""

    def __init__(self, url: str) -> None:
        self._elements = [Element("", url, None, {"xml": "xml:"})]
        self._levels: dict[str, list[int]] = {}  # of the elements with a name
        self._ignored_depth = 0  # open elements below MAX_DEPTH

    @property
    def level(self) -> int:
        """The level of the deepest open element."""
        return len(self._elements)

    def at(self, level: int) -> Element:
        """The element at a level of 1 or more."""
        return self._elements[level - 1]

    def names(self, level: int) -> set[str]:
        """The names of the elements from a level down."""
        return {element.name for element in self._elements[level - 1 :]}

    def namespaces(self, attributes: dict[str, str], *, in_entry: bool) -> dict[str, str]:
        """The prefixes in force in an element with these attributes. The prefix of an unknown namespace stays as written."""
        prefixes = self._elements[-1].prefixes
        declared = {key[6:]: value for key, value in attributes.items() if key == "xmlns" or key.startswith("xmlns:")}
        if not declared or len(prefixes) >= _MAX_PREFIXES:
            return prefixes
        # Inside an entry, a foreign vocabulary may have a "title" of its own; around the entries, an unknown namespace counts as RSS.
        foreign = "other:" if in_entry else ""
        return prefixes | {prefix: _choose_prefix(prefix, url, foreign) for prefix, url in list(declared.items())[:_MAX_PREFIXES]}

    def push(self, name: str, attributes: dict[str, str], prefixes: dict[str, str]) -> Element | None:
        """Opens an element; None if it is deeper than MAX_DEPTH."""
        if len(self._elements) >= MAX_DEPTH:
            self._ignored_depth += 1
            return None
        parent = self._elements[-1]
        base = _resolve_base(parent.base, attributes.get("xml:base") or attributes.get("base"))
        language = attributes.get("xml:lang", attributes.get("lang", parent.language))
        element = Element(name, base, language, prefixes)
        self._elements.append(element)
        self._levels.setdefault(name, []).append(len(self._elements))
        return element

    def ended_by(self, tag: str) -> int:
        """The level of the element that an end tag closes; 0 if it was never opened or is deeper than MAX_DEPTH."""
        name = make_canonical_name(tag, self._elements[-1].prefixes)
        levels = self._levels.get(name)
        if not levels or (self._ignored_depth and name not in ENTRY_ELEMENTS):
            self._ignored_depth = max(self._ignored_depth - 1, 0)
            return 0
        return levels[-1]

    def close(self, level: int) -> None:
        """Closes the element at a level and those inside it."""
        for element in self._elements[level - 1 :]:
            self._levels[element.name].pop()
        del self._elements[level - 1 :]
        self._ignored_depth = 0


def resolve(base: str, relative: str) -> str:
    """The absolute form (WHATWG) of a relative URL. An invalid one stays as it is, and is refused later."""
    try:
        return str(ada_url.join_url(base, relative))
    except ValueError:  # e.g. "http://["
        return relative


def make_canonical_name(tag: str, prefixes: dict[str, str]) -> str:
    """The lower-case name, with the canonical prefix of a known namespace. An undeclared prefix stays: "dc:creator".

    "item" and "entry" without prefix are entries in any namespace: an element before them may lack its end tag.
    """
    prefix, colon, local = tag.lower().rpartition(":")
    return local if not colon and local in ENTRY_ELEMENTS else prefixes.get(prefix, prefix + colon) + local


def find_canonical_prefix(url: str) -> str | None:
    """The canonical prefix of a namespace; None for an unknown namespace."""
    url = url.strip().lower()
    if _RSS_1.fullmatch(url):
        return ""
    return next((prefix for part, prefix in _NAMESPACES if part in url), None)


def _resolve_base(base: str, relative: str | None) -> str:
    """The base URL inside an element with this xml:base. The outer one stays if the new one is not an http(s) URL."""
    inner = resolve(base, relative) if relative else base
    return inner if len(inner) <= MAX_URL_CHARACTERS and inner.startswith(("http://", "https://")) else base


def _choose_prefix(prefix: str, url: str, foreign: str) -> str:
    known = find_canonical_prefix(url)
    if known is not None:
        return known
    if prefix:
        return f"{prefix}:"
    return foreign if url else ""


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


# ---- the raw feed ---------------------------------------------------------------------------------------------------------------


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

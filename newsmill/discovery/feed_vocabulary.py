"""The words of RSS, RDF, CDF, Atom, Dublin Core, Media RSS, iTunes and FeedBurner: which element of a feed is which field of ours.

Sources: RSS 2.0 (rssboard.org), RSS 1.0 (web.resource.org), RFC 4287, Media RSS 1.5.1, DCMI terms, and feedparser's documentation.
"""

from __future__ import annotations

import re
from enum import Enum, auto

ROOTS = frozenset({"rss", "feed", "rdf:rdf", "rdf", "channel"})
ENTRIES = frozenset({"item", "entry"})
# What tells a namespace: Atom and RSS have many URLs and no prefix here; a namespace unknown to us keeps the prefix the feed gives it.
_NAMESPACES = (
    ("purl.org/dc", "dc:"), ("mrss", "media:"), ("itunes", "itunes:"), ("feedburner", "feedburner:"), ("1999/xhtml", "xhtml:"),
    ("22-rdf-syntax-ns", "rdf:"), ("prismstandard", "prism:"), ("rss/1.0/modules/rss091", ""), ("rss/1.0/modules/content", "content:"),
    ("2005/atom", ""), ("purl.org/atom/ns", ""), ("purl.org/pie", ""), ("purl.org/echo", ""), ("backend.userland.com/rss", ""),
    ("harvard.edu/tech/rss", ""), ("netscape.com", ""), ("purl.org/net/rss1.1", ""), ("rssboard.org", ""),
    ("/necho", ""), ("echo/namespace", ""), ("/newformat#", ""),  # drafts of Atom
)  # fmt: skip
_RSS_1 = re.compile(r"https?://purl\.org/rss/[\d.]+/?", re.I)
# Element of an entry → field. A field's elements nearest to the entry count.
FIELDS = {
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
TITLES = ("title", "dc:title", "media:title")  # in the order they are asked
LIST_FIELDS = frozenset({"author", "tag", "keywords"})  # fields of which every element counts, however deep it stands
# Elements of an entry that hold other things with titles, links and authors of their own.
CONTAINERS = frozenset({
    "source", "image", "textinput", "contributor", "content", "content:encoded", "description", "summary", "body", "xhtml:body",
    "media:description", "itunes:summary", "dc:description", "media:credit",
})  # fmt: skip
HTML_CONTAINERS = frozenset({"content:encoded", "description", "summary", "media:description", "itunes:summary", "dc:description"})
PERSON_NAMES = frozenset({"name", "itunes:name", "foaf:name", "dc:title"})
PERSON_DETAILS = frozenset({"email", "uri", "url", "homepage", "itunes:email", "foaf:mbox", "foaf:homepage", "gd:image"})
HIDDEN = frozenset({"script", "style", "applet", "xhtml:script", "xhtml:style", "xhtml:applet"})
BREAKS = frozenset({"br", "p", "div", "li", "xhtml:br", "xhtml:p", "xhtml:div", "xhtml:li"})
PAGE_TYPES = frozenset({"", "html", "xhtml", "text/html", "application/xhtml+xml"})  # types of an alternate link that is an article


class Form(Enum):
    """How a title is written."""

    HTML = auto()  # says the feed
    TEXT = auto()  # says the feed, which many do of titles with references in them
    XHTML = auto()  # its elements are gone already, and what looks like markup is text
    UNKNOWN = auto()  # RSS does not tell; tags that stand in titles are taken for tags


def form_of(of_type: str, mode: str, is_atom: bool) -> Form:
    """What the type of a title says (Atom 1.0: text, html, xhtml; Atom 0.3: a media type and a mode)."""
    if "xhtml" in of_type or mode == "xml":
        return Form.XHTML
    if "html" in of_type:
        return Form.HTML
    return Form.TEXT if is_atom and mode != "escaped" and of_type in ("", "text", "text/plain") else Form.UNKNOWN


def canonical_prefix(url: str) -> str | None:
    """Our prefix for a namespace, or None for one we do not know."""
    url = url.strip().lower()
    if _RSS_1.fullmatch(url):
        return ""
    return next((prefix for part, prefix in _NAMESPACES if part in url), None)


def name_of(tag: str, prefixes: dict[str, str]) -> str:
    """The lower-case name with our prefix where the namespace is known; an undeclared prefix stays: "dc:creator".

    "item" and "entry" without prefix are entries whatever namespace is in force: an element before them may lack its end tag.
    """
    prefix, colon, local = tag.lower().rpartition(":")
    return local if not colon and local in ENTRIES else prefixes.get(prefix, prefix + colon) + local

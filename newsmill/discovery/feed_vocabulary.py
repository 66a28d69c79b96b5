"""The elements of RSS, RDF, CDF, Atom, Dublin Core, Media RSS, iTunes and FeedBurner, and the fields of an entry that they fill.

Sources: RSS 2.0 (rssboard.org), RSS 1.0 (web.resource.org), RFC 4287, Media RSS 1.5.1, DCMI terms, and feedparser's documentation.
"""

from __future__ import annotations

from enum import Enum, auto

ROOT_ELEMENTS = frozenset({"rss", "feed", "rdf:rdf", "rdf", "channel"})
ENTRY_ELEMENTS = frozenset({"item", "entry"})


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

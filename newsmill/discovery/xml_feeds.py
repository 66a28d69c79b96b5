"""RSS 0.9x to 2.0, RDF, CDF and Atom, with Dublin Core, Media RSS, iTunes and FeedBurner: XML → entries as written.

No tree, no network, no entity that a feed declares. Sources: RSS 2.0 (rssboard.org), RSS 1.0 (web.resource.org), RFC 4287, Media RSS 1.5.1,
DCMI terms, and feedparser's documentation.
The reader takes the same fields as feedparser, whose test cases `python -m pytest tests/conformance/test_feeds.py` runs.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import NamedTuple

from newsmill.discovery.raw_feeds import RawEntry, RawFeed, TitleForm, find_title_form
from newsmill.discovery.xml_characters import decode_references
from newsmill.discovery.xml_elements import (
    ENTRY_ELEMENTS,
    MAX_DEPTH,
    ROOT_ELEMENTS,
    Element,
    OpenElements,
    find_canonical_prefix,
    make_canonical_name,
    resolve,
)
from newsmill.discovery.xml_scanner import EventKind, XmlScanner, read_attributes
from newsmill.text.urls import MAX_URL_CHARACTERS

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
    "media:description", "itunes:summary", "dc:description", "media:credit", *ENTRY_ELEMENTS,
})  # fmt: skip
HTML_CONTAINERS = frozenset({"content:encoded", "description", "summary", "media:description", "itunes:summary", "dc:description"})
PERSON_NAME_ELEMENTS = frozenset({"name", "itunes:name", "foaf:name", "dc:title"})
PERSON_DETAIL_ELEMENTS = frozenset({"email", "uri", "url", "homepage", "itunes:email", "foaf:mbox", "foaf:homepage", "gd:image"})
HIDDEN_ELEMENTS = frozenset({"script", "style", "applet", "xhtml:script", "xhtml:style", "xhtml:applet"})
BREAK_ELEMENTS = frozenset({"br", "p", "div", "li", "xhtml:br", "xhtml:p", "xhtml:div", "xhtml:li"})
PAGE_TYPES = frozenset({"", "html", "xhtml", "text/html", "application/xhtml+xml"})  # types of an alternate link that is an article


MAX_ENTRIES = 2_000  # a feed names recent pages; sites with longer feeds have a sitemap too
_MAX_FIELD_CHARACTERS = MAX_URL_CHARACTERS + 1  # one more, so that a shortened URL is refused as too long
_PATH = re.compile(r"[^\s:<>]*/[^\s:<>]*")


def read_xml(text: str, url: str) -> RawFeed:
    """A feed's entries (at most 2,000), language and authors. Never raises.

    Relative links are resolved against xml:base, else against the absolute link of an RSS channel before its items, else against `url`.
    """
    reader = _Reader(url)
    for kind, event_text, attributes in XmlScanner().feed(text, last=True):
        if kind in (EventKind.START, EventKind.CUT_START):
            reader.start(event_text, attributes)
            if len(reader.entries) > MAX_ENTRIES:
                break
        elif kind is EventKind.END:
            reader.end(event_text)
        elif reader.field is not None:
            reader.data(event_text if kind is EventKind.CDATA else decode_references(event_text))
    is_cut_off = reader.is_open and len(reader.entries) <= MAX_ENTRIES
    entries = tuple(reader.entries[:MAX_ENTRIES])
    is_feed = reader.is_feed or any(entry.links or entry.fields for entry in entries)
    language, authors = reader.language or reader.root_language, tuple(reader.authors)
    return RawFeed(is_feed, language, authors, entries, reader.hub, reader.self_url, reader.updates, is_cut_off)


class _Field(NamedTuple):
    """The element whose text is being read."""

    name: str
    level: int
    is_base64: bool = False
    form: TitleForm = TitleForm.UNKNOWN
    label: str = ""  # stands for an empty text
    rel: str = "alternate"  # of a link


class _Reader:
    def __init__(self, url: str) -> None:
        self.is_feed = False
        self.language: str | None = None
        self.root_language: str | None = None
        self.authors: list[str] = []
        self.hub: str | None = None
        self.self_url: str | None = None
        self.updates: dict[str, str] = {}
        self.entries: list[RawEntry] = []
        self.field: _Field | None = None
        self._elements = OpenElements(url)
        self._entry_level = 0  # level of the open entry; 0 outside
        self._container_level = 0  # level of the open element whose fields are not the entry's
        self._has_xml_content = False  # whether that element declares XML of any vocabulary as its content
        self._field_levels: dict[str, int] = {}  # field of the open entry → level of the elements that count
        self._hidden_level = 0  # level of the open element whose text is not part of the field
        self._text: list[str] = []
        self._text_characters = 0

    @property
    def is_open(self) -> bool:
        """Whether a root element is open."""
        return not self._elements.names(1).isdisjoint(ROOT_ELEMENTS)

    def start(self, tag: str, written: str) -> None:
        attributes = read_attributes(written) if "=" in written else {}
        prefixes = self._elements.namespaces(tag, attributes, in_entry=self._entry_level > 0)
        name = make_canonical_name(tag, prefixes)
        is_entry = name in ENTRY_ELEMENTS and not self._is_foreign_entry(tag, name, attributes)
        if is_entry:
            self._leave_entry()
        element = self._elements.push(name, attributes, prefixes)
        if element is None:
            return
        if is_entry:
            self._start_entry(element, attributes)
        elif self._entry_level:
            self._start_in_entry(element, attributes)
        else:
            self._start_outside_entry(element, attributes)

    def _start_entry(self, element: Element, attributes: dict[str, str]) -> None:
        entry = RawEntry(element.language)
        self.entries.append(entry)
        self._entry_level, self._field_levels = self._elements.level, {}
        if about := next(
            (value for key, value in attributes.items() if ":" in key and make_canonical_name(key, element.prefixes) == "rdf:about"), None
        ):
            entry.fields["about"] = [resolve(element.base, about)]
        if "href" in attributes:  # CDF, Microsoft's format of 1997, is still in use
            entry.links.append(("alternate", resolve(element.base, attributes["href"])))
        if "lastmod" in attributes:
            entry.fields["updated"] = [attributes["lastmod"]]

    def _is_foreign_entry(self, tag: str, name: str, attributes: dict[str, str]) -> bool:
        """Whether an entry element inside the open entry is part of its content, and not the next entry after a lost end tag.

        It is if the content is XML (RFC 4287 4.1.3.3), or if the element declares another vocabulary.
        """
        if not self._entry_level or self._has_xml_content:
            return self._has_xml_content
        namespace = attributes.get("xmlns")
        is_same_kind = name == self._elements.at(self._entry_level).name
        is_known = namespace is None or find_canonical_prefix(namespace) is not None
        return not is_known or (not is_same_kind and (namespace is not None or ":" in tag))

    def _leave_entry(self) -> None:
        """Ends an unclosed entry, or unclosed elements before the first entry."""
        level = self._entry_level or MAX_DEPTH // 2
        if level <= self._elements.level:
            self._close_down_to(level)

    def _start_outside_entry(self, element: Element, attributes: dict[str, str]) -> None:
        name, level = element.name, self._elements.level
        if name in ("link", "atom:link") and level < 5:
            self._read_feed_link(attributes, element.base)
        if name in ROOT_ELEMENTS and level < 5:
            self.is_feed = True
            self.root_language = self.root_language or element.language
        if self.field is not None and self.field.name.endswith("author"):
            self._start_in_field(name)
            return
        if self.field is not None:  # its end tag is missing
            self._finish_field()
        if name == "link" and "href" not in attributes and self._elements.at(level - 1).name == "channel":
            self._begin_field(_Field("feed link", level))
        elif name in ("language", "dc:language"):
            self._begin_field(_Field("feed language", level))
        elif name == "author" and self._elements.at(level - 1).name == "feed":
            self._begin_field(_Field("feed author", level))
        elif name in UPDATE_ELEMENTS and self._elements.at(level - 1).name in ROOT_ELEMENTS:
            self._begin_field(_Field(name, level))

    def _read_feed_link(self, attributes: dict[str, str], base: str) -> None:
        """Notes the hub and the URL that the feed announces (WebSub 4; the prefix `atom:` may be undeclared)."""
        href, names = attributes.get("href", "").strip(), attributes.get("rel", "").lower().split()
        url = href if href.startswith(("http://", "https://")) else resolve(base, href)
        if not href or len(url) > MAX_URL_CHARACTERS:
            return
        if "hub" in names:
            self.hub = self.hub or url
        if "self" in names:
            self.self_url = self.self_url or url

    def _start_in_entry(self, element: Element, attributes: dict[str, str]) -> None:
        name = element.name
        kind = ENTRY_FIELDS.get(name)
        if self._container_level and kind not in (None, "title") and self._elements.at(self._container_level).name in HTML_CONTAINERS:
            self._container_level = 0  # its end tag is missing: HTML has no such element
        if self._container_level:
            if name == "author" and self._elements.at(self._elements.level - 1).name == "source":
                self._begin_field(_Field("source author", self._elements.level))
            elif self.field is not None:
                self._start_in_field(name)
        elif kind is None or (name in PERSON_NAME_ELEMENTS and self.field is not None and self.field.name == "author"):
            if self.field is not None and (name not in CONTAINER_ELEMENTS or self.field.name == "author"):
                self._start_in_field(name)
            elif name in CONTAINER_ELEMENTS:
                if self.field is not None:  # its end tag is missing
                    self._finish_field()
                self._start_container(attributes)
        else:
            if self.field is not None:  # its end tag is missing
                self._finish_field()
            self._start_field(kind, element, attributes)

    def _start_container(self, attributes: dict[str, str]) -> None:
        media_type = attributes.get("type", "").strip().lower()
        self._container_level = self._elements.level
        self._has_xml_content = media_type.endswith(("/xml", "+xml")) and "xhtml" not in media_type

    def _start_in_field(self, name: str) -> None:
        assert self.field is not None
        if self.field.name.endswith("author") and name in PERSON_NAME_ELEMENTS:
            self._text, self._text_characters = [], 0
        elif name in HIDDEN_ELEMENTS or (self.field.name.endswith("author") and name in PERSON_DETAIL_ELEMENTS | CONTAINER_ELEMENTS):
            self._hidden_level = self._hidden_level or self._elements.level
        elif name in BREAK_ELEMENTS:
            self.data(" ")

    def _start_field(self, kind: str, element: Element, attributes: dict[str, str]) -> None:
        entry, level = self.entries[-1], self._elements.level
        media_type, mode = attributes.get("type", "").strip().lower(), attributes.get("mode", "").lower()
        if kind == "link":
            rel = attributes.get("rel", "alternate").strip().lower().rpartition("/")[2]  # RFC 4287 4.2.7.2: also as a URL of IANA's
            rel = "file" if rel == "alternate" and media_type.partition(";")[0].strip() not in PAGE_TYPES else rel
            written = attributes.get("href") or attributes.get("url") or attributes.get("uri")
            if attributes.get("href") == "" and element.base != self._elements.at(self._entry_level - 1).base:
                written = element.base  # RFC 3986 4.4: the entry's own xml:base
            url = resolve(element.base, written or "at:")
            if url.startswith(("http://", "https://")):
                self._add_link(rel, url, level)
            else:
                self._begin_field(_Field("link", level, rel=rel))
        elif kind == "guid":
            # RSS 2.0: a guid is a URL unless isPermaLink is "false"; many feeds omit that attribute though the guid is not a URL.
            is_permalink = attributes.get("ispermalink", "").strip().lower()
            self._begin_field(_Field({"true": "permalink", "false": "key"}.get(is_permalink, "guid"), level))
        elif kind == "tag":
            if term := attributes.get("term") or attributes.get("text"):
                entry.fields.setdefault("tag", []).append(term)
            self._begin_field(_Field("tag", level, label="" if term else attributes.get("label", "")))
        elif kind in TITLE_FIELDS:
            is_base64 = mode == "base64" or (not mode and media_type.startswith("application/") and "xml" not in media_type)
            self._begin_field(
                _Field(
                    kind,
                    level,
                    is_base64,
                    find_title_form(media_type, mode, is_atom=self._elements.at(self._entry_level).name == "entry"),
                )
            )
        else:
            if kind == "author":
                entry.fields.setdefault("author", [])  # an author without a name still replaces the feed's authors
            self._begin_field(_Field(kind, level))

    def _begin_field(self, new: _Field) -> None:
        self.field, self._text, self._text_characters, self._hidden_level = new, [], 0, 0

    def data(self, text: str) -> None:
        """Adds text of the open field."""
        if not self._hidden_level and self._text_characters < _MAX_FIELD_CHARACTERS:
            self._text.append(text[:_MAX_FIELD_CHARACTERS])
            self._text_characters += len(text)

    def end(self, tag: str) -> None:
        level = self._elements.ended_by(tag)
        if level and (
            level >= self._entry_level or self._elements.at(level).name in ROOT_ELEMENTS
        ):  # any other end tag lacks its start tag
            self._close_down_to(level)

    def _close_down_to(self, level: int) -> None:
        """Closes the element at `level` and those inside it."""
        if self.field is not None and (
            level <= self.field.level or (self.field.name.endswith("author") and self._elements.names(level) & PERSON_NAME_ELEMENTS)
        ):
            self._finish_field()
        self._elements.close(level)
        if level <= self._hidden_level:
            self._hidden_level = 0
        if level <= self._container_level:
            self._container_level, self._has_xml_content = 0, False
        if level <= self._entry_level:
            self._entry_level = 0

    def _finish_field(self) -> None:
        """Stores the field that ends."""
        ended, text = self.field, "".join(self._text).strip()
        assert ended is not None
        self.field = None
        text = (_decode_base64(text) if ended.is_base64 else text) or ended.label
        if not text:
            return
        if ended.name == "feed link":
            if text.startswith(("http://", "https://")) and len(text) <= MAX_URL_CHARACTERS:
                self._elements.set_document_base(text)
        elif ended.name == "feed language":
            self.language = self.language or text
        elif ended.name == "feed author":
            self.authors.append(text)
        elif ended.name in UPDATE_ELEMENTS:
            self.updates.setdefault(ended.name, text)
        elif ended.name == "source author":
            self.entries[-1].source_authors.append(text)
        elif ended.name == "link":
            self._add_link(ended.rel, resolve(self._elements.at(ended.level).base, text), ended.level)
        elif ended.name in LIST_FIELDS or self._is_nearest(ended.name, ended.level):
            self._add_field(ended, text)

    def _add_field(self, ended: _Field, text: str) -> None:
        entry, element = self.entries[-1], self._elements.at(ended.level)
        if ended.name in TITLE_FIELDS and ended.name not in entry.fields and "title" not in entry.fields:
            entry.title_form = ended.form
            entry.language = element.language or entry.language
        is_path = _PATH.fullmatch(text) is not None
        if ended.name == "permalink" or (ended.name in ("guid", "id") and is_path):
            text = resolve(element.base, text)
        entry.fields.setdefault(ended.name, []).append(text)

    def _add_link(self, rel: str, url: str, level: int) -> None:
        if self._is_nearest(f"link {rel}", level):
            self.entries[-1].links.append((rel, url))

    def _is_nearest(self, name: str, level: int) -> bool:
        """Whether no element of this field is nearer to the entry. The nearest element replaces the others."""
        known_level = self._field_levels.get(name)
        if known_level is not None and level > known_level:
            return False
        if known_level is not None and level < known_level:
            entry = self.entries[-1]
            entry.fields.pop(name, None)
            entry.links = [link for link in entry.links if f"link {link[0]}" != name]
        self._field_levels[name] = level
        return True


def _decode_base64(text: str) -> str:
    try:
        return b64decode(text, validate=False).decode("utf-8")
    except ValueError:
        return text

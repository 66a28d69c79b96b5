"""The elements of a feed that are open at a place, and what holds inside them: namespaces, base URL and language."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import NamedTuple

import ada_url

from newsmill.discovery import feed_vocabulary as vocabulary
from newsmill.discovery.characters import decode_references
from newsmill.discovery.feed_vocabulary import ENTRIES, Form, canonical_prefix, name_of
from newsmill.discovery.xml_scanner import EventKind, XmlScanner, read_attributes

MAX_DEPTH = 256  # open elements remembered; a feed has about 6, and XHTML inside it some dozen
MAX_URL = 8_000  # characters of a base that links are resolved against; the longest URL we take
_MAX_PREFIXES = 64  # namespaces in force at one place


class Element(NamedTuple):
    """An open element; `prefixes` maps the prefixes in the feed to ours, for the namespaces in force."""

    name: str
    base: str
    language: str | None
    prefixes: dict[str, str]


class OpenElements:
    """The open elements from the document, at level 1, down to the deepest one that is remembered."""

    def __init__(self, url: str) -> None:
        self._stack = [Element("", url, None, {"xml": "xml:"})]
        self._levels: dict[str, list[int]] = {}  # of the elements with a name
        self._deeper = 0  # open elements below the deepest one remembered

    @property
    def level(self) -> int:
        """The level of the deepest element that is remembered."""
        return len(self._stack)

    def at(self, level: int) -> Element:
        """The element at a level of 1 or more."""
        return self._stack[level - 1]

    def names(self, level: int) -> set[str]:
        """The names of the elements from a level down."""
        return {element.name for element in self._stack[level - 1 :]}

    def namespaces(self, attributes: dict[str, str], *, in_entry: bool) -> dict[str, str]:
        """The prefixes in force in an element with these attributes; one for an unknown namespace stays as it is written."""
        prefixes = self._stack[-1].prefixes
        declared = {key[6:]: value for key, value in attributes.items() if key == "xmlns" or key.startswith("xmlns:")}
        if not declared or len(prefixes) >= _MAX_PREFIXES:
            return prefixes
        # An element of a foreign vocabulary inside an entry may call itself "title"; around the entries an unknown one is taken for RSS.
        foreign = "other:" if in_entry else ""
        return prefixes | {prefix: _our_prefix(prefix, url, foreign) for prefix, url in list(declared.items())[:_MAX_PREFIXES]}

    def push(self, name: str, attributes: dict[str, str], prefixes: dict[str, str]) -> Element | None:
        """Opens an element; None if it is too deep to be remembered."""
        if len(self._stack) >= MAX_DEPTH:
            self._deeper += 1
            return None
        parent = self._stack[-1]
        base = _base(parent.base, attributes.get("xml:base") or attributes.get("base"))
        language = attributes.get("xml:lang", attributes.get("lang", parent.language))
        element = Element(name, base, language, prefixes)
        self._stack.append(element)
        self._levels.setdefault(name, []).append(len(self._stack))
        return element

    def ended_by(self, tag: str) -> int:
        """The level of the element that an end tag closes; 0 if it was never opened or is too deep to be remembered."""
        name = name_of(tag, self._stack[-1].prefixes)
        levels = self._levels.get(name)
        if not levels or (self._deeper and name not in ENTRIES):
            self._deeper = max(self._deeper - 1, 0)
            return 0
        return levels[-1]

    def close(self, level: int) -> None:
        """Closes the element at a level and those inside."""
        for element in self._stack[level - 1 :]:
            self._levels[element.name].pop()
        del self._stack[level - 1 :]
        self._deeper = 0


def resolve(base: str, relative: str) -> str:
    """The URL (WHATWG) that a relative one means; one that no parser takes stays as it is, to be refused later."""
    try:
        return str(ada_url.join_url(base, relative))
    except ValueError:  # e.g. "http://["
        return relative


def _base(base: str, relative: str | None) -> str:
    """The base inside an element with this xml:base; the outer one stays where the new one would be no http(s) URL."""
    inner = resolve(base, relative) if relative else base
    return inner if len(inner) <= MAX_URL and inner.startswith(("http://", "https://")) else base


def _our_prefix(prefix: str, url: str, foreign: str) -> str:
    known = canonical_prefix(url)
    if known is not None:
        return known
    if prefix:
        return f"{prefix}:"
    return foreign if url else ""


# RSS 0.9x to 2.0, RDF, CDF and Atom: XML events → entries. No tree, no network, no entity that a feed declares.
#
# feedparser reads the same fields (its test suite is held against us) but takes 29 s for a tag of 20,000 attributes, 7 s for 20,000 unclosed
# items and 265 MB for an entity bomb; a feed is read inside the crawler, where none of it may happen. This takes 20 ms for 100 entries.

MAX_ENTRIES = 2_000  # a feed is a window on what is new; sites that put more into it have a sitemap too
_MAX_FIELD = MAX_URL + 1  # characters of one field: a URL that is cut off is too long to be taken

_PATH = re.compile(r"[^\s:<>]*/[^\s:<>]*")


@dataclass(slots=True)
class RawEntry:
    """One entry's fields as written, by name, each with the text of all its elements in order."""

    language: str | None
    fields: dict[str, list[str]] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)  # (rel, URL); of type vocabulary.HTML_CONTAINERS where rel is "alternate"
    title_form: Form = Form.UNKNOWN
    source_authors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RawFeed:
    """`known` tells whether this is a feed at all."""

    known: bool
    language: str | None
    authors: tuple[str, ...]  # of an Atom feed, for entries that name none
    entries: tuple[RawEntry, ...]


class _Field(NamedTuple):
    """The element whose text is being read."""

    name: str
    level: int
    is_base64: bool = False
    form: Form = Form.UNKNOWN
    label: str = ""  # stands for an empty text
    rel: str = "alternate"  # of a link


def read_xml(text: str, url: str) -> RawFeed:
    """A feed's entries (at most 2,000) with what it says of itself. `url` is what relative links are resolved against. Never raises."""
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
    entries = tuple(reader.entries[:MAX_ENTRIES])
    known = reader.known or any(entry.links or entry.fields for entry in entries)
    return RawFeed(known, reader.language or reader.root_language, tuple(reader.authors), entries)


class _Reader:
    def __init__(self, url: str) -> None:
        self.known = False
        self.language: str | None = None
        self.root_language: str | None = None
        self.authors: list[str] = []
        self.entries: list[RawEntry] = []
        self.field: _Field | None = None
        self._open = OpenElements(url)
        self._entry = 0  # level of the open entry; 0 outside
        self._container = 0  # level of the open element that hides its fields
        self._levels: dict[str, int] = {}  # field of the open entry → level of the elements that count
        self._hidden = 0  # level of the open element whose text is left out
        self._text: list[str] = []
        self._length = 0

    def start(self, tag: str, written: str) -> None:
        attributes = read_attributes(written) if "=" in written else {}
        prefixes = self._open.namespaces(attributes, in_entry=self._entry > 0)
        name = name_of(tag, prefixes)
        if name in vocabulary.ENTRIES:
            self._leave_entry()
        element = self._open.push(name, attributes, prefixes)
        if element is None:
            return
        if name in vocabulary.ENTRIES:
            self._start_entry(element, attributes)
        elif self._entry:
            self._start_inside(element, attributes)
        else:
            self._start_outside(element)

    def _start_entry(self, element: Element, attributes: dict[str, str]) -> None:
        entry = RawEntry(element.language)
        self.entries.append(entry)
        self._entry, self._levels = self._open.level, {}
        if about := next(
            (value for key, value in attributes.items() if ":" in key and name_of(key, element.prefixes) == "rdf:about"), None
        ):
            entry.fields["about"] = [resolve(element.base, about)]
        if "href" in attributes:  # CDF, Microsoft's channels of 1997, still written by some
            entry.links.append(("alternate", resolve(element.base, attributes["href"])))
        if "lastmod" in attributes:
            entry.fields["updated"] = [attributes["lastmod"]]

    def _leave_entry(self) -> None:
        """Ends an entry that lacks its end tag, and elements before the first entry that lack theirs."""
        level = self._entry or MAX_DEPTH // 2
        if level <= self._open.level:
            self._pop_to(level)

    def _start_outside(self, element: Element) -> None:
        name, level = element.name, self._open.level
        if name in vocabulary.ROOTS and level < 5:
            self.known = True
            self.root_language = self.root_language or element.language
        if self.field is not None:
            self._start_in_field(name)
        elif name in ("language", "dc:language"):
            self._begin(_Field("feed language", level))
        elif name == "author" and self._open.at(self._open.level - 1).name == "feed":
            self._begin(_Field("feed author", level))

    def _start_inside(self, element: Element, attributes: dict[str, str]) -> None:
        name = element.name
        kind = vocabulary.FIELDS.get(name)
        if self._container and kind not in (None, "title") and self._open.at(self._container).name in vocabulary.HTML_CONTAINERS:
            self._container = 0  # its end tag is missing: HTML has no such element
        if self._container:
            if name == "author" and self._open.at(self._open.level - 1).name == "source":
                self._begin(_Field("source author", self._open.level))
            elif self.field is not None:
                self._start_in_field(name)
        elif kind is None or (name in vocabulary.PERSON_NAMES and self.field is not None and self.field.name == "author"):
            if self.field is not None and (name not in vocabulary.CONTAINERS or self.field.name == "author"):
                self._start_in_field(name)
            elif name in vocabulary.CONTAINERS:
                if self.field is not None:  # its end tag is missing
                    self._finish()
                self._container = self._open.level
        else:
            if self.field is not None:  # its end tag is missing
                self._finish()
            self._start_field(kind, element, attributes)

    def _start_in_field(self, name: str) -> None:
        assert self.field is not None
        if self.field.name.endswith("author") and name in vocabulary.PERSON_NAMES:
            self._text, self._length = [], 0
        elif name in vocabulary.HIDDEN or (
            self.field.name.endswith("author") and name in vocabulary.PERSON_DETAILS | vocabulary.CONTAINERS
        ):
            self._hidden = self._hidden or self._open.level
        elif name in vocabulary.BREAKS:
            self.data(" ")

    def _start_field(self, kind: str, element: Element, attributes: dict[str, str]) -> None:
        entry, level = self.entries[-1], self._open.level
        of_type, mode = attributes.get("type", "").strip().lower(), attributes.get("mode", "").lower()
        if kind == "link":
            rel = attributes.get("rel", "alternate").strip().lower().rpartition("/")[2]  # RFC 4287 4.2.7.2: also as a URL of IANA's
            rel = "file" if rel == "alternate" and of_type.partition(";")[0].strip() not in vocabulary.PAGE_TYPES else rel
            url = resolve(element.base, attributes.get("href") or attributes.get("url") or attributes.get("uri") or "at:")
            if url.startswith(("http://", "https://")):
                self._add_link(rel, url, level)
            else:
                self._begin(_Field("link", level, rel=rel))
        elif kind == "guid":
            # RSS 2.0: a URL unless isPermaLink is "false"; many leave it out though the guid is none
            is_permalink = attributes.get("ispermalink", "").strip().lower()
            self._begin(_Field({"true": "permalink", "false": "key"}.get(is_permalink, "guid"), level))
        elif kind == "tag":
            if term := attributes.get("term") or attributes.get("text"):
                entry.fields.setdefault("tag", []).append(term)
            self._begin(_Field("tag", level, label="" if term else attributes.get("label", "")))
        elif kind in vocabulary.TITLES:
            is_base64 = mode == "base64" or (not mode and of_type.startswith("application/") and "xml" not in of_type)
            self._begin(
                _Field(kind, level, is_base64, vocabulary.form_of(of_type, mode, is_atom=self._open.at(self._entry).name == "entry"))
            )
        else:
            if kind == "author":
                entry.fields.setdefault("author", [])  # an author without a name is one all the same
            self._begin(_Field(kind, level))

    def _begin(self, opened: _Field) -> None:
        self.field, self._text, self._length, self._hidden = opened, [], 0, 0

    def data(self, text: str) -> None:
        """Text inside the field being read."""
        if not self._hidden and self._length < _MAX_FIELD:
            self._text.append(text[:_MAX_FIELD])
            self._length += len(text)

    def end(self, tag: str) -> None:
        level = self._open.ended_by(tag)
        if level and (level >= self._entry or self._open.at(level).name in vocabulary.ROOTS):  # else an end tag without its start tag
            self._pop_to(level)

    def _pop_to(self, level: int) -> None:
        """Closes all open elements down to the one at `level`, and that one."""
        if self.field is not None and (
            level <= self.field.level or (self.field.name.endswith("author") and self._open.names(level) & vocabulary.PERSON_NAMES)
        ):
            self._finish()
        self._open.close(level)
        if level <= self._hidden:
            self._hidden = 0
        if level <= self._container:
            self._container = 0
        if level <= self._entry:
            self._entry = 0

    def _finish(self) -> None:
        """Takes the field that ends."""
        opened, text = self.field, "".join(self._text).strip()
        assert opened is not None
        self.field = None
        text = (_unpacked(text) if opened.is_base64 else text) or opened.label
        if not text:
            return
        if opened.name == "feed language":
            self.language = self.language or text
        elif opened.name == "feed author":
            self.authors.append(text)
        elif opened.name == "source author":
            self.entries[-1].source_authors.append(text)
        elif opened.name == "link":
            self._add_link(opened.rel, resolve(self._open.at(opened.level).base, text), opened.level)
        elif opened.name in vocabulary.LIST_FIELDS or self._counts(opened.name, opened.level):
            self._add(opened, text)

    def _add(self, opened: _Field, text: str) -> None:
        entry, element = self.entries[-1], self._open.at(opened.level)
        if opened.name in vocabulary.TITLES and opened.name not in entry.fields and "title" not in entry.fields:
            entry.title_form = opened.form
            entry.language = element.language or entry.language
        is_path = _PATH.fullmatch(text) is not None
        if opened.name == "permalink" or (opened.name in ("guid", "id") and is_path):
            text = resolve(element.base, text)
        entry.fields.setdefault(opened.name, []).append(text)

    def _add_link(self, rel: str, url: str, level: int) -> None:
        if self._counts(f"link {rel}", level):
            self.entries[-1].links.append((rel, url))

    def _counts(self, name: str, level: int) -> bool:
        """Whether a field's element at this level counts: unless one stands nearer to the entry. The nearest replaces others."""
        known = self._levels.get(name)
        if known is not None and level > known:
            return False
        if known is not None and level < known:
            entry = self.entries[-1]
            entry.fields.pop(name, None)
            entry.links = [link for link in entry.links if f"link {link[0]}" != name]
        self._levels[name] = level
        return True


def _unpacked(text: str) -> str:
    try:
        return b64decode(text, validate=False).decode("utf-8")
    except ValueError:
        return text

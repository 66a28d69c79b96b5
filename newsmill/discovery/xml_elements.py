"""The open elements of a feed's XML, with the base URL, language and namespaces in force at each."""

from __future__ import annotations

import re
from typing import NamedTuple

import ada_url

from newsmill.text.sentences import Sentence
from newsmill.text.urls import MAX_URL_CHARACTERS

CUT_OFF = Sentence("the file is cut off: its root element does not end")
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
STRUCTURE_ELEMENTS = frozenset({"rss", "feed", "channel"}) | ENTRY_ELEMENTS


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

    def namespaces(self, tag: str, attributes: dict[str, str], *, in_entry: bool) -> dict[str, str]:
        """The prefixes in force in an element with these attributes. The prefix of an unknown namespace stays as written.

        An undeclared prefix of a feed's structure ("rss:channel", "atom:entry") is that of the feed's own vocabulary.
        """
        prefixes = self._elements[-1].prefixes
        if not in_entry and ":" in tag:
            prefix, _, local = tag.lower().rpartition(":")
            if prefix not in prefixes and local in STRUCTURE_ELEMENTS:
                prefixes = prefixes | {prefix: ""}
        declared = {key[6:]: value for key, value in attributes.items() if key == "xmlns" or key.startswith("xmlns:")}
        if not declared or len(prefixes) >= _MAX_PREFIXES:
            return prefixes
        # Inside an entry, a foreign vocabulary may have a "title" of its own; around the entries, an unknown namespace counts as RSS.
        foreign = "other:" if in_entry else ""
        return prefixes | {prefix: _choose_prefix(prefix, url, foreign) for prefix, url in list(declared.items())[:_MAX_PREFIXES]}

    def set_document_base(self, base: str) -> None:
        """Replaces the document's URL as base of the open elements that have no xml:base."""
        url = self._elements[0].base
        self._elements = [element._replace(base=base) if element.base == url else element for element in self._elements]

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

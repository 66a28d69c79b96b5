"""The elements of a feed that are open at a place, and what holds inside them: namespaces, base URL and language."""

from __future__ import annotations

from typing import NamedTuple

import ada_url

from newsmill.discovery.feed_vocabulary import ENTRIES, canonical_prefix, name_of

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

"""A linear scan of HTML for its links: no tree, no depth limit, no entity but the named ones.

libxml2 needs more than a minute for 100,000 attributes on one tag and follows 256 levels; listings are read inside the crawler, where
neither may happen. Tags and attributes are told apart by the rules of the HTML standard (WHATWG HTML 13.2.5).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html import unescape

MAX_LINKS = 5_000  # on one page; a front page has 200 to 600
_LONGEST_TEXT = 500  # characters of a link's text; a headline has 40 to 120
_DEEPEST = 256  # open elements remembered; what is nested deeper counts as standing at this level

_OPENING = re.compile(r"<(?:!--|(/?)([a-zA-Z][^\s/>]*+))")
# One attribute: a name and a value in double quotes, single quotes or none. All parts are possessive: no character is tried twice,
# except that a quote without an end is looked for once per kind of quote and page.
_NAME, _VALUE = r"[^\s/>=][^\s/>=]*+", r"""(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+|)"""
_ATTRIBUTES = re.compile(rf"((?:[\s/=]*+{_NAME}(?:\s*+=\s*+{_VALUE})?+)*+)[\s/=]*+>")
_ATTRIBUTE = re.compile(rf"[\s/=]*+({_NAME})(?:\s*+=\s*+({_VALUE}))?+")

_SKIPPED = frozenset({"script", "style", "template", "textarea", "svg", "select", "xmp", "iframe", "title"})  # hold no links of the page
_END_TAGS = {name: re.compile(f"</{name}", re.I) for name in _SKIPPED}
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CONTAINERS = frozenset({"nav", "header", "footer", "aside", "article", "main", "div", "section", "ul", "ol", "table"}) | _HEADINGS
_LANDMARKS = frozenset({"nav", "footer", "header", "aside", "article"})
# A class or id that makes a plain container a landmark: "main-nav", "footer__links", but not "has-menu" (the page with the menu).
_CLASSES = re.compile(
    r"(?<![^\s\"])(?!(?:has|with|no|is|js)[-_])(?:[a-z0-9]++[-_]++){0,2}"
    r"(?:(?P<nav>nav|navbar|navigation|menu|breadcrumbs?|pagination|pager)|(?P<footer>footer|imprint))(?:[-_]++[a-z0-9]++){0,2}(?![^\s\"])"
)


@dataclass(slots=True)
class Anchor:
    """One <a href>: the text inside and the places it stands in ("nav", "footer", "header", "aside", "article", "heading")."""

    href: str
    rel: frozenset[str]
    places: set[str]
    text: str = ""


@dataclass(slots=True)
class PageLinks:
    """What a page links to: its anchors and its <link> tags in page order, its <base href> and its language."""

    anchors: list[Anchor] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)  # attributes of each <link>
    base: str | None = None
    language: str | None = None


def extract_links(html: str) -> PageLinks:
    """Reads a page in one pass, in time proportional to its length, whatever it holds. Never raises."""
    scanner = _Scanner(html)
    scanner.run()
    return scanner.found


class _Scanner:
    def __init__(self, html: str) -> None:
        self.html = html
        self.found = PageLinks()
        self.open: list[tuple[str, str]] = []  # (element, the place it makes or "")
        self.counts: Counter[str] = Counter()  # of the names in `open`
        self.anchor: Anchor | None = None
        self.text: list[str] = []
        self.endless: set[str] = set()  # skipped elements that never end from here on

    def run(self) -> None:
        at = 0
        while opening := _OPENING.search(self.html, at):
            self._take(at, opening.start())
            if opening[2] is None:
                at = self.html.find("-->", opening.end()) + 3
                if at == 2:
                    break  # the comment never ends
                continue
            tag = _ATTRIBUTES.match(self.html, opening.end())
            if tag is None:
                break  # the tag never ends
            at = tag.end()
            name = opening[2].lower()
            if opening[1]:
                self._end(name)
            else:
                self._start(name, tag[1])
                if name in _SKIPPED and name not in self.endless:
                    at = self._after(name, at)
            if len(self.found.anchors) >= MAX_LINKS:
                return
        else:
            self._take(at, len(self.html))
        self._close_anchor()

    def _take(self, start: int, end: int) -> None:
        if self.anchor is not None and len(self.text) < _LONGEST_TEXT:
            self.text.append(self.html[start : min(end, start + _LONGEST_TEXT)])

    def _after(self, name: str, at: int) -> int:
        end = _END_TAGS[name].search(self.html, at)
        if end is None:
            self.endless.add(name)
        return end.start() if end else at

    def _start(self, name: str, attributes: str) -> None:
        if name == "a":
            self._open_anchor(_read_attributes(attributes))
        elif name in _CONTAINERS:
            if name in _HEADINGS and self.anchor is not None:
                self.anchor.places.add("heading")
            if len(self.open) < _DEEPEST:
                self.open.append((name, _place(name, attributes)))
                self.counts[name] += 1
        elif name == "link" and len(self.found.links) < MAX_LINKS:
            self.found.links.append(_read_attributes(attributes))
        elif name == "base" and self.found.base is None:
            self.found.base = _read_attributes(attributes).get("href")
        elif name == "html" and self.found.language is None:
            self.found.language = _read_attributes(attributes).get("lang")

    def _end(self, name: str) -> None:
        if name == "a":
            self._close_anchor()
        elif self.counts[name]:  # what was never opened is not looked for
            closed = ""
            while closed != name:
                closed, _ = self.open.pop()
                self.counts[closed] -= 1

    def _open_anchor(self, attributes: dict[str, str]) -> None:
        self._close_anchor()
        href = attributes.get("href", "").strip()
        if href and not href.startswith("#"):
            rel = frozenset(attributes.get("rel", "").lower().split())
            label = attributes.get("aria-label") or attributes.get("title") or ""
            self.anchor = Anchor(href, rel, {place for _, place in self.open if place}, label)

    def _close_anchor(self) -> None:
        if self.anchor is not None:
            text = " ".join(unescape(" ".join(self.text)).split())
            self.anchor.text = (text or self.anchor.text)[:_LONGEST_TEXT]
            self.found.anchors.append(self.anchor)
        self.anchor, self.text = None, []


def _read_attributes(attributes: str) -> dict[str, str]:
    """The attributes by lower-case name; of two with one name the first counts."""
    values: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(attributes):
        values.setdefault(name.lower(), unescape(value[1:-1] if value[:1] in ("'", '"') else value))
    return values


def _place(name: str, attributes: str) -> str:
    """The place an element makes of what is inside, or ""."""
    if name in _HEADINGS:
        return "heading"
    if name in _LANDMARKS:
        return name
    if not attributes or name in ("main", "table"):
        return ""
    marks = _read_attributes(attributes)
    match = _CLASSES.search(f"{marks.get('class', '')} {marks.get('id', '')} {marks.get('role', '')}".lower()[:500])
    return (match.lastgroup or "") if match else ""

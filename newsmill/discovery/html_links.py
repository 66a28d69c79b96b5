"""The links of a page, from a linear scan of its HTML: no tree, no depth limit.

libxml2 needs more than a minute for 100,000 attributes on one tag and stops at 256 levels, and the links behind are lost.
`python -m pytest tests/growth` measures the linear time. Tags and attributes follow the HTML standard (WHATWG HTML 13.2.5).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import unescape

from newsmill.text import lazy_re as re

MAX_FRAMES = 4  # of a homepage; one is its menu, one its news
MAX_LINKS = 5_000  # on one page; a front page has 200 to 600
_MAX_TEXT_CHARACTERS = 500  # of a link; a headline has 40 to 120
_MAX_DEPTH = 256  # open elements; deeper ones count as part of the one at this level

_MARKUP_START = re.compile(r"<(?:!--|(/?)([a-zA-Z][^\s/>]*+))")
# One attribute: a name and a value in double quotes, single quotes or none. All parts are possessive, so no character is tried twice,
# except behind an unclosed quote: once per kind of quote and page.
_NAME, _VALUE = r"[^\s/>=][^\s/>=]*+", r"""(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+|)"""
_ATTRIBUTES = re.compile(rf"((?:[\s/=]*+{_NAME}(?:\s*+=\s*+{_VALUE})?+)*+)[\s/=]*+>")
_ATTRIBUTE = re.compile(rf"[\s/=]*+({_NAME})(?:\s*+=\s*+({_VALUE}))?+")

_SKIPPED_ELEMENTS = frozenset(
    {"script", "style", "template", "textarea", "svg", "select", "xmp", "iframe", "title"}
)  # without links of the page
_END_TAGS = {name: re.compile(f"</{name}", re.I) for name in _SKIPPED_ELEMENTS}
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CONTAINERS = frozenset({"nav", "header", "footer", "aside", "article", "main", "div", "section", "ul", "ol", "table"}) | _HEADINGS
_LANDMARKS = frozenset({"nav", "footer", "header", "aside", "article"})
# A class or id that makes a container a landmark: "main-nav", "footer__links", but not "has-menu" (a page with a menu).
_LANDMARK_CLASSES = re.compile(
    r"(?<![^\s\"])(?!(?:has|with|no|is|js)[-_])(?:[a-z0-9]++[-_]++){0,2}"
    r"(?:(?P<nav>nav|navbar|navigation|menu|breadcrumbs?|pagination|pager)|(?P<footer>footer|imprint))(?:[-_]++[a-z0-9]++){0,2}(?![^\s\"])"
)


@dataclass(slots=True)
class Anchor:
    """One <a href>: its text and the landmarks around it ("nav", "footer", "header", "aside", "article", "heading")."""

    href: str
    rel: frozenset[str]
    landmarks: set[str]
    text: str = ""


@dataclass(slots=True)
class PageLinks:
    """A page's anchors, <link> tags and frames in page order, its <base href>, its language and its <meta http-equiv="refresh">."""

    anchors: list[Anchor] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)  # attributes of each <link>
    base: str | None = None
    language: str | None = None
    refresh: str | None = None  # "0; url=/en/"
    frames: list[str] = field(default_factory=list)  # `src` of each <frame>


def extract_links(html: str) -> PageLinks:
    """The links of a page, in one pass and in time proportional to its length. Never raises."""
    scanner = _Scanner(html)
    scanner.scan()
    return scanner.page


class _Scanner:
    def __init__(self, html: str) -> None:
        self.html = html
        self.page = PageLinks()
        self.open: list[tuple[str, str]] = []  # (element, its landmark or "")
        self.counts: Counter[str] = Counter()  # of the names in `open`
        self.anchor: Anchor | None = None
        self.text: list[str] = []
        self.unclosed: set[str] = set()  # skipped elements without an end tag from here on

    def scan(self) -> None:
        at = 0
        while markup := _MARKUP_START.search(self.html, at):
            self._add_text(at, markup.start())
            if markup[2] is None:
                at = self.html.find("-->", markup.end()) + 3
                if at == 2:
                    break  # the comment never ends
                continue
            tag = _ATTRIBUTES.match(self.html, markup.end())
            if tag is None:
                break  # the tag never ends
            at = tag.end()
            name = markup[2].lower()
            if markup[1]:
                self._end(name)
            else:
                self._start(name, tag[1])
                if name in _SKIPPED_ELEMENTS and name not in self.unclosed:
                    at = self._find_end_tag(name, at)
            if len(self.page.anchors) >= MAX_LINKS:
                return
        else:
            self._add_text(at, len(self.html))
        self._close_anchor()

    def _add_text(self, start: int, end: int) -> None:
        if self.anchor is not None and len(self.text) < _MAX_TEXT_CHARACTERS:
            self.text.append(self.html[start : min(end, start + _MAX_TEXT_CHARACTERS)])

    def _find_end_tag(self, name: str, at: int) -> int:
        end = _END_TAGS[name].search(self.html, at)
        if end is None:
            self.unclosed.add(name)
        return end.start() if end else at

    def _start(self, name: str, attributes: str) -> None:
        if name == "a":
            self._open_anchor(read_attributes(attributes))
        elif name in _CONTAINERS:
            if name in _HEADINGS and self.anchor is not None:
                self.anchor.landmarks.add("heading")
            if len(self.open) < _MAX_DEPTH:
                self.open.append((name, _find_landmark(name, attributes)))
                self.counts[name] += 1
        elif name == "link" and len(self.page.links) < MAX_LINKS:
            self.page.links.append(read_attributes(attributes))
        elif name == "frame" and len(self.page.frames) < MAX_FRAMES:
            self.page.frames.append(read_attributes(attributes).get("src", ""))
        elif name == "base" and self.page.base is None:
            self.page.base = read_attributes(attributes).get("href")
        elif name == "meta" and self.page.refresh is None and "refresh" in attributes.lower():
            values = read_attributes(attributes)
            self.page.refresh = values.get("content") if values.get("http-equiv", "").lower() == "refresh" else None
        elif name == "html" and self.page.language is None:
            self.page.language = read_attributes(attributes).get("lang")

    def _end(self, name: str) -> None:
        if name == "a":
            self._close_anchor()
        elif self.counts[name]:  # an end tag without a start tag closes nothing
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
            self.anchor = Anchor(href, rel, {landmark for _, landmark in self.open if landmark}, label)

    def _close_anchor(self) -> None:
        if self.anchor is not None:
            text = " ".join(unescape(" ".join(self.text)).split())
            self.anchor.text = (text or self.anchor.text)[:_MAX_TEXT_CHARACTERS]
            self.page.anchors.append(self.anchor)
        self.anchor, self.text = None, []


def read_attributes(attributes: str) -> dict[str, str]:
    """The attributes by lower-case name. Of two with one name, the first counts."""
    values: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(attributes):
        values.setdefault(name.lower(), unescape(value[1:-1] if value[:1] in ("'", '"') else value))
    return values


def _find_landmark(name: str, attributes: str) -> str:
    """The landmark that an element is for its content, or ""."""
    if name in _HEADINGS:
        return "heading"
    if name in _LANDMARKS:
        return name
    if not attributes or name in ("main", "table"):
        return ""
    names = read_attributes(attributes)
    match = _LANDMARK_CLASSES.search(f"{names.get('class', '')} {names.get('id', '')} {names.get('role', '')}".lower()[:500])
    return (match.lastgroup or "") if match else ""

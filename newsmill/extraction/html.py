"""Parser from HTML to an lxml tree, for any input. It detects and repairs structures with which libxml2 is slow or drops content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from lxml import etree
from lxml.html import HtmlComment, HtmlElement, HtmlEntity, HTMLParser, HtmlProcessingInstruction, document_fromstring

from newsmill.extraction.body.blocks import BOX_TAGS, HEADING_TAGS
from newsmill.text.sentences import Sentence

MAX_ATTRIBUTES = 500  # of one tag; real pages have under 100. libxml2 compares each with each: 20,000 take 0.4 s, 100,000 a minute
MAX_DEPTH = 200  # levels; libxml2 stops at 256 (2,048 with huge_tree), and trafilatura and the copy function of lxml are recursive
_LONG_TAG_BYTES = 4_000  # bytes; a tag with more than 500 attributes is longer than this

# A quote opens a value only after "=", as in the tokenizer of the HTML standard. It always matches and never backtracks: linear time.
_ONE_ATTRIBUTE = r"=?[^\s/>=]++(?:\s*+=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+))?+"
_MANY_ATTRIBUTES = re.compile(rf"[^\s/>]++(?:[\s/]*+{_ONE_ATTRIBUTE}){{{MAX_ATTRIBUTES}}}".encode())  # of the text after a "<"
_ATTRIBUTE = re.compile(rf"[\s/]*+{_ONE_ATTRIBUTE}".encode())
START_TAG_ATTRIBUTES = re.compile(rf"((?:[\s/]++|{_ONE_ATTRIBUTE}|=)*+)>".encode())  # of a start tag, from the name to the end
# Comments and raw text come first, so that a `<` inside them does not start a tag. Every alternative also ends at the end of the input.
_TAGS = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title|xmp|noscript)\b[^>]*+>.*?(?:</\1|\Z)"
    rf"|<[a-z](?:[\s/]++|{_ONE_ATTRIBUTE}|=)*+(?:>|\Z)".encode(),
    re.IGNORECASE | re.DOTALL,
)
# The lookup of lxml.html is Python code that runs for every element in use (1 ms a page), only to distinguish forms from other elements.
_CLASS_LOOKUP = etree.ElementDefaultClassLookup(HtmlElement, HtmlComment, HtmlProcessingInstruction, HtmlEntity)
# Characters that XML 1.0 does not allow (section 2.2), as UTF-8. lxml reads them, but raises ValueError when one is written into a tree.
_CONTROLS = bytes([*range(0x09), 0x0B, *range(0x0E, 0x20)])
_FORM_FEED_AS_SPACE = bytes(0x20 if byte == 0x0C else byte for byte in range(256))  # a form feed is white space in HTML
_CONTROLS_AS_DELETE = bytes(
    0x7F if byte in _CONTROLS + b"\x0c" else byte for byte in range(256)
)  # a check for such characters takes a third of the time of their removal
_NONCHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
# Character references to these characters. libxml2 drops references to surrogates, to NUL and beyond Unicode.
_REFERENCE = re.compile(
    rb"&#(?:0*+(?:[1-8]|1[1245-9]|2\d|3[01]|6553[45])(?!\d)|[xX]0*+(?:[1-8bcef]|1[\da-f]|fff[ef])(?![\da-f]));?", re.IGNORECASE
)
# Surrogate pairs that content systems write for an emoji. Browsers show two U+FFFD, but the author meant one character.
_SURROGATE_PAIR = re.compile(
    rb"&#(?:0*+(5529[6-9]|55[3-9]\d\d|56[0-2]\d\d|563[01]\d)|x0*+(d[89ab][\da-f]{2}));?"
    rb"&#(?:0*+(563[2-9]\d|56[4-9]\d\d|57[0-2]\d\d|573[0-3]\d|5734[0-3])|x0*+(d[c-f][\da-f]{2}))(?:;|(?![\da-f]))",
    re.IGNORECASE,
)
_ODD_REFERENCE = re.compile(
    b"%b|%b" % (_REFERENCE.pattern, _SURROGATE_PAIR.pattern), re.IGNORECASE
)  # most pages have none, so one search is enough
# A start tag of `_replace_components`. The bounds keep the search linear.
_COMPONENT = re.compile(rb"<(?:[a-z][^\s/<>-]{0,60}-|template\s[^<>]{0,500}shadowroot)", re.IGNORECASE)
MAX_MARK_DEPTH = 3  # levels between a heading and the link in it
_HEADING_LEVELS = frozenset("123456")
_SHADOW_ROOT = frozenset(("shadowrootmode", "shadowroot"))
_BLANKS = frozenset((0x0B, 0x0C, *range(0x1C, 0x20)))  # white space in Python; word processors use a vertical tab as a line break
_ZERO_WIDTH_SPACE = (
    "\u200b".encode()
)  # replaces a reference: normalisation removes it, and the text around it does not form a new reference


@dataclass(frozen=True, slots=True)
class HtmlSource:
    """The input of the parser, and warnings about repairs."""

    html: bytes
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedHtml:
    """The tree and warnings about repairs. The tree is None for an empty page and for a page that is nested too deeply for the parser."""

    tree: HtmlElement | None
    too_deep: bool = False
    warnings: tuple[str, ...] = ()


def parse_html(html: str) -> ParsedHtml:
    """Parse the HTML of a page. Never raises."""
    return parse_source(prepare_html(html.encode("utf-8", "ignore")))


def prepare_html(html: bytes) -> HtmlSource:
    """Prepare a UTF-8 page for the parser: remove characters that XML does not allow, and cut tags with too many attributes."""
    html, warnings = _limit_attributes(html)
    return HtmlSource(_remove_non_xml(html), tuple(warnings))


def parse_source(markup: HtmlSource, *, keeps_components: bool = False) -> ParsedHtml:
    """Parse prepared HTML into the tree that all other modules of extraction use. Never raises.

    Web components become plain elements, and boxes with the role of a heading become headings, unless `keeps_components` is True.
    """
    data, warnings = markup.html, markup.warnings
    if not data.strip():
        return ParsedHtml(None)
    tree, cut_off = _run_parser(data, huge=False)
    if cut_off:
        tree, cut_off = _run_parser(data, huge=True)
        if cut_off:
            return ParsedHtml(None, too_deep=True)
        _flatten(tree)
        warnings = (*warnings, Sentence("nested deeper than {n} levels; the deeper ones were flattened", n=MAX_DEPTH))
    if not keeps_components:
        if _COMPONENT.search(data) is not None:
            _replace_components(tree)
        if b"heading" in data:
            _replace_heading_roles(tree)
    _empty_heading_marks(tree)
    return ParsedHtml(tree, warnings=warnings)


def _empty_heading_marks(tree: HtmlElement) -> None:
    """Empty in headings the links "#" and "¶" to a place on the page, which show readers the URL of the section."""
    links = dict.fromkeys(link for heading in tree.iter(*HEADING_TAGS) for link in heading.iter("a"))
    for link in [link for link in links if link.get("href", "").startswith("#") and _is_heading_mark(link)]:
        link.clear(keep_tail=True)  # drop_tree() would join the tails, which takes quadratic time for many links


def _is_heading_mark(link: HtmlElement) -> bool:
    """Whether a link in a heading has neither letters nor a picture."""
    is_in_heading = any(box.tag in HEADING_TAGS for box in islice(link.iterancestors(), MAX_MARK_DEPTH))
    return is_in_heading and not any(map(str.isalnum, "".join(link.itertext()))) and next(link.iter("img"), None) is None


def _replace_components(tree: HtmlElement) -> None:
    """Make web components plain elements, so that their content is read as a browser shows it.

    A declarative shadow root (`<template shadowrootmode>`) is unwrapped. A custom element, whose name has a hyphen, becomes a `div` if it
    contains a box, or if it stands in a box that has no text of its own; otherwise a `span`. Its name becomes a class, because it says what
    the element is for ("author-bio").
    """
    for root in [*tree.iter("template")]:
        if not _SHADOW_ROOT.isdisjoint(root.attrib):
            root.drop_tag()
    mixed = dict[HtmlElement, bool]()  # whether an element has text of its own
    for element in [element for element in tree.iter(etree.Element) if "-" in element.tag][::-1]:  # inner elements first
        parent = element.getparent()
        if parent is None:
            continue
        is_box = next(element.iterdescendants(*BOX_TAGS), None) is not None
        if not is_box and parent.tag in BOX_TAGS:
            if parent not in mixed:
                mixed[parent] = _has_own_text(parent)
            is_box = not mixed[parent]
        element.set("class", f"{element.tag} {element.get('class') or ''}".strip())
        element.tag = "div" if is_box else "span"


def _has_own_text(element: HtmlElement) -> bool:
    return any(text and not text.isspace() for text in (element.text, *(child.tail for child in element)))


def _replace_heading_roles(tree: HtmlElement) -> None:
    """Make each `div`, `p` or `span` with `role=heading` the heading of its `aria-level`, which is 2 by default (WAI-ARIA 1.2)."""
    for element in [element for element in tree.iter("div", "p", "span") if element.get("role") == "heading"]:
        level = element.get("aria-level", "").strip()
        element.tag = f"h{level}" if level in _HEADING_LEVELS else "h2"


def _remove_non_xml(data: bytes) -> bytes:
    """Remove characters, and references to characters, that XML does not allow."""
    if data.translate(_CONTROLS_AS_DELETE) != data:
        data = data.translate(_FORM_FEED_AS_SPACE, _CONTROLS)
    if _NONCHARACTERS[0][:2] in data:
        for character in _NONCHARACTERS:
            data = data.replace(character, b"")
    if b"&#" not in data or _ODD_REFERENCE.search(data) is None:
        return data
    return _REFERENCE.sub(_replace_reference, _SURROGATE_PAIR.sub(_join_surrogates, data))


def _join_surrogates(halves: re.Match[bytes]) -> bytes:
    high, low = (int(halves[n]) if halves[n] else int(halves[n + 1], 16) for n in (1, 3))
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).encode()


def _replace_reference(reference: re.Match[bytes]) -> bytes:
    digits = reference.group()[2:].removesuffix(b";").lower()
    code = int(digits[1:], 16) if digits.startswith(b"x") else int(digits.lstrip(b"0"))  # int() refuses numbers of more than 4,300 digits
    return b" " if code in _BLANKS else _ZERO_WIDTH_SPACE


def _run_parser(html: bytes, *, huge: bool) -> tuple[HtmlElement, bool]:
    # Extraction reads no comments and no processing instructions. XPath finds ids, so libxml2 need not index them.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, huge_tree=huge)
    parser.set_element_class_lookup(_CLASS_LOOKUP)
    try:
        tree = document_fromstring(html, parser=parser)
    except etree.ParserError:  # "Document is empty": the page has only comments or a doctype
        tree = document_fromstring(b"<html><body></body></html>")
    cut_off = any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log)
    return tree, cut_off


def _flatten(tree: HtmlElement) -> None:
    """Unwrap every element deeper than MAX_DEPTH levels; its text stays in place."""
    depth = {tree: 0}
    deep = []
    for element in tree.iter(etree.Element):
        parent = element.getparent()
        depth[element] = 0 if parent is None else depth[parent] + 1
        if depth[element] > MAX_DEPTH:
            deep.append(element)
    for element in reversed(deep):
        element.drop_tag()


def _limit_attributes(html: bytes) -> tuple[bytes, list[str]]:
    """Cut the attributes of a tag after MAX_ATTRIBUTES. Only pages with a long tag of many attributes need the exact check (2 ms).

    The check misses a tag with a `<` in every value; the time limit of the sandbox ends such a page.
    """
    if not _has_crowded_tag(html):
        return html, []
    cuts = []
    for tag in _TAGS.finditer(html):
        if tag.end() - tag.start() > _LONG_TAG_BYTES and tag.group(1) is None and not tag.group().startswith(b"<!--"):
            end = _find_attribute_end(tag.group(), MAX_ATTRIBUTES)
            if end is not None:
                cuts.append((tag.start() + end, tag.end()))
    for start, end in reversed(cuts):
        html = b"%b>%b" % (html[:start], html[end:])
    return html, [Sentence("{n} tags with more than {max} attributes were cut", n=len(cuts), max=MAX_ATTRIBUTES)] if cuts else []


def _has_crowded_tag(html: bytes) -> bool:
    """True if a long tag, or text that looks like one, has more than MAX_ATTRIBUTES attributes."""
    return any(
        html[start + 1 : start + 2].isalpha()
        and not html.startswith((b"script", b"style"), start + 1)
        and _MANY_ATTRIBUTES.match(html, start + 1, end)
        and not _is_in_script(html, start)
        for start, end in _find_long_gaps(html)
    )


def _is_in_script(html: bytes, at: int) -> bool:
    """True if a position is inside a script, where "a<b" contains no tag. Comments that imitate scripts are left to the time limit."""
    begun = html.rfind(b"<script", 0, at)
    return begun >= 0 and html.find(b"</script", begun, at) < 0


def _find_long_gaps(html: bytes) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each "<" without another one in the next _LONG_TAG_BYTES bytes, and of the next "<"."""
    start = html.find(b"<")
    while start >= 0:
        near = html.rfind(b"<", start + 1, start + 2 + _LONG_TAG_BYTES)
        if near < 0:
            near = html.find(b"<", start + 1)
            end = near if near >= 0 else len(html)
            if end - start > 1 + _LONG_TAG_BYTES:
                yield start, end
        start = near


def _find_attribute_end(tag: bytes, count: int) -> int | None:
    """Return the position after the `count`-th attribute of a tag, or None if the tag has fewer."""
    for number, attribute in enumerate(_ATTRIBUTE.finditer(tag), start=1):
        if number == count:
            return attribute.end()
    return None

"""HTML text → lxml tree, for any input: shapes that make libxml2 slow or silent are found, and undone, before or after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlComment, HtmlElement, HtmlEntity, HTMLParser, HtmlProcessingInstruction, document_fromstring

MAX_ATTRIBUTES = 500  # of one tag; real pages stay under 100, and libxml2 compares each with each: 20,000 take 0.4 s, 100,000 a minute
MAX_DEPTH = 200  # libxml2 gives up at 256 levels (2,048 with huge_tree), trafilatura and lxml's copy walk recursively
_LONG_TAG_BYTES = 4_000  # bytes; a tag with more than 500 attributes is longer than this

# A quote opens a value only after "=", as the HTML standard's tokeniser has it. Always matches, never gives back: linear.
_ONE_ATTRIBUTE = r"=?[^\s/>=]++(?:\s*+=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+))?+"
_MANY_ATTRIBUTES = re.compile(rf"[^\s/>]++(?:[\s/]*+{_ONE_ATTRIBUTE}){{{MAX_ATTRIBUTES}}}".encode())  # of what follows a "<"
_ATTRIBUTE = re.compile(rf"[\s/]*+{_ONE_ATTRIBUTE}".encode())
START_TAG_ATTRIBUTES = re.compile(rf"((?:[\s/]++|{_ONE_ATTRIBUTE}|=)*+)>".encode())  # of a start tag, from its name to its end
# Comments and raw text first, so that a `<` inside them is no tag; every alternative also ends at the end of the input.
_TAGS = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title|xmp|noscript)\b[^>]*+>.*?(?:</\1|\Z)"
    rf"|<[a-z](?:[\s/]++|{_ONE_ATTRIBUTE}|=)*+(?:>|\Z)".encode(),
    re.IGNORECASE | re.DOTALL,
)
# lxml.html's own look-up is Python, called for every element somebody touches (1 ms a page); it only tells forms from other elements.
_CLASS_LOOKUP = etree.ElementDefaultClassLookup(HtmlElement, HtmlComment, HtmlProcessingInstruction, HtmlEntity)
# Characters XML 1.0 does not have (section 2.2), as UTF-8; lxml reads them, but raises ValueError where one is written into a tree.
_CONTROLS = bytes([*range(0x09), 0x0B, *range(0x0E, 0x20)])
_FORM_FEED_AS_SPACE = bytes(0x20 if byte == 0x0C else byte for byte in range(256))  # white space in HTML
_CONTROLS_AS_DELETE = bytes(
    0x7F if byte in _CONTROLS + b"\x0c" else byte for byte in range(256)
)  # to see whether there are any takes a third of the time
_NONCHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
# Character references to them. libxml2 itself drops those to surrogates, to NUL and beyond Unicode.
_REFERENCE = re.compile(
    rb"&#(?:0*+(?:[1-8]|1[1245-9]|2\d|3[01]|6553[45])(?!\d)|[xX]0*+(?:[1-8bcef]|1[\da-f]|fff[ef])(?![\da-f]));?", re.IGNORECASE
)
# The two halves of a character beyond U+FFFF, as content systems write an emoji. Browsers show two U+FFFD; the writer meant one character.
_SURROGATE_PAIR = re.compile(
    rb"&#(?:0*+(5529[6-9]|55[3-9]\d\d|56[0-2]\d\d|563[01]\d)|x0*+(d[89ab][\da-f]{2}));?"
    rb"&#(?:0*+(563[2-9]\d|56[4-9]\d\d|57[0-2]\d\d|573[0-3]\d|5734[0-3])|x0*+(d[c-f][\da-f]{2}))(?:;|(?![\da-f]))",
    re.IGNORECASE,
)
_ODD_REFERENCE = re.compile(
    b"%b|%b" % (_REFERENCE.pattern, _SURROGATE_PAIR.pattern), re.IGNORECASE
)  # most pages have none: one search, not two
_BLANKS = frozenset((0x0B, 0x0C, *range(0x1C, 0x20)))  # to Python; a vertical tab is the line break of word processors
_ZERO_WIDTH_SPACE = (
    "\u200b".encode()
)  # what takes the place of one: normalising removes it, and what stood around it forms no new reference


@dataclass(frozen=True, slots=True)
class HtmlSource:
    """What is parsed, and what had to be undone for it."""

    html: bytes
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedHtml:
    """The tree (None where the page is nested deeper than any parser follows, or empty) and what had to be undone for it."""

    tree: HtmlElement | None
    too_deep: bool = False
    warnings: tuple[str, ...] = ()


def parse_html(html: str) -> ParsedHtml:
    """The tree of a page. Never raises."""
    return parse_source(prepare_html(html.encode("utf-8", "ignore")))


def prepare_html(html: bytes) -> HtmlSource:
    """A page in UTF-8 as the parser takes it: without what XML does not know and tags of very many attributes."""
    html, warnings = _limit_attributes(html)
    return HtmlSource(_remove_non_xml(html), tuple(warnings))


def parse_source(markup: HtmlSource) -> ParsedHtml:
    """The tree that all other modules of extraction work on. Never raises."""
    data, warnings = markup.html, markup.warnings
    if not data.strip():
        return ParsedHtml(None)
    tree, cut_off = _run_parser(data, huge=False)
    if cut_off:
        tree, cut_off = _run_parser(data, huge=True)
        if cut_off:
            return ParsedHtml(None, too_deep=True)
        _flatten(tree)
        warnings = (*warnings, f"nested deeper than {MAX_DEPTH} levels; the deeper ones were flattened")
    return ParsedHtml(tree, warnings=warnings)


def _remove_non_xml(data: bytes) -> bytes:
    """The same without what XML does not know."""
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
    code = int(digits[1:], 16) if digits.startswith(b"x") else int(digits.lstrip(b"0"))  # int() refuses 4,300 digits
    return b" " if code in _BLANKS else _ZERO_WIDTH_SPACE


def _run_parser(html: bytes, *, huge: bool) -> tuple[HtmlElement, bool]:
    # Comments and processing instructions carry nothing we read; ids are looked up by XPath, so libxml2 need not index them.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, huge_tree=huge)
    parser.set_element_class_lookup(_CLASS_LOOKUP)
    try:
        tree = document_fromstring(html, parser=parser)
    except etree.ParserError:  # "Document is empty": nothing but comments or a doctype
        tree = document_fromstring(b"<html><body></body></html>")
    cut_off = any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log)
    return tree, cut_off


def _flatten(tree: HtmlElement) -> None:
    """Unwrap every element deeper than MAX_DEPTH, keeping its text in place."""
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
    """Only pages with a long tag of many attributes pay for the exact look (2 ms); one that hides a `<` in every value is the sandbox's."""
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
    return html, [f"{len(cuts)} tags with more than {MAX_ATTRIBUTES} attributes were cut"] if cuts else []


def _has_crowded_tag(html: bytes) -> bool:
    """True when a long tag, or what looks like one, holds very many attributes."""
    return any(
        html[start + 1 : start + 2].isalpha()
        and not html.startswith((b"script", b"style"), start + 1)
        and _MANY_ATTRIBUTES.match(html, start + 1, end)
        and not _is_in_script(html, start)
        for start, end in _find_long_gaps(html)
    )


def _is_in_script(html: bytes, at: int) -> bool:
    """True where the last script begun before has not ended: in "a<b" nothing is a tag. A comment may fake it: the sandbox's too."""
    begun = html.rfind(b"<script", 0, at)
    return begun >= 0 and html.find(b"</script", begun, at) < 0


def _find_long_gaps(html: bytes) -> Iterator[tuple[int, int]]:
    """From each "<" that is followed by no other for _LONG_TAG characters, to the next one. In leaps: a fiftieth of what a split takes."""
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
    """Where the `count`-th attribute of a tag ends, or None where the tag has fewer."""
    for number, attribute in enumerate(_ATTRIBUTE.finditer(tag), start=1):
        if number == count:
            return attribute.end()
    return None

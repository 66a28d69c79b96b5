"""trafilatura's extraction: its input with bounded elements, and its output as blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice

import trafilatura
from lxml import etree
from lxml.html import HtmlElement
from trafilatura.settings import MANUALLY_CLEANED, MANUALLY_STRIPPED, Document

from newsmill.extraction.body.fast_pass import run_fast_pass
from newsmill.extraction.normalise import normalise
from newsmill.model import Block, BlockType

# Elements with very many inline children are simplified first, because trafilatura takes quadratic time for them.
# lxml's strip_tags leaves one text node for each piece of text, and libxml2's XPath sorts adjacent text nodes in quadratic time.
# Removing an element joins its tail to all text before it.
# 38,000 bold words in one paragraph took trafilatura minutes.

MAX_CHILDREN = 2_000  # children of one element; the widest of 1,842 measured pages has 1,359
MAX_LINKS = 500  # the same for links in one element, which are kept as links: 8,000 in one paragraph took 8 s
MAX_SPANNED_CELLS = 50_000  # empty cells that a page may demand by rowspan and colspan; trafilatura makes 400,000 in 3 s
_MAX_SPAN = 100  # trafilatura's own limit of one attribute
_WIDE_ELEMENTS = etree.XPath(f"//*[*[{MAX_CHILDREN + 1}] or a[{MAX_LINKS + 1}]]")
# Tags that trafilatura unwraps: its own list, and formatting that the options do not keep (its htmlprocessing.REND_TAG_MAPPING).
_UNWRAPPED = (*MANUALLY_STRIPPED, "b", "em", "i", "kbd", "samp", "span", "strong", "sub", "sup", "tt", "u", "var")
_REMOVED = tuple({*MANUALLY_CLEANED} - {"figure", "form", "math"})  # tags that trafilatura removes, without elements that it reads first
_TRAFILATURA_TYPES = {
    "head": BlockType.HEADING,
    "list": BlockType.LIST,
    "quote": BlockType.QUOTE,
    "table": BlockType.TABLE,
    "code": BlockType.CODE,
    "fw": BlockType.HEADING,
}
_SPACE = re.compile(r"\s+")


def run_trafilatura(tree: HtmlElement, url: str | None, fast: bool) -> Document | None:
    tree = simplify_wide_elements(tree)
    if fast:
        return run_fast_pass(tree, url or None)
    found = trafilatura.bare_extraction(tree, url=url or None, include_comments=False, with_metadata=False)
    return found if isinstance(found, Document) else None


def simplify_wide_elements(tree: HtmlElement) -> HtmlElement:
    """Return the tree itself, or a simplified copy if it exceeds MAX_CHILDREN, MAX_LINKS or MAX_SPANNED_CELLS.

    The copy has no formatting inside wide elements, no link directly in one with too many, and no cell that spans others.
    """
    if next(islice(tree.iter(), MAX_CHILDREN + 1, None), None) is None:
        return tree  # a page with fewer elements is fast, and counting them takes a tenth of the search
    has_wide_spans = _count_spanned_cells(tree) > MAX_SPANNED_CELLS
    if not has_wide_spans and not _find_wide_elements(tree):
        return tree
    tree = deepcopy(tree)
    if has_wide_spans:
        etree.strip_attributes(tree, "colspan", "rowspan")
    for wide in _find_wide_elements(tree):
        etree.strip_elements(wide, *_REMOVED, with_tail=False)
        if len(links := wide.findall("a")) > MAX_LINKS:
            for link in links:
                link.tag = "span"
        etree.strip_tags(wide, *_UNWRAPPED)
        for element in wide.iter():
            element.text, element.tail = element.text, element.tail  # merges adjacent text nodes
    return tree


def _count_spanned_cells(tree: HtmlElement) -> int:
    """The number of empty cells that the tables need at most: every row is as wide as the widest."""
    spans = [(_read_span(cell, "rowspan"), _read_span(cell, "colspan")) for cell in tree.iter("td", "th")]
    padding = _MAX_SPAN * sum(1 for _ in tree.iter("tr")) if any(columns > 1 for _, columns in spans) else 0
    return padding + sum(rows * columns - 1 for rows, columns in spans)


def _read_span(cell: HtmlElement, name: str) -> int:
    value = cell.get(name, "1")
    return 1 if not value.isdecimal() else min(int(value), _MAX_SPAN) if len(value) < 10 else _MAX_SPAN


def _find_wide_elements(tree: HtmlElement) -> list[HtmlElement]:
    found = _WIDE_ELEMENTS(tree)
    return [element for element in found if isinstance(element, HtmlElement)] if isinstance(found, list) else []


def convert_elements(element: etree._Element) -> Iterator[Block]:
    """Yield the blocks of trafilatura's body element in order, with normalised text. Raises RecursionError if the tree is too deep."""
    for child in element:
        if child.tag in ("div", "body"):
            yield from convert_elements(child)
        else:
            kind = _TRAFILATURA_TYPES.get(str(child.tag), BlockType.PARAGRAPH)
            text = _join_rows(child) if kind in (BlockType.LIST, BlockType.TABLE) else _join_inline(child)
            for part in re.split(r"\n{2,}", normalise(text)) if kind is BlockType.PARAGRAPH else [normalise(text)]:
                if part:
                    yield Block(kind, part)
        if child.tail and child.tail.strip():
            yield Block(BlockType.PARAGRAPH, normalise(child.tail))


def _join_rows(element: etree._Element) -> str:
    """Return one line per list item or table row. " | " separates the cells of a row."""
    lines = []
    for row in element.iter("item", "row"):
        cells = [" ".join(_join_inline(cell).split()) for cell in row.iter("cell")] or [" ".join(_join_inline(row).split())]
        lines.append(" | ".join(cell for cell in cells if cell))
    return "\n".join(line for line in lines if line) or _join_inline(element)


def _join_inline(element: etree._Element) -> str:
    """Return the element's text with `lb` as line break. A line break of the source is only white space."""
    parts = [_SPACE.sub(" ", element.text or "")]
    for child in element:
        parts.append("\n" if child.tag == "lb" else _join_inline(child) + ("\n\n" if child.tag in ("p", "head", "quote") else ""))
        parts.append(_SPACE.sub(" ", child.tail or ""))
    return "".join(parts)

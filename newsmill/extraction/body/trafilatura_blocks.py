"""The result of trafilatura for a page, and its conversion to blocks.

Elements with very many inline children are simplified first, because trafilatura takes quadratic time for them.
lxml's strip_tags leaves one text node for each piece of text, and libxml2's XPath sorts adjacent text nodes in quadratic time.
Removing an element joins its tail to all text before it.
38,000 bold words in one paragraph took trafilatura minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from importlib.metadata import version
from itertools import islice

import trafilatura
from lxml import etree
from lxml.html import HtmlElement
from trafilatura.settings import MANUALLY_CLEANED, MANUALLY_STRIPPED, Document

from newsmill.extraction.normalise import normalise
from newsmill.model import Block, BlockType

TRAFILATURA = f"trafilatura {version('trafilatura')}"
MAX_CHILDREN = 2_000  # children of one element; the widest of 1,842 measured pages has 1,359
_WIDE_ELEMENTS = etree.XPath(f"//*[*[{MAX_CHILDREN + 1}]]")
# Tags that trafilatura unwraps: its own list, and formatting that the options do not keep (its htmlprocessing.REND_TAG_MAPPING).
_UNWRAPPED = (*MANUALLY_STRIPPED, "b", "em", "i", "kbd", "samp", "span", "strong", "sub", "sup", "tt", "u", "var")
_REMOVED = tuple({*MANUALLY_CLEANED} - {"figure", "form", "math"})  # tags that trafilatura removes, without elements that it reads first
_TYPES = {
    "head": BlockType.HEADING,
    "list": BlockType.LIST,
    "quote": BlockType.QUOTE,
    "table": BlockType.TABLE,
    "code": BlockType.CODE,
    "fw": BlockType.HEADING,
}
_SPACE = re.compile(r"\s+")


def run_trafilatura(tree: HtmlElement, url: str | None, fast: bool) -> Document | None:
    found = trafilatura.bare_extraction(
        simplify_wide_elements(tree), url=url or None, include_comments=False, with_metadata=False, fast=fast
    )
    return found if isinstance(found, Document) else None


def simplify_wide_elements(tree: HtmlElement) -> HtmlElement:
    """Return the tree itself, or a simplified copy if an element has more than MAX_CHILDREN children.

    The copy has no formatting inside such elements.
    """
    if not _wide_elements(tree):
        return tree
    tree = deepcopy(tree)
    for wide in _wide_elements(tree):
        etree.strip_elements(wide, *_REMOVED, with_tail=False)
        etree.strip_tags(wide, *_UNWRAPPED)
        for element in wide.iter():
            element.text, element.tail = element.text, element.tail  # merges adjacent text nodes
    return tree


def _wide_elements(tree: HtmlElement) -> list[HtmlElement]:
    if next(islice(tree.iter(), MAX_CHILDREN + 1, None), None) is None:
        return []  # a page with fewer elements has none, and counting them takes a tenth of the search
    found = _WIDE_ELEMENTS(tree)
    return [element for element in found if isinstance(element, HtmlElement)] if isinstance(found, list) else []


def convert_elements(element: etree._Element) -> Iterator[Block]:
    """Yield the blocks of trafilatura's body element in order, with normalised text. Raises RecursionError if the tree is too deep."""
    for child in element:
        if child.tag in ("div", "body"):
            yield from convert_elements(child)
        else:
            kind = _TYPES.get(str(child.tag), BlockType.PARAGRAPH)
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

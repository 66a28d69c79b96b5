"""Keeps elements with very many inline children from an extractor that unwraps and removes their like one by one.

lxml's strip_tags leaves one text node for each piece of text, and libxml2's XPath puts neighbouring text nodes in order in quadratic time;
an element that is removed has its tail joined to all text before it. 38,000 bold words in one paragraph kept trafilatura busy for minutes.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement
from trafilatura.settings import MANUALLY_CLEANED, MANUALLY_STRIPPED

MAX_CHILDREN = 2_000  # of one element; the widest of 1,842 measured pages has 1,359
_WIDE = etree.XPath(f"//*[*[{MAX_CHILDREN + 1}]]")
# What trafilatura unwraps itself: its list, and formatting, which it is not asked to keep (its htmlprocessing.REND_TAG_MAPPING).
_UNWRAPPED = (*MANUALLY_STRIPPED, "b", "em", "i", "kbd", "samp", "span", "strong", "sub", "sup", "tt", "u", "var")
_REMOVED = tuple({*MANUALLY_CLEANED} - {"figure", "form", "math"})  # what it removes, but for elements that it looks into first


def simplify_wide_elements(tree: HtmlElement) -> HtmlElement:
    """The tree itself; where an element has more than MAX_CHILDREN children, a copy without formatting inside such elements."""
    if not _wide_elements(tree):
        return tree
    tree = deepcopy(tree)
    for wide in _wide_elements(tree):
        etree.strip_elements(wide, *_REMOVED, with_tail=False)
        etree.strip_tags(wide, *_UNWRAPPED)
        for element in wide.iter():
            element.text, element.tail = element.text, element.tail  # makes one text node of several
    return tree


def _wide_elements(tree: HtmlElement) -> list[HtmlElement]:
    if next(islice(tree.iter(), MAX_CHILDREN + 1, None), None) is None:
        return []  # a page of fewer elements has none, and counting them takes a tenth of the search
    found = _WIDE(tree)
    return [element for element in found if isinstance(element, HtmlElement)] if isinstance(found, list) else []

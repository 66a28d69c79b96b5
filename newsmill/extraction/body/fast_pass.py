"""The fast pass of trafilatura: the result of `bare_extraction(tree, fast=True)` for about half of its CPU time.

trafilatura filters elements by XPath over attributes, also with regular expressions, which call Python for each element. A site repeats its
attributes, so the answers are kept by tag and attributes. Copies of the tree that only the full pass needs are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from itertools import islice
from typing import Any

from lxml import etree
from lxml.html import HtmlElement
from trafilatura import core, xpaths
from trafilatura.htmlprocessing import convert_tags, prune_unwanted_nodes, tree_cleaning
from trafilatura.main_extractor import extract_content
from trafilatura.settings import Document, Extractor
from trafilatura.xml import xmltotxt

MAX_CACHED_ANSWERS = 20_000  # of each expression, under 10 MB; a site has some hundred different sets of attributes
_baseline: Any = sys.modules["trafilatura.baseline"]  # the attribute of the package with this name is a function
_PARSER = etree.HTMLParser()
_TESTED_TAG = re.compile(r"self::(\w+)")
_TESTED_ATTRIBUTE = re.compile(r"@([\w-]+)")


class ElementFilter:
    """An XPath expression that depends only on the tag and the attributes of an element, with its answers kept."""

    def __init__(self, expression: etree.XPath) -> None:
        path = expression.path.strip()
        self._expression = expression
        self._wants_first = path.endswith("[1]")
        self._depends_on_content = "not(.//" in path
        self._tags = _TESTED_TAG.findall(path) or ["*"]
        self._attributes = frozenset(_TESTED_ATTRIBUTE.findall(path))
        self._is_match = lru_cache(MAX_CACHED_ANSWERS)(self._evaluate)

    def __call__(self, tree: HtmlElement) -> Any:
        """Return the matching elements below `tree`, in page order."""
        try:
            found = list(islice(self._find(tree), 1 if self._wants_first else None))
        except ValueError:  # libxml2 reads some names of elements that it does not make, such as "x<y"
            return self._expression(tree)
        return self._expression(tree) if found and self._depends_on_content else found

    def _find(self, tree: HtmlElement) -> Iterator[HtmlElement]:
        names, is_match = self._attributes, self._is_match
        for element in tree.iterdescendants(*self._tags):
            # `@id|@class` means the attribute that is written first, so the order is part of the key
            if is_match(element.tag, *[attribute for attribute in element.items() if attribute[0] in names]):
                yield element

    def _evaluate(self, tag: str, *attributes: tuple[str, str]) -> bool:
        root = _PARSER.makeelement("div")  # of HTML, where names such as "fb:like" are valid
        etree.SubElement(root, tag, dict(attributes))
        return bool(self._expression(root))


def _keep_answers(expressions: Sequence[etree.XPath]) -> list[Any]:
    """Return filters for the expressions about attributes of one element: the others are fast, or a union."""
    return [
        ElementFilter(expression) if "@" in expression.path and "[1]|" not in expression.path else expression for expression in expressions
    ]


_PRUNED, _COMMENTS = _keep_answers(xpaths.RAW_TREE_PRUNE_XPATH), _keep_answers(xpaths.REMOVE_COMMENTS_AND_LISTS_XPATH)
_BASIC_XPATH = _baseline.BASIC_CLEAN_XPATH  # read once: another thread may have replaced it
_BASIC = ElementFilter(_BASIC_XPATH)
_SHARED_LISTS = (xpaths.BODY_XPATH, xpaths.OVERALL_DISCARD_XPATH, xpaths.DISCARD_IMAGE_ELEMENTS, xpaths.TEASER_DISCARD_XPATH)
_LISTS = [(known, [*known], _keep_answers(known)) for known in _SHARED_LISTS]


@contextmanager
def _use_filters() -> Iterator[None]:
    """Make trafilatura use the filters. Its modules share these lists, and find the same elements with both."""
    try:
        _baseline.BASIC_CLEAN_XPATH = _BASIC
        for known, _, filters in _LISTS:
            known[:] = filters
        yield
    finally:
        _baseline.BASIC_CLEAN_XPATH = _BASIC_XPATH
        for known, expressions, _ in _LISTS:
            known[:] = expressions


def run_fast_pass(source: HtmlElement, url: str | None) -> Document | None:
    """Return trafilatura's result, or None for a page with too little text. `source` does not change."""
    try:
        with _use_filters():
            return _run(source, Extractor(output_format="python", fast=True, comments=False, url=url), url)
    except (TypeError, ValueError):  # as in bare_extraction
        return None


def _run(source: HtmlElement, options: Extractor, url: str | None) -> Document | None:
    """Do what `core.trafilatura_sequence` does with these options."""
    body, text = extract_content(convert_tags(tree_cleaning(_prune(source), options), options, url), options)
    if len(text) < max(options.min_extracted_size, core.ESCALATION_MAX_LENGTH):
        body, text = _rescue(_prune(source), body, text, options, url)
    if len(text) < options.min_output_size:
        return None
    document = Document()
    document.text, document.body = xmltotxt(body, options.formatting), body
    return document


def _prune(source: HtmlElement) -> HtmlElement:
    tree = prune_unwanted_nodes(copy(source), _PRUNED)
    return tree if core._forum_thread_page(source) else prune_unwanted_nodes(tree, _COMMENTS)


def _rescue(tree: HtmlElement, body: Any, text: str, options: Extractor, url: str | None) -> tuple[Any, str]:
    """Return the body and the text, or those of an extraction with fewer rules if it finds more."""
    if len(text) < options.min_extracted_size:
        all_body, all_text, length = _baseline.baseline(tree)
        if length > len(text):
            body, text = all_body, all_text
    if 0 < len(text) < core.ESCALATION_MAX_LENGTH and len(text) < core.ESCALATION_PAGE_SHARE * len(_baseline.html2txt(tree)):
        recall = copy(options)
        recall.focus = "recall"
        try:
            more_body, more_text = core._recall_retry(tree, recall, url)
        except Exception:  # noqa: BLE001  # trafilatura keeps its first result after any error
            return body, text
        if len(more_text) >= options.min_extracted_size and len(more_text) > core.ESCALATION_ACCEPT_RATIO * len(text):
            return more_body, more_text
    return body, text

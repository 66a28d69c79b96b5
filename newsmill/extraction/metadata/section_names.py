"""The names of the sections and topics of a page, which templates also put into the field for the author. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from newsmill.extraction.boilerplate.vocabulary import build_alternation
from newsmill.extraction.metadata.structured_data import StructuredData, as_list, get_types, read_text, unescape_html
from newsmill.extraction.metadata.titles import join_letters

SECTION_META = ("article:section", "og:article:section", "section", "parsely-section", "cxenseparse:section", "dc.subject")
MAX_LINKS = 5_000  # links examined; the largest of 1,582 measured pages has 3,400
MAX_NAME_CHARACTERS = 40  # characters of the text of a link that may be one word
# Folders of a site in which each page lists the articles of one section or topic.
_LIST_FOLDER = re.compile(rf"/(?:{build_alternation('topic_folder')})/[^/]+/?$", re.IGNORECASE)


def find_section_names(page: StructuredData) -> frozenset[str]:
    """Return the letters (`titles.join_letters`) of every section name and topic name on the page.

    These are declared sections, steps of the breadcrumb trail, labels of the navigation, and links to the list of a category or tag. Such
    links are identified by `rel` (HTML standard 4.6.7, microformats) or by URL.
    """
    named = (*_list_declared(page), *_list_linked(page.marks.tree))
    return frozenset(letters for name in named if name and (letters := join_letters(name)))


def _list_declared(page: StructuredData) -> Iterator[str | None]:
    for value in as_list((page.article or {}).get("articleSection")):
        yield read_text(value)
    for name in SECTION_META:
        yield from map(unescape_html, page.meta.get(name, ()))
    for node in page.nodes:
        if "BreadcrumbList" in get_types(node):
            yield from map(read_step_name, as_list(node.get("itemListElement")))


def read_step_name(step: Any) -> str | None:
    """Return the name of one step of a breadcrumb trail, or None."""
    if not isinstance(step, dict):
        return None
    item = step.get("item")
    return read_text(step.get("name")) or (read_text(item.get("name")) if isinstance(item, dict) else None)


def _list_linked(tree: HtmlElement) -> Iterator[str]:
    for link in islice(tree.iter("a"), MAX_LINKS):
        if _is_section_link(link):
            text = "".join(link.itertext()).strip()
            if len(text) <= MAX_NAME_CHARACTERS:
                yield text


def _is_section_link(link: HtmlElement) -> bool:
    rel = link.get("rel", "").lower().split()
    if "author" in rel:
        return False
    if "tag" in rel or "category" in rel:
        return True
    try:
        path = urlsplit(link.get("href", "")).path
    except ValueError:
        return False
    return _LIST_FOLDER.search(path) is not None or any(box.tag == "nav" for box in link.iterancestors("nav"))

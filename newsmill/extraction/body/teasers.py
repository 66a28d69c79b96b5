"""Boxes of a page that are not its article: readers' comments, and teasers of other articles. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from urllib.parse import urlsplit

from newsmill.extraction.body.blocks import HEADING_TAGS, Box, Layout
from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.body.page_stats import COMMENT_CLASS
from newsmill.extraction.metadata.structured_data import make_comparable, names_author
from newsmill.model import BlockType


def find_comments(layout: Layout, headline: int | None) -> list[Box]:
    """Return the boxes with a name for comments, such as "comment-list".

    They are not around the headline; `headline` is the index of its block. For None they are not around an <h1>, and not the whole page,
    whose <body> may have the name "comments-open".
    """
    if headline is not None:
        around = _list_around(layout, headline)
    else:
        around = {inner.index for box in layout.boxes if box.tag in ("h1", "body") for inner in box.ancestors()}
    return [box for box in layout.boxes if box.index not in around and COMMENT_CLASS.search(box.names)]


def find_teasers(layout: Layout, headline: int, url: str | None) -> list[Box]:
    """Return the boxes of teasers: the largest with no other heading than a link to another page.

    `headline` is the index of the block with the page's headline, and `url` the URL of the page.
    """
    around = _list_around(layout, headline)
    headings = [int(box.tag in HEADING_TAGS) for box in layout.boxes]
    for box in reversed(layout.boxes):
        if box.parent is not None:
            headings[box.parent.index] += headings[box.index]
    found = []
    for block in layout.blocks:
        link = next((href for _, href in block.link_edges if href), None)
        if block.type is not BlockType.HEADING or block.index == headline or not block.linked or is_link_to_page(link, url):
            continue
        if not any(map(names_author, block.box.element.iter("*"))):  # beside an author's name is the date of the article
            found.append(_find_largest_box(block.box, headings, around))
    return found


def _list_around(layout: Layout, headline: int) -> set[int]:
    return {box.index for box in layout.blocks[headline].box.ancestors()}


def is_link_to_page(href: str | None, url: str | None) -> bool:
    """Whether a link on the page with this URL leads to the page itself."""
    target = resolve_url(href or "", url or "")
    return (
        target is not None
        and url is not None
        and make_comparable(target) == make_comparable(url)
        and urlsplit(target).query == urlsplit(url).query
    )


def _find_largest_box(box: Box, headings: Sequence[int], around: Set[int]) -> Box:
    while box.parent is not None and box.parent.index not in around and headings[box.parent.index] == 1:
        box = box.parent
    return box

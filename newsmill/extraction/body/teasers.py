"""Boxes of a page that are not its article: readers' comments, and teasers of other articles. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import HEADING_TAGS, Box, Layout, TextBlock, is_hidden, split_words
from newsmill.extraction.body.layout_stats import LayoutStats, find_title_block, has_comment_name
from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.metadata.marked_elements import names_author
from newsmill.extraction.metadata.structured_data import make_comparable
from newsmill.model import BlockType
from newsmill.text.urls import find_site

MIN_CUT_TEASERS = 3  # side by side; fewer may be paragraphs that end so by chance
MIN_TEXT_CHARACTERS = 100  # of a block beside them; a page without one is a list of articles
MAX_CUT_TEASER_CHARACTERS = 600  # of a box; a section of an article may be longer
MAX_LINK_CHARACTERS = 40  # of "Read more", behind the text that was cut off
_CUT_ENDS = ("…", "...", "[…]", "[...]")


def find_comments(layout: Layout, headline: int | None) -> list[Box]:
    """Return the boxes with a name for comments, such as "comment-list".

    They are not around the headline; `headline` is the index of its block. For None they are not around an <h1>, and not the whole page,
    whose <body> may have the name "comments-open".
    """
    if headline is not None:
        around = _list_around(layout, headline)
    else:
        around = {inner.index for box in layout.boxes if box.tag in ("h1", "body") for inner in box.ancestors()}
    return [box for box in layout.boxes if box.index not in around and has_comment_name(box)]


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


def find_cut_teasers(layout: Layout, title: str, url: str | None) -> frozenset[int]:
    """Return the blocks of teasers whose text was cut off ("…"): in small boxes side by side, each with one such text and a link.

    The link leads to the site of the page, because lists of things elsewhere are articles. It is beside the text or around it, or the text
    begins or ends with it; one inside a sentence does not count. `title` and `url` are those of the page.
    """
    cut = [block for block in layout.blocks if ("…" in block.text or "..." in block.text) and _is_cut(block)]
    if len(cut) < MIN_CUT_TEASERS:
        return frozenset()
    headline = find_title_block(layout, set(split_words(title)))
    found = _find_teaser_boxes(layout, cut, _list_around(layout, headline) if headline >= 0 else frozenset(), url)
    if not found:
        return frozenset()
    teasers = _list_small_blocks(layout, found)
    has_text = any(len(block.text) >= MIN_TEXT_CHARACTERS and not block.linked and block.index not in teasers for block in layout.blocks)
    return teasers if has_text else frozenset()


def _find_teaser_boxes(layout: Layout, cut: Sequence[TextBlock], around: Set[int], url: str | None) -> set[int]:
    """Return the boxes with one cut text and its link, if there are several side by side and none is around the headline."""
    counts = [0] * len(layout.boxes)  # texts that were cut off, in each box
    for block in cut:
        counts[block.box.index] += 1
    for box in reversed(layout.boxes):
        if box.parent is not None:
            counts[box.parent.index] += counts[box.index]
    rows: dict[int, set[int]] = {}  # box → its boxes with a teaser
    for block in cut:
        box = block.box
        while box.parent is not None and counts[box.parent.index] == 1:
            box = box.parent
        if box.parent is not None and box.index not in around and _has_link(block, box, url):
            rows.setdefault(box.parent.index, set()).add(box.index)
    return {index for row in rows.values() if len(row) >= MIN_CUT_TEASERS for index in row}


def _list_small_blocks(layout: Layout, boxes: Set[int]) -> frozenset[int]:
    """Return the blocks in those of the boxes that have little text."""
    teaser_of: list[int | None] = []  # of each box
    for box in layout.boxes:
        teaser_of.append(box.index if box.index in boxes else None if box.parent is None else teaser_of[box.parent.index])
    inside: dict[int, list[TextBlock]] = {}
    for block in layout.blocks:
        if (teaser := teaser_of[block.box.index]) is not None:
            inside.setdefault(teaser, []).append(block)
    small = (blocks for blocks in inside.values() if sum(len(block.text) for block in blocks) <= MAX_CUT_TEASER_CHARACTERS)
    return frozenset(block.index for blocks in small for block in blocks)


def find_hidden_articles(stats: LayoutStats) -> frozenset[int]:
    """Return the blocks of other articles in hidden tabs: of hidden boxes beside the box of the headline that have a headline of their own.

    That is a heading of the same tag with other words. A hidden box without one may be the rest of the article, which opens on a click.
    """
    if stats.title_at < 0 or stats.is_hidden((shown := stats.blocks[stats.title_at]).box):
        return frozenset()
    around = {box.index for box in shown.box.ancestors()}
    found = set[int]()
    for block in stats.blocks:
        if block.box.tag == shown.box.tag and block.words != shown.words and block.box.index not in around:
            beside = next(box for box in block.box.ancestors() if box.parent is None or box.parent.index in around)
            if _is_hidden(beside.element):
                found.add(beside.index)
    return (
        frozenset(block.index for block in stats.blocks if any(box.index in found for box in block.box.ancestors()))
        if found
        else frozenset()
    )


def _is_hidden(element: HtmlElement) -> bool:
    return element.get("aria-hidden") == "true" or is_hidden(element, element.get("class") or "")


def _is_cut(block: TextBlock) -> bool:
    if block.text.endswith(_CUT_ENDS):
        return True
    part = next((part for part, href in reversed(block.link_edges) if href), 0)
    return len("".join(block.parts[part:])) <= MAX_LINK_CHARACTERS and "".join(block.parts[:part]).rstrip().endswith(_CUT_ENDS)


def _has_link(block: TextBlock, box: Box, url: str | None) -> bool:
    if block.linked or (block.link_edges and (block.link_edges[0][0] == 0 or not block.text.endswith(_CUT_ENDS))):
        return any(_leads_to_site(href, url) for _, href in block.link_edges)
    return box is not block.box and any(_leads_to_site(link.get("href"), url) for link in box.element.iter("a"))


def _leads_to_site(href: str | None, url: str | None) -> bool:
    target = resolve_url(href, url or "") if href else None
    return target is not None and url is not None and find_site(target) == find_site(url)


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

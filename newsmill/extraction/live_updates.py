"""Live blogs: the entries with their times become `live_updates`, and the lead remains the text.

A page is a live blog if it declares LiveBlogPosting (schema.org) with three or more different updates. The data name its entries:
by the text of an update, or by the element of its URL (`…#post-123`) with all similar elements beside it. Without such a URL,
entries are in the element for a feed (amp-live-list, https://amp.dev/documentation/components/amp-live-list).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lxml.html import HtmlElement

from newsmill.extraction.metadata.json_ld import Node, get_types, read_text, unescape_html
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, parse_timestamp
from newsmill.extraction.metadata.titles import split_title_words
from newsmill.extraction.normalise import normalise, normalise_line
from newsmill.model import Block, BlockType, LiveUpdate

MAX_UPDATES = 500  # updates kept of one live blog, in listed order; the longest measured one has 428
MIN_UPDATES = 3  # different updates; a page with fewer is an article with corrections
MIN_LEAD_WORDS = 60  # words that must remain outside the feed: some publishers have no lead, and an empty text is useless
MAX_SEARCHED_CHARACTERS = 500_000_000  # characters searched on a page, 0.2 s; the longest feed of 1,842 pages allows 1,400 searches
FEED_TAG = "amp-live-list"  # its child with the attribute `items` has one element for each entry
LAYER, REASON = "rules", "live update"


def find_updates(page: StructuredData, now: datetime) -> tuple[LiveUpdate, ...]:
    """Return the updates in page order: from the elements if these are more, else from the data. Times a day after `now` are dropped."""
    blog = _find_live_blog(page)
    if blog is None:
        return ()
    updates = _list_updates(blog)
    listed = tuple(found for item in updates[:MAX_UPDATES] for found in _read_update(item, now))
    shown = tuple(found for entry in _find_entries(page, updates)[:MAX_UPDATES] for found in _read_element(entry, now))
    return shown if len(shown) > len(listed) else listed


def remove_updates(blocks: Sequence[Block], page: StructuredData) -> tuple[Block, ...]:
    """Return the blocks; those that repeat an update are removed, unless fewer than MIN_LEAD_WORDS words would remain outside the feed."""
    blog = _find_live_blog(page)
    if blog is None:
        return tuple(blocks)
    updates = _list_updates(blog)
    entries = _find_entries(page, updates)
    if max(len(updates), len(entries)) < MIN_UPDATES:
        return tuple(blocks)
    updates_found = _find_repeats(blocks, list(_list_feed_texts(updates, entries)))
    lead = sum(
        len(split_title_words(block.text))
        for block, is_update in zip(blocks, updates_found, strict=True)
        if block.kept and not is_update and block.type is not BlockType.HEADING
    )
    if lead < MIN_LEAD_WORDS or not any(updates_found):
        return tuple(blocks)
    return tuple(
        replace(block, kept=False, layer=LAYER, reason=REASON) if is_update else block
        for block, is_update in zip(blocks, updates_found, strict=True)
    )


def _find_repeats(blocks: Sequence[Block], pieces: Sequence[str]) -> list[bool]:
    """Return for each block whether it is kept and occurs in the feed. Most blocks of an update are one of its pieces."""
    feed, feed_pieces = " ".join(pieces), set(pieces)
    searches = MAX_SEARCHED_CHARACTERS // max(1, len(feed))
    repeats = []
    for block in blocks:
        text = _join_words(block.text) if block.kept else ""
        is_in_feed = text in feed_pieces
        if block.kept and not is_in_feed and searches > 0:
            searches -= 1
            is_in_feed = text in feed
        repeats.append(block.kept and is_in_feed)
    return repeats


def _find_live_blog(page: StructuredData) -> Node | None:
    return next((node for node in page.nodes if "LiveBlogPosting" in get_types(node) and node.get("liveBlogUpdate")), None)


def _list_updates(blog: Node) -> list[Mapping[str, Any]]:
    updates: Any = blog.get("liveBlogUpdate")
    items: list[Mapping[str, Any]] = [item for item in (updates if isinstance(updates, list) else [updates]) if isinstance(item, dict)]
    different = list({_join_words(_read_body(item) or str(item.get("headline"))): item for item in reversed(items)}.values())[::-1]
    return different if len(different) >= min(MIN_UPDATES, len(items)) else []  # entries with equal text are the article itself


def _list_feed_texts(updates: Sequence[Node], entries: Sequence[HtmlElement]) -> Iterator[str]:
    for item in updates:
        yield _join_words(_read_body(item))
        yield _join_words(read_text(item.get("headline")) or "")
    for entry in entries:
        yield _join_words(" ".join(entry.itertext()))
        for inner in entry.iter("p", "li", "h2", "h3", "h4"):  # as in a browser, an inline tag does not separate words
            yield _join_words("".join(inner.itertext()))


def _join_words(text: str) -> str:
    """Join the words, with a space at either end so that a part of a word does not match."""
    return f" {' '.join(split_title_words(text))} "


def _read_body(item: Node) -> str:
    body = item.get("articleBody") or item.get("text") or item.get("description")
    return unescape_html(re.sub(r"<[^>]*>", " ", body)) if isinstance(body, str) else ""


def _find_entries(page: StructuredData, updates: Sequence[Node]) -> list[HtmlElement]:
    """Return the elements of one update each: those that URLs of updates name, with similar ones beside them, else the items of a feed."""
    names = {fragment for item in updates if (fragment := _find_target_id(item))}
    named = [element for element in page.marks.tree.iter() if element.get("id") in names] if names else []
    signatures = {(element.getparent(), element.tag, element.get("class")) for element in named}
    beside = (element for parent in dict.fromkeys(element.getparent() for element in named) if parent is not None for element in parent)
    entries = [element for element in beside if (element.getparent(), element.tag, element.get("class")) in signatures]
    if entries:
        return entries
    tree = page.marks.tree
    feeds = [*tree.iter(FEED_TAG), *tree.find_class(FEED_TAG)]  # the parser makes a class of the name of a custom element
    return [entry for feed in feeds for items in feed if items.get("items") is not None for entry in items]


def _find_target_id(item: Node) -> str | None:
    """Return the id of the element that the URL of an update points to."""
    url = next((item[key] for key in ("url", "@id") if isinstance(item.get(key), str) and "#" in item[key]), None)
    return None if url is None else str(url).rsplit("#", 1)[1] or None


def _read_update(item: Node, now: datetime) -> Iterator[LiveUpdate]:
    text, title = normalise(_read_body(item)), read_text(item.get("headline")) or read_text(item.get("name"))
    at = parse_timestamp(item.get("datePublished"), "json-ld", now + MAX_AHEAD)
    if text or title:
        yield LiveUpdate(text or title or "", title, at.at if at is not None else None)


def _read_element(entry: HtmlElement, now: datetime) -> Iterator[LiveUpdate]:
    """Read an update from its element: paragraphs, heading and <time>."""
    text = "\n\n".join(filter(None, (normalise_line("".join(p.itertext())) for p in entry.iter("p", "li", "blockquote"))))
    title = next((normalise_line("".join(h.itertext())) for h in entry.iter("h2", "h3", "h4")), None) or None
    stamp = next((element.get("datetime") for element in entry.iter("time") if element.get("datetime")), None)
    at = parse_timestamp(stamp, "dom", now + MAX_AHEAD)
    if text:
        yield LiveUpdate(text, title, at.at if at is not None else None)

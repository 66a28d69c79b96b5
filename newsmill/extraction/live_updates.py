"""Live blogs: the entries with their times become `live_updates`, the lead stays the text.

A page is a live blog when it says so (schema.org LiveBlogPosting with three updates or more, each saying something else). Its entries
are found by what the data name: the text of an update, and the element that its address points to (`…#post-123`) with all its like
beside it; where no address does, by the element made for a feed (amp-live-list, https://amp.dev/documentation/components/amp-live-list).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lxml.html import HtmlElement

from newsmill.extraction.metadata.structured_data import Node, StructuredData, node_types, text_of, unescaped
from newsmill.extraction.metadata.timestamps import TOLERANCE, read_moment
from newsmill.extraction.metadata.titles import words
from newsmill.extraction.normalise import normalise, normalise_line
from newsmill.model import Block, BlockType, LiveUpdate

MOST = 500  # updates kept of one live blog, newest as listed; the longest measured one has 428
FEWEST = 3  # different updates; with fewer it is an article with a correction or two
LEAD = 60  # words that must be left outside the feed: some publishers have no lead, and an empty text serves nobody
MAX_SEARCHED = 500_000_000  # characters searched on a page; 0.2 s. The longest feed of 1,842 pages allows 1,400 searches
FEED = "amp-live-list"  # its child with the attribute `items` holds one element for each entry
LAYER, REASON = "rules", "live update"


def find_updates(page: StructuredData, now: datetime) -> tuple[LiveUpdate, ...]:
    """The updates in page order, from the data, or from the elements where these are more. A time a day or more after `now` is none."""
    blog = _live_blog(page)
    if blog is None:
        return ()
    updates = _listed(blog)
    listed = tuple(found for item in updates[:MOST] for found in _read(item, now))
    shown = tuple(found for entry in _entries(page, updates)[:MOST] for found in _read_element(entry, now))
    return shown if len(shown) > len(listed) else listed


def mark(blocks: Sequence[Block], page: StructuredData) -> tuple[Block, ...]:
    """The same blocks, those that repeat an update marked as removed; unchanged where too little would be left outside the feed."""
    blog = _live_blog(page)
    if blog is None:
        return tuple(blocks)
    updates = _listed(blog)
    entries = _entries(page, updates)
    if max(len(updates), len(entries)) < FEWEST:
        return tuple(blocks)
    inside = _repeats(blocks, list(_feed(updates, entries)))
    lead = sum(
        len(words(b.text)) for b, taken in zip(blocks, inside, strict=True) if b.kept and not taken and b.type is not BlockType.HEADING
    )
    if lead < LEAD or not any(inside):
        return tuple(blocks)
    return tuple(replace(b, kept=False, layer=LAYER, reason=REASON) if taken else b for b, taken in zip(blocks, inside, strict=True))


def _repeats(blocks: Sequence[Block], pieces: Sequence[str]) -> list[bool]:
    """For each block whether it is kept and stands in the feed. Most blocks of an update are one of its pieces."""
    feed, said = " ".join(pieces), set(pieces)
    searches = MAX_SEARCHED // max(1, len(feed))
    found = []
    for block in blocks:
        text = _flat(block.text) if block.kept else ""
        held = text in said
        if block.kept and not held and searches > 0:
            searches -= 1
            held = text in feed
        found.append(block.kept and held)
    return found


def _live_blog(page: StructuredData) -> Node | None:
    return next((node for node in page.nodes if "LiveBlogPosting" in node_types(node) and node.get("liveBlogUpdate")), None)


def _listed(blog: Node) -> list[Mapping[str, Any]]:
    updates: Any = blog.get("liveBlogUpdate")
    items: list[Mapping[str, Any]] = [item for item in (updates if isinstance(updates, list) else [updates]) if isinstance(item, dict)]
    different = list({_flat(_body(item) or str(item.get("headline"))): item for item in reversed(items)}.values())[::-1]
    return different if len(different) >= min(FEWEST, len(items)) else []  # entries that all say the same are the article itself


def _feed(updates: Sequence[Node], entries: Sequence[HtmlElement]) -> Iterator[str]:
    for item in updates:
        yield _flat(_body(item))
        yield _flat(text_of(item.get("headline")) or "")
    for entry in entries:
        yield _flat(" ".join(entry.itertext()))
        for inner in entry.iter("p", "li", "h2", "h3", "h4"):  # as a browser shows it: an inline tag does not part words
            yield _flat("".join(inner.itertext()))


def _flat(text: str) -> str:
    """Words only, with a blank at either end so that a part of a word is no match."""
    return f" {' '.join(words(text))} "


def _body(item: Node) -> str:
    body = item.get("articleBody") or item.get("text") or item.get("description")
    return unescaped(re.sub(r"<[^>]*>", " ", body)) if isinstance(body, str) else ""


def _entries(page: StructuredData, updates: Sequence[Node]) -> list[HtmlElement]:
    """The elements that hold one update each: those named by an update's address, and their like beside them; else a feed's items."""
    names = {fragment for item in updates if (fragment := _fragment(item))}
    named = [element for element in page.marks.tree.iter() if element.get("id") in names] if names else []
    signatures = {(element.getparent(), element.tag, element.get("class")) for element in named}
    beside = (element for parent in dict.fromkeys(element.getparent() for element in named) if parent is not None for element in parent)
    entries = [element for element in beside if (element.getparent(), element.tag, element.get("class")) in signatures]
    if entries:
        return entries
    return [entry for feed in page.marks.tree.iter(FEED) for items in feed if items.get("items") is not None for entry in items]


def _fragment(item: Node) -> str | None:
    """The id of the element that an update's address points to."""
    address = next((item[key] for key in ("url", "@id") if isinstance(item.get(key), str) and "#" in item[key]), None)
    return None if address is None else str(address).rsplit("#", 1)[1] or None


def _read(item: Node, now: datetime) -> Iterator[LiveUpdate]:
    text, title = normalise(_body(item)), text_of(item.get("headline")) or text_of(item.get("name"))
    at = read_moment(item.get("datePublished"), "json-ld", now + TOLERANCE)
    if text or title:
        yield LiveUpdate(text or title or "", title, at.at if at is not None else None)


def _read_element(entry: HtmlElement, now: datetime) -> Iterator[LiveUpdate]:
    """An update from its element: its paragraphs, its heading, its <time>."""
    text = "\n\n".join(filter(None, (normalise_line("".join(p.itertext())) for p in entry.iter("p", "li", "blockquote"))))
    title = next((normalise_line("".join(h.itertext())) for h in entry.iter("h2", "h3", "h4")), None) or None
    stamp = next((element.get("datetime") for element in entry.iter("time") if element.get("datetime")), None)
    at = read_moment(stamp, "dom", now + TOLERANCE)
    if text:
        yield LiveUpdate(text, title, at.at if at is not None else None)

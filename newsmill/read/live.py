"""The entries of a live blog, as its JSON-LD lists them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from newsmill.model import LiveUpdate
from newsmill.read import stamps
from newsmill.read.normalise import normalise
from newsmill.read.structured import Node, text_of, unescaped

MOST = 500  # updates kept of one live blog, newest as listed; the longest measured one has 300


def find_updates(article: Node, now: datetime) -> tuple[LiveUpdate, ...]:
    """The updates in the order of the page; nothing later than a day after `now` gets a time."""
    updates = article.get("liveBlogUpdate")
    listed = updates if isinstance(updates, list) else [] if updates is None else [updates]
    return tuple(found for item in listed[:MOST] for found in _read(item, now))


def _read(item: Any, now: datetime) -> Iterator[LiveUpdate]:
    if not isinstance(item, dict):
        return
    body = item.get("articleBody") or item.get("text") or item.get("description")
    text = normalise(unescaped(body)) if isinstance(body, str) else ""
    title = text_of(item.get("headline")) or text_of(item.get("name"))
    at = stamps.read_moment(item.get("datePublished"), "json-ld", now + stamps.TOLERANCE)
    if text or title:
        yield LiveUpdate(text or title or "", title, at.at if at is not None else None)

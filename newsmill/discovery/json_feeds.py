"""JSON Feed: its entries, also those before damage."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from newsmill.discovery.dates import get_precision, parse_date, parse_day_or_time, to_time
from newsmill.discovery.feed_entries import FeedEntries, FeedEntry, clean_distinct, clean_names, clean_text, find_first_url, is_absolute
from newsmill.discovery.raw_feeds import TitleForm
from newsmill.discovery.xml_feeds import MAX_ENTRIES
from newsmill.exceptions import ListingError
from newsmill.model import Hint
from newsmill.text.charset import to_text
from newsmill.text.finite_json import DECODER
from newsmill.text.language_tags import parse_language_tag
from newsmill.text.sentences import Sentence

_JSON_SPACE = re.compile(r"[ \t\n\r]*+")


def read_json_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> FeedEntries:
    """The entries of JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1); in a damaged file, those before the damage."""
    text = to_text(body, content_type, is_xml=True)[0]
    damage: tuple[str, ...] = ()
    try:
        feed = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        feed = _read_before_damage(text)
        if not feed.get("items"):
            raise ListingError(Sentence("not a JSON Feed: {error}", error=error)) from None
        damage = (Sentence("the JSON is broken, and only the items before that are read: {error}", error=error),)
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise ListingError(Sentence("JSON, but not a JSON Feed: it has no list of items"))
    language, authors = parse_language_tag(feed.get("language")), _read_json_authors(feed) or ()
    items = (item for item in feed["items"][:MAX_ENTRIES] if isinstance(item, dict))
    entries = tuple(_make_json_entry(item, url, language, authors, now) for item in items)
    topic = feed.get("feed_url")
    return FeedEntries(language, entries, damage, _find_json_hub(feed.get("hubs")), topic if is_absolute(topic) else None)


def _find_json_hub(hubs: object) -> str | None:
    """The URL of the first WebSub hub of a JSON Feed."""
    for hub in hubs if isinstance(hubs, list) else ():
        if isinstance(hub, dict) and str(hub.get("type")).lower() == "websub" and is_absolute(hub.get("url")):
            return str(hub["url"])
    return None


def _read_before_damage(text: str) -> dict[str, Any]:
    """The complete members of a JSON object that is cut off or broken, and the complete items of its list "items"."""
    members: dict[str, Any] = {}
    try:
        at = _skip_mark(text, 0, "{")
        while True:
            name, at = DECODER.raw_decode(text, _skip_mark(text, at, ""))
            at = _skip_mark(text, at, ":")
            if name == "items" and text.startswith("[", at):
                items = members["items"] = []
                at = _skip_mark(text, at, "[")
                while not text.startswith("]", at):
                    item, at = DECODER.raw_decode(text, at)
                    items.append(item)
                    at = _skip_mark(text, at, "")
                    at = _skip_mark(text, at, ",") if text.startswith(",", at) else at
                at += 1
            else:
                members[str(name)], at = DECODER.raw_decode(text, at)
            at = _skip_mark(text, at, ",")
    except (ValueError, RecursionError):
        return members


def _skip_mark(text: str, at: int, mark: str) -> int:
    """Where the token behind white space and a mark begins. Raises ValueError if the mark is missing."""
    at = _JSON_SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches nothing too
    if not text.startswith(mark, at):
        raise ValueError(f"{mark} is missing")
    return _JSON_SPACE.match(text, at + len(mark)).end()  # type: ignore[union-attr]


def _read_json_authors(owner: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of a feed's or an item's authors; None where it has no such field."""
    authors = owner.get("authors") or owner.get("author")
    people = authors if isinstance(authors, list) else [authors]
    return clean_names(person.get("name") for person in people if isinstance(person, dict)) if authors else None


def _make_json_entry(
    item: dict[str, Any], base: str, language: str | None, feed_authors: tuple[str, ...], now: datetime | None
) -> FeedEntry:
    authors, tags = _read_json_authors(item), item.get("tags")
    url, others = item.get("url"), (item.get("id"), item.get("external_url"))
    links = [*((url,) if url and isinstance(url, str) else ()), *filter(is_absolute, others)]
    published = parse_day_or_time(item.get("date_published"), now)
    return FeedEntry(
        url=find_first_url(links, base),
        hint=Hint(
            title=clean_text(item.get("title"), TitleForm.TEXT),
            authors=feed_authors if authors is None else authors,
            published_at=to_time(published),
            modified_at=parse_date(item.get("date_modified"), now),
            language=parse_language_tag(item.get("language")) or language,
            tags=clean_distinct(tags) if isinstance(tags, list) else (),
            published_precision=get_precision(published),
        ),
    )

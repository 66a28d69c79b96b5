"""A feed's bytes → links with hints. RSS 0.9x to 2.0, RDF and Atom through feedparser; JSON Feed here. Never touches the network."""

from __future__ import annotations

import html
import io
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import feedparser  # type: ignore[import-untyped]

from newsmill.exceptions import ListingError, UrlError
from newsmill.find import urls
from newsmill.find.moments import from_struct, moment
from newsmill.model import Hint, Kind, Link, Listing

MOST_ENTRIES = 2_000  # a feed is a window on what is new; sites that put more into it have a sitemap too

_END_OF_ENTRY = re.compile(rb"</(?:\w+:)?(?:item|entry)\s*>", re.I)
# An entity with a long value, referred to often, makes megabytes of kilobytes. HTML's own entities are one character each.
_LONG_ENTITY = re.compile(rb"""<!ENTITY\s{1,9}(?:%\s{1,9})?[^\s"'<>]{1,99}\s{1,9}["'][^"']{64}""", re.I)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the feed wrote it: `address` may be relative, or None."""

    address: str | None
    hint: Hint


def read_feed(body: bytes, url: str, content_type: str | None = None, *, now: datetime | None = None) -> Listing:
    """The pages a feed at `url` links to, in feed order, at most 2,000, each once. Dates more than a day after `now` are left out.

    Raises ListingError when the body is no feed. Entries without a usable address are counted in `warnings`.
    """
    language, entries = read_entries(body, url, content_type, now)
    pages: dict[str, Link] = {}
    lost = 0
    for entry in entries:
        try:
            address = urls.normal(entry.address or "", url)
        except UrlError:
            lost += 1
            continue
        if entry.address is None:
            lost += 1
        else:
            pages.setdefault(address, Link(address, Kind.PAGE, found_by="feed", found_on=url, hint=entry.hint))
    return Listing(pages=tuple(pages.values()), language=language, warnings=(f"{lost} entries without a usable address",) if lost else ())


def read_entries(body: bytes, url: str, content_type: str | None, now: datetime | None) -> tuple[str | None, tuple[Entry, ...]]:
    """A feed's language and its entries, with or without address. Raises ListingError when the body is no feed."""
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return _json_feed(body, now)
    return _xml_feed(body, url, content_type, now)


def _xml_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> tuple[str | None, tuple[Entry, ...]]:
    if _LONG_ENTITY.search(body):
        raise ListingError("declares long XML entities, as no feed needs and bombs do")
    headers = {"content-location": url} | ({"content-type": content_type} if content_type else {})
    # Bytes in a file object: given bare bytes, feedparser takes them for a file name or an address first.
    # Its sanitizer and its resolving of links inside summaries cost four fifths of the time and serve HTML that is not kept.
    parsed = feedparser.parse(io.BytesIO(_shortened(body)), response_headers=headers, sanitize_html=False, resolve_relative_uris=False)
    if not parsed.entries and not parsed.version:
        raise ListingError("is no feed: neither RSS, Atom nor JSON Feed")
    language = _language(parsed.feed.get("language"))
    rss = not parsed.version.startswith("atom")
    return language, tuple(_entry(entry, language, rss, now) for entry in parsed.entries[:MOST_ENTRIES])


def _shortened(body: bytes) -> bytes:
    """The body without the entries after the 2,000th; its tail stays, so that it is still well-formed."""
    ends = [match.end() for match in _END_OF_ENTRY.finditer(body)]
    return body if len(ends) <= MOST_ENTRIES else body[: ends[MOST_ENTRIES - 1]] + body[ends[-1] :]


def _entry(entry: Any, feed_language: str | None, rss: bool, now: datetime | None) -> Entry:
    # dict.get: feedparser's own .get answers "updated" with "published", and warns.
    published = from_struct(dict.get(entry, "published_parsed") or dict.get(entry, "created_parsed"), now)
    modified = from_struct(dict.get(entry, "updated_parsed"), now)
    if rss and published is None:  # dc:date, RSS 1.0's only date, is "updated" to feedparser
        published, modified = modified, None
    title = entry.get("title_detail") or {}
    return Entry(
        address=_address(entry),
        hint=Hint(
            title=_text(title.get("value"), title.get("type") != "text/plain"),
            authors=_distinct(a.get("name") or a.get("email") for a in entry.get("authors", ())) or _distinct([entry.get("author")]),
            published_at=published,
            modified_at=modified,
            language=_language(title.get("language")) or feed_language,
            tags=_distinct(t.get("term") or t.get("label") for t in entry.get("tags", ())),
        ),
    )


def _address(entry: Any) -> str | None:
    """The article's address: FeedBurner's original one, the alternate link, or an id that is an address (guid isPermaLink)."""
    others = [link.get("href") for link in entry.get("links", ()) if link.get("rel") in ("alternate", "related", "via")]
    permanent = entry["id"] if _is_address(entry.get("id")) else None
    return next((str(a) for a in (entry.get("feedburner_origlink"), entry.get("link"), *others, permanent) if a), None)


def _json_feed(body: bytes, now: datetime | None) -> tuple[str | None, tuple[Entry, ...]]:
    """JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1)."""
    try:
        feed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ListingError(f"is no JSON Feed: {error}") from None
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise ListingError("is JSON, but no JSON Feed: it has no list of items")
    language = _language(feed.get("language"))
    return language, tuple(_json_entry(item, language, now) for item in feed["items"][:MOST_ENTRIES] if isinstance(item, dict))


def _json_entry(item: dict[str, Any], language: str | None, now: datetime | None) -> Entry:
    authors = item.get("authors") or [item.get("author")]
    tags = item.get("tags") or []
    address = item.get("url") or next((a for a in (item.get("id"), item.get("external_url")) if _is_address(a)), None)
    return Entry(
        address=address if isinstance(address, str) else None,
        hint=Hint(
            title=_text(item.get("title"), marked_up=False),
            authors=_distinct(a.get("name") for a in authors if isinstance(a, dict)) if isinstance(authors, list) else (),
            published_at=moment(item.get("date_published"), now),
            modified_at=moment(item.get("date_modified"), now),
            language=_language(item.get("language")) or language,
            tags=_distinct(tags) if isinstance(tags, list) else (),
        ),
    )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _distinct(values: Any) -> tuple[str, ...]:
    """The strings among `values`, cleaned, each once, at most 50."""
    return tuple(dict.fromkeys(filter(None, (_text(v, marked_up=False) for v in values))))[:50]


def _language(value: object) -> str | None:
    return value.strip().replace("_", "-") if isinstance(value, str) and _LANGUAGE.fullmatch(value.strip()) else None


def _text(value: object, marked_up: bool) -> str | None:
    """Plain text on one line, at most 1,000 characters; tags go when the feed says the value is HTML."""
    if not isinstance(value, str):
        return None
    value = value[:20_000]
    return " ".join(html.unescape(_TAG.sub("", value) if marked_up else value).split())[:1_000] or None

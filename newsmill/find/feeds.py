"""A feed's bytes → links with hints: RSS 0.9x to 2.0, RDF, Atom and JSON Feed. Never touches the network."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsmill.exceptions import ListingError, UrlError
from newsmill.find import urls
from newsmill.find.moments import moment
from newsmill.find.xmlfeed import MOST_ENTRIES, RawEntry, read_xml
from newsmill.model import Hint, Kind, Link, Listing

_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.I)  # at:, tag:, urn: …
_MAIL = re.compile(r"[(<\[]?(?:mailto:)?[\w.+-]{1,64}@[\w.-]{1,255}[)>\]]?|[(<\[]?mailto:.*", re.S)
_PARENTHESES = re.compile(r"\(([^()]*)\)")
_SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.I | re.S)  # on at most 2,000 characters
# Tags that stand in titles. "The <blink> tag" is a title too, and XML has undone the escaping once already.
_TAG = re.compile(
    r"</?(?:a|abbr|applet|b|base|bdi|big|body|br|cite|code|del|div|em|embed|font|form|frame|frameset|h[1-6]|head|html|i|iframe|img|input|ins|li"
    r"|link|mark|meta|nobr|object|p|q|s|script|small|span|strike|strong|style|sub|sup|table|td|tr|tt|u|ul|wbr)"
    r"(?:\s[^<>]*)?/?>",
    re.I,
)
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
    known, language, entries = read_xml(body, url, content_type)
    if not known:
        raise ListingError("is no feed: neither RSS, Atom nor JSON Feed")
    language = _language(language)
    return language, tuple(_entry(entry, language, now) for entry in entries)


def _entry(entry: RawEntry, feed_language: str | None, now: datetime | None) -> Entry:
    def first(*names: str) -> str | None:
        return next((entry.fields[name][0] for name in names if name in entry.fields), None)

    published = first("published", "created", "date")  # RSS 1.0 has dc:date only
    return Entry(
        address=_address(entry),
        hint=Hint(
            title=_text(first("title"), entry.markup),
            authors=_names(entry.fields.get("author", ())),
            published_at=moment(published, now),
            modified_at=moment(first("updated"), now),
            language=_language(first("language")) or _language(entry.language) or feed_language,
            tags=_distinct(entry.fields.get("tag", ())),
        ),
    )


def _address(entry: RawEntry) -> str | None:
    """The article's address: FeedBurner's original one, the alternate link, an id that is an address, or another link."""
    links = [address for rel, address in entry.links if rel == "alternate"]
    others = [address for rel, address in entry.links if rel in ("related", "via", "canonical")]
    permanent = [i for i in entry.fields.get("id", ()) if _is_address(i)]
    candidates = [*entry.fields.get("origlink", ()), *links, *permanent, *others]
    return next((address for address in candidates if not _OTHER_SCHEME.match(address)), None)


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
    authors, tags = item.get("authors") or item.get("author"), item.get("tags")
    address = item.get("url") or next((a for a in (item.get("id"), item.get("external_url")) if _is_address(a)), None)
    return Entry(
        address=address if isinstance(address, str) else None,
        hint=Hint(
            title=_text(item.get("title"), marked_up=False),
            authors=_names(a.get("name") for a in (authors if isinstance(authors, list) else [authors]) if isinstance(a, dict)),
            published_at=moment(item.get("date_published"), now),
            modified_at=moment(item.get("date_modified"), now),
            language=_language(item.get("language")) or language,
            tags=_distinct(tags) if isinstance(tags, list) else (),
        ),
    )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _names(values: Iterable[Any]) -> tuple[str, ...]:
    """Authors' names: "jane@example.com (Jane Doe)", as RSS wants it, is Jane Doe; a mail address alone is no name."""
    names = []
    for value in values:
        if isinstance(value, str):
            name = _MAIL.sub("", value)
            inside = _PARENTHESES.fullmatch(name.strip())
            names.append((inside[1] if inside else name).strip(" ,;()"))
    return _distinct(names)


def _distinct(values: Iterable[Any]) -> tuple[str, ...]:
    """The strings among `values`, cleaned, each once, at most 50."""
    return tuple(dict.fromkeys(filter(None, (_text(v, marked_up=True) for v in values))))[:50]


def _language(value: object) -> str | None:
    return value.strip().replace("_", "-") if isinstance(value, str) and _LANGUAGE.fullmatch(value.strip()) else None


def _text(value: object, marked_up: bool) -> str | None:
    """Plain text on one line, at most 1,000 characters; tags go when the feed says the value is HTML."""
    if not isinstance(value, str):
        return None
    value = value[:2_000]
    return " ".join(html.unescape(_TAG.sub("", _SCRIPT.sub("", value)) if marked_up else value).split())[:1_000] or None

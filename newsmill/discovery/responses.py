"""What a response is and announces: the kind of its body, by its first bytes and not by its URL or media type; and by its headers a hub.

The headers also say for how long a response is fresh, and when the next request may come. Sources: W3C WebSub, section 4; RFC 9111;
RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from newsmill.discovery.xml_elements import resolve
from newsmill.exceptions import UrlError
from newsmill.model import Listing
from newsmill.text import urls
from newsmill.text.charset import to_text
from newsmill.text.urls import MAX_URL_CHARACTERS

# ---- the kind of a body ----------------------------------------------------------------------------------------------------------

HEAD_BYTES = 32 * 1024  # a prolog with comments and style sheets ends before
GZIP_MAGIC = b"\x1f\x8b"

_PROLOG = re.compile(r"(?:\s++|<\?(?:[^?]|\?(?!>))*+\?>|<!--(?:[^-]|-(?!->))*+-->|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\]\s*+)?>)*+", re.I)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")
_JSON_FEED = re.compile(r'"version"\s*+:\s*+"https?:\\?/\\?/jsonfeed\.org|"items"\s*+:\s*+\[|"home_page_url"\s*+:')
_FEED_ROOTS = frozenset({"rss", "rdf", "feed", "channel"})
_SITEMAP_ROOTS = frozenset({"urlset", "sitemapindex"})


class BodyKind(StrEnum):
    """What a body is."""

    FEED = "feed"
    SITEMAP = "sitemap"
    OPML = "opml"  # a list of feeds, as feed readers export it
    HTML = "html"
    OTHER = "other"


def tell_body_kind(body: bytes, content_type: str | None = None) -> BodyKind:
    """The kind of a body without its Content-Encoding. Reads the first 32 KB. Never raises.

    >>> tell_body_kind(b'<?xml version="1.0"?><!-- made by hand --><opml version="2.0">').value
    'opml'
    """
    text = to_text(_unpack(body)[:HEAD_BYTES], content_type, is_xml=True)[0].lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return BodyKind.FEED if _JSON_FEED.search(text) else BodyKind.OTHER
    prolog = _PROLOG.match(text)
    root = _ROOT.match(text, prolog.end() if prolog else 0)
    if root is None:
        return _tell_text_kind(text)
    name = root[1].lower()
    if name in _FEED_ROOTS:
        return BodyKind.FEED
    if name in _SITEMAP_ROOTS:
        return BodyKind.SITEMAP
    if name == "opml":
        return BodyKind.OPML
    return BodyKind.OTHER if text.startswith("<?xml") and name not in ("html", "body") else BodyKind.HTML


def _tell_text_kind(text: str) -> BodyKind:
    """A sitemap may be a text file with one URL per line (sitemaps.org)."""
    lines = [line.strip() for line in text.splitlines()[:20] if line.strip()]
    if lines and all(line.startswith(("http://", "https://")) and " " not in line for line in lines[:-1] or lines):
        return BodyKind.SITEMAP
    return BodyKind.HTML if "<" in text and "\0" not in text else BodyKind.OTHER


def _unpack(body: bytes) -> bytes:
    """The first bytes of a gzip file, such as sitemap.xml.gz; other bytes as they are."""
    if not body.startswith(GZIP_MAGIC):
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, HEAD_BYTES)
    except zlib.error:
        return b""


MAX_HEADER_CHARACTERS = 8_192  # of all Link headers together; a hub is announced in about 150
MAX_FRESH_SECONDS = 2.0**31  # RFC 9111 section 1.2.2: what a greater number counts as
_MAX_DATE_CHARACTERS = 64  # an HTTP date has 29
_DIGITS = re.compile(r"[0-9]+")


# ---- hubs -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announcement:
    """A hub and the topic to subscribe to: the feed's own URL exactly as the publisher writes it."""

    hub: str
    topic: str


def find_announcement(url: str, link_headers: Iterable[str], listing: Listing | None = None) -> Announcement | None:
    """The hub that the feed at `url` announces; None without one. Headers take precedence over the feed's own links.

    A feed that does not name itself is its own topic under `url`. A hub that is not an http(s) URL counts as none.
    """
    hub: str | None = None
    topic: str | None = None
    for relations, target in read_links(", ".join(link_headers)):
        absolute = target if target.startswith(("http://", "https://")) else resolve(url, target)
        if "hub" in relations:
            hub = hub or absolute
        if "self" in relations:
            topic = topic or absolute
    if listing is not None:
        hub, topic = hub or listing.hub, topic or listing.topic
    topic = topic or url
    return Announcement(hub, topic) if hub is not None and _is_url(hub) and _is_url(topic) else None


def read_links(header: str) -> Iterator[tuple[list[str], str]]:
    """(relation types in lower case, target) of each link in a Link header (RFC 8288). Text that is not a link is skipped.

    >>> list(read_links('<https://hub.example/>; rel="hub", </feed>; title="a, b"; rel=self'))
    [(['hub'], 'https://hub.example/'), (['self'], '/feed')]
    """
    header = header[:MAX_HEADER_CHARACTERS]
    at = header.find("<")
    while at >= 0 and (end := header.find(">", at)) >= 0:
        target = header[at + 1 : end].strip()
        relations: list[str] | None = None
        at = end + 1
        for parameter in _split_parameters(header, at):
            at += len(parameter)
            name, _, value = parameter.lstrip(" \t;,").partition("=")
            if relations is None and name.strip().lower() == "rel":
                relations = value.strip().strip('"').lower().split()
        yield relations or [], target
        at = header.find("<", at)


def _split_parameters(header: str, at: int) -> Iterator[str]:
    """The parameters of a link from `at` on, each with its semicolon, up to the comma that ends the link. Quotes hold both marks."""
    start, is_quoted = at, False
    while at < len(header):
        mark = header[at]
        if mark == '"':
            is_quoted = not is_quoted
        elif mark in ";," and not is_quoted:
            yield header[start:at]
            start = at
            if mark == ",":
                return
        at += 1
    yield header[start:at]


def _is_url(text: str) -> bool:
    try:
        return len(text) <= MAX_URL_CHARACTERS and bool(urls.normalize(text))
    except UrlError:
        return False


# ---- freshness ------------------------------------------------------------------------------------------------------------------


def compute_fresh_seconds(headers: Iterable[tuple[str, str]], now: datetime) -> float | None:
    """Seconds from `now`, when the response arrived, for which it is fresh (RFC 9111 section 4.2); None: its headers do not say it.

    The rules are those of a private cache. An invalid value counts as stale (0.0), and an invalid Age is ignored (section 5.1).
    """
    lines: dict[str, list[str]] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), []).append(value)
    lifetime = _compute_lifetime(lines, now)
    if lifetime is None:
        return None
    age = _parse_seconds(lines.get("age", [""])[0].partition(",")[0].strip()) or 0.0
    return min(max(lifetime - age, 0.0), MAX_FRESH_SECONDS)


def _compute_lifetime(lines: dict[str, list[str]], now: datetime) -> float | None:
    """Section 4.2.1: max-age comes before Expires; of several the first counts."""
    directives = [directive.strip().lower() for directive in ",".join(lines.get("cache-control", ())).split(",")]
    if "no-cache" in directives or "no-store" in directives:
        return 0.0
    for directive in directives:
        if directive.startswith("max-age="):
            return _parse_seconds(directive.partition("=")[2].strip('"')) or 0.0
    if "expires" not in lines:
        return None
    expires = parse_http_date(lines["expires"][0])
    if expires is None:  # section 5.3: "0" in particular is in the past
        return 0.0
    created = parse_http_date(lines.get("date", [""])[0]) or now
    return (expires - created).total_seconds()


def _parse_seconds(text: str) -> float | None:
    """Section 1.2.2: digits only; None for any other text."""
    if not _DIGITS.fullmatch(text):
        return None
    digits = text.lstrip("0")
    return MAX_FRESH_SECONDS if len(digits) > 10 else min(float(digits or "0"), MAX_FRESH_SECONDS)


def parse_http_date(value: str) -> datetime | None:
    """An HTTP date (RFC 9110 section 5.6.7) as an aware time in UTC; None for any other text."""
    try:
        at = parsedate_to_datetime(value[:_MAX_DATE_CHARACTERS])
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)  # "-0000" is a zone that RFC 5322 calls unknown
    except (ValueError, OverflowError):  # OverflowError: a number has more digits than a C integer, or the year is not one of datetime's
        return None


# ---- Retry-After ----------------------------------------------------------------------------------------------------------------

RETRY_AFTER_STATUSES = (429, 503)
MAX_RETRY_AFTER_SECONDS = 3600.0  # after a longer Retry-After, the URL is fetched again in an hour
_SECONDS = re.compile(r"\d{1,20}(?:\.\d{1,9})?(?:e\d{1,2})?", re.I)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 section 10.2.3: seconds or an HTTP date), 0 to 3600.

    A date in the past gives 0. A negative number, any other text and None give None.
    """
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    at = parse_http_date(value)
    return None if at is None else min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)

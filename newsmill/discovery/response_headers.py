"""What the headers of a response announce: a WebSub hub (W3C WebSub, section 4), and for how long the response is fresh (RFC 9111)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from newsmill import urls
from newsmill.discovery.xml_feeds import resolve
from newsmill.exceptions import UrlError
from newsmill.model import Listing
from newsmill.urls import MAX_URL_CHARACTERS

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

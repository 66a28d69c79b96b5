"""The WebSub hub that a response announces in its headers (W3C WebSub, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from newsmill.discovery.xml_elements import resolve
from newsmill.model import Listing
from newsmill.text import urls

MAX_HEADER_CHARACTERS = 8_192  # of all Link headers together; a hub is announced in about 150


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
    return Announcement(hub, topic) if hub is not None and urls.find_normal(hub) and urls.find_normal(topic) else None


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

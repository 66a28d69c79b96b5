"""Documents made to break parsers, through every reader of listings: valid links or a named error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from newsmill.discovery.feeds import read_feed
from newsmill.discovery.homepages import read_homepage
from newsmill.discovery.html_listings import read_section
from newsmill.discovery.robots import RobotsTxt
from newsmill.discovery.sitemaps import SitemapReader
from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Link, Listing
from newsmill.text import urls

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
URL = "https://paper.example/list"


def sitemap(body: bytes) -> Listing:
    reader = SitemapReader(URL, now=NOW)
    found = [link for at in range(0, len(body), 4096) for link in reader.feed(body[at : at + 4096])]
    return Listing((*found, *reader.close()))


def robots(body: bytes) -> Listing:
    rules = RobotsTxt.from_response(200, body)
    rules.can_fetch("https://paper.example/a/b?c=d", "Newsmill")
    rules.crawl_delay("Newsmill")
    return Listing()


READERS: dict[str, Callable[[bytes], Listing]] = {
    "feed": lambda body: read_feed(body, URL, "application/rss+xml", now=NOW),
    "json feed": lambda body: read_feed(body, URL, "application/feed+json", now=NOW),
    "sitemap": sitemap,
    "section": lambda body: read_section(body, URL, "text/html"),
    "homepage": lambda body: read_homepage(body, URL, "text/html"),
    "robots": robots,
}
COLLECTIONS = ("hostile_docs", "html5lib", "injection")


def bodies(cases: Callable[..., list[Any]], body: Callable[..., bytes]) -> Iterator[bytes]:
    for collection in COLLECTIONS:
        for case in cases(collection):
            text = next((case[key] for key in ("payload", "data", "input") if isinstance(case.get(key), str)), None)
            if text is not None:
                yield text.encode("utf-8", "surrogatepass")
            elif "files" in case:
                yield body(case)


@pytest.mark.parametrize("reader", READERS)
def test_hostile_listings_give_links_or_a_named_error(reader: str, cases: Callable[..., list[Any]], body: Callable[..., bytes]) -> None:
    seen = 0
    for raw in bodies(cases, body):
        seen += 1
        try:
            listing = READERS[reader](raw)
        except (ListingError, DecodeError) as error:
            assert str(error)
            continue
        for link in (*listing.pages, *listing.listings):
            assert isinstance(link, Link) and urls.normalize(link.url) == link.url
    assert seen > 6_000

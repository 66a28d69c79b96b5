"""The body of a feed, sitemap, section or homepage → links worth following. Pure; hostile bodies make it run in a child (parser.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from newsmill import urls
from newsmill.discovery.feeds import read_feed
from newsmill.discovery.homepage import read_homepage
from newsmill.discovery.sections import read_section
from newsmill.discovery.sitemaps import SitemapReader
from newsmill.discovery.url_patterns import is_crawler_trap
from newsmill.exceptions import UrlError
from newsmill.extraction.decode import decode_body
from newsmill.model import Kind, Link, Listing, Source

CHUNK_BYTES = 64 * 1024  # bytes of a sitemap read at a time
BATCH_LINKS = 500  # links handed on at a time, one transaction of the ledger each: 9 MB where URLs and hints are as long as they may be
MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # bytes; sitemaps.org
MAX_INDEX_SITEMAPS = 1_000  # sub-sitemaps of one index: monthly ones for 80 years
MAX_SITEMAP_URL_CHARACTERS = 2_000  # characters, as of a page (shapes.is_trap)
RECENT_SITEMAP_AGE = timedelta(days=7)  # a sub-sitemap changed since then is read again; older ones were read after their last change
MAX_UNDATED_SITEMAPS = 100  # sub-sitemaps without lastmod read again with their index


@dataclass(frozen=True, slots=True)
class ParseRequest:
    """A listing to read: which it is, how it came, and which sites its source speaks for."""

    kind: Kind
    listed_at: str  # its address in the ledger
    url: str  # its final address
    source: str | None
    sites: frozenset[str]
    now: datetime
    content_type: str | None = None
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedLinks:
    """What a listing, or a part of a long one, led to."""

    pages: tuple[Link, ...] = ()
    listings: tuple[Link, ...] = ()
    again: tuple[Link, ...] = ()  # parts of a sitemap index to read again although we know them
    next_pages: tuple[Link, ...] = ()  # of a section: followed only while they give unknown links
    warnings: tuple[str, ...] = ()


def read_listing(order: ParseRequest, body: bytes) -> Iterator[ParsedLinks]:
    """All links that may be followed, in one or, of a sitemap, many parts. Raises ListingError or DecodeError when it cannot be read."""
    if order.kind is Kind.SITEMAP:
        yield from _read_sitemap(order, body)
        return
    body = decode_body(order.content_encoding, body)
    if order.kind is Kind.FEED:
        listing = read_feed(body, order.url, order.content_type, now=order.now)
    else:
        listing = (read_section if order.kind is Kind.SECTION else read_homepage)(body, order.url, order.content_type)
    yield from _found(order, listing)


def _found(order: ParseRequest, listing: Listing) -> Iterator[ParsedLinks]:
    pages = tuple(_pages(order, listing.pages))
    listings = tuple(_signed(order, link) for link in listing.listings if not is_crawler_trap(link.url))
    if order.kind is Kind.SECTION:
        yield ParsedLinks(pages, next_pages=listings, warnings=listing.warnings)
        return
    yield ParsedLinks(pages[:BATCH_LINKS], listings, warnings=listing.warnings)
    for at in range(BATCH_LINKS, len(pages), BATCH_LINKS):
        yield ParsedLinks(pages[at : at + BATCH_LINKS])


def _read_sitemap(order: ParseRequest, body: bytes) -> Iterator[ParsedLinks]:
    """Chunk by chunk; the reader unpacks gzip itself, whether it is the transfer's or the file's, and has the limits."""
    encoding = (order.content_encoding or "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        body = decode_body(encoding, body, MAX_SITEMAP_BYTES)
    reader = SitemapReader(order.url, now=order.now)
    waiting: list[Link] = []
    parts: list[Link] = []
    for start in range(0, len(body), CHUNK_BYTES):
        waiting += _sorted_out(reader.feed(body[start : start + CHUNK_BYTES]), order, parts)
        while len(waiting) >= BATCH_LINKS:
            yield ParsedLinks(tuple(waiting[:BATCH_LINKS]))
            waiting = waiting[BATCH_LINKS:]
    waiting += _sorted_out(reader.close(), order, parts)
    again = _changed(parts, order.now)
    rest = tuple(link for link in parts if link not in again)
    yield ParsedLinks((), rest, again, warnings=tuple(reader.warnings))
    for at in range(0, len(waiting), BATCH_LINKS):
        yield ParsedLinks(tuple(waiting[at : at + BATCH_LINKS]))


def _sorted_out(links: list[Link], order: ParseRequest, parts: list[Link]) -> Iterator[Link]:
    """The pages; the parts of an index are put aside, up to their limit."""
    subs = (link for link in links if link.kind is Kind.SITEMAP and len(link.url) <= MAX_SITEMAP_URL_CHARACTERS)
    parts += [_signed(order, link) for link in islice(subs, MAX_INDEX_SITEMAPS - len(parts))]
    yield from _pages(order, links)


def _pages(order: ParseRequest, links: Iterable[Link]) -> Iterator[Link]:
    """A feed may point anywhere: its publisher chose each entry. A sitemap speaks for its own site only (sitemaps.org)."""
    sites = order.sites | {urls.get_site(order.url)}
    for link in links:
        if link.kind is not Kind.PAGE or is_crawler_trap(link.url):
            continue
        if order.kind is Kind.FEED or _site(link.url) in sites:
            yield _signed(order, link)


def _site(url: str) -> str | None:
    try:
        return urls.get_site(url)
    except UrlError:
        return None


def _signed(order: ParseRequest, link: Link) -> Link:
    return replace(link, source=order.source, found_by=order.kind.value, found_on=order.listed_at)


def _changed(parts: list[Link], now: datetime) -> tuple[Link, ...]:
    dated = [link for link in parts if link.hint.modified_at is not None and link.hint.modified_at > now - RECENT_SITEMAP_AGE]
    undated = [link for link in parts if link.hint.modified_at is None]
    return (*dated, *undated[:MAX_UNDATED_SITEMAPS])


def own_sites(source: Source | None, url: str) -> frozenset[str]:
    """The registered domains a source speaks for: those of its homepage, feeds, sitemaps and sections, and of the address itself."""
    named = () if source is None else (source.homepage, *source.feeds, *source.sitemaps, *source.sections)
    return frozenset(urls.get_site(address) for address in (url, *named) if address is not None)

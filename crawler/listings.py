"""The body of a feed, sitemap, section or homepage → links worth following. Pure, and run beside the event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from newsmill.exceptions import UrlError
from newsmill.find import urls
from newsmill.find.discover import read_homepage
from newsmill.find.feeds import read_feed
from newsmill.find.sections import read_section
from newsmill.find.sitemaps import SitemapReader
from newsmill.model import Kind, Link, Listing, Owed, Page, Source
from newsmill.read.decode import decode_body

CHUNK = 64 * 1024  # bytes of a sitemap read at a time
MAX_PAGES = {Kind.FEED: 2_000, Kind.SITEMAP: 50_000, Kind.SECTION: 500, Kind.HOMEPAGE: 500}  # links of one listing; the rest is a trap's
MAX_LISTINGS = 1_000  # sub-sitemaps of one index: monthly ones for 80 years
RECENT = timedelta(days=7)  # a sub-sitemap changed since then is read again; older ones were read after their last change
UNDATED = 100  # sub-sitemaps without lastmod read again with their index


@dataclass(frozen=True, slots=True)
class Found:
    """What a listing led to: pages, listings, and among those the ones to read again although we know them."""

    pages: tuple[Link, ...] = ()
    listings: tuple[Link, ...] = ()
    again: tuple[Link, ...] = ()
    next_pages: tuple[Link, ...] = ()  # of a section: followed only while they give unknown links
    warnings: tuple[str, ...] = ()

    @property
    def has_parts(self) -> bool:
        """Whether this is an index of sitemaps."""
        return any(link.kind is Kind.SITEMAP and link.found_by == Kind.SITEMAP for link in (*self.listings, *self.again))


def read_listing(owed: Owed, page: Page, source: Source | None, now: datetime) -> Found:
    """All links of a listing that may be followed. Raises ListingError or DecodeError when it cannot be read."""
    listing = _parse(owed.kind, page)
    sites = own_sites(source, owed.url) | {urls.site(page.url)}
    ours = [_signed(link, owed) for link in listing.listings if not urls.is_trap(link.url)]
    pages = list(_pages(listing.pages, owed, sites))[: MAX_PAGES[owed.kind]]
    sitemaps = [link for link in ours if link.kind is Kind.SITEMAP][:MAX_LISTINGS]
    other = [link for link in ours if link.kind is not Kind.SITEMAP]
    nexts = tuple(other) if owed.kind is Kind.SECTION else ()
    again = _changed(sitemaps, now) if owed.kind is Kind.SITEMAP else ()
    rest = tuple(link for link in (*sitemaps, *other) if link not in nexts and link not in again)
    return Found(tuple(pages), rest, again, nexts, listing.warnings)


def _parse(kind: Kind, page: Page) -> Listing:
    content_type = page.header("Content-Type")
    if kind is Kind.SITEMAP:
        return _read_sitemap(page)
    body = decode_body(page.header("Content-Encoding"), page.body)
    if kind is Kind.FEED:
        return read_feed(body, page.url, content_type, now=page.fetched_at)
    return (read_section if kind is Kind.SECTION else read_homepage)(body, page.url, content_type)


def _read_sitemap(page: Page) -> Listing:
    """Chunk by chunk; the reader unpacks gzip itself, whether it is the transfer's or the file's."""
    encoding = (page.header("Content-Encoding") or "").strip().lower()
    body = page.body if encoding in ("", "identity", "gzip", "x-gzip") else decode_body(encoding, page.body, 50 * 1024 * 1024)
    reader = SitemapReader(page.url, now=page.fetched_at)
    links: list[Link] = []
    for start in range(0, len(body), CHUNK):
        links += reader.feed(body[start : start + CHUNK])
    links += reader.close()
    return Listing(
        pages=tuple(link for link in links if link.kind is Kind.PAGE),
        listings=tuple(link for link in links if link.kind is not Kind.PAGE),
        warnings=tuple(reader.warnings),
    )


def _pages(links: Iterable[Link], owed: Owed, sites: frozenset[str]) -> Iterator[Link]:
    """A feed may point anywhere: its publisher chose each entry. A sitemap speaks for its own site only (sitemaps.org)."""
    for link in links:
        try:
            url = urls.normal(link.url)
        except UrlError:
            continue
        if urls.is_trap(url) or (owed.kind is not Kind.FEED and urls.site(url) not in sites):
            continue
        yield _signed(link, owed)


def _signed(link: Link, owed: Owed) -> Link:
    return replace(link, source=owed.source, found_by=str(owed.kind), found_on=owed.url)


def _changed(sitemaps: list[Link], now: datetime) -> tuple[Link, ...]:
    dated = [link for link in sitemaps if link.hint.modified_at is not None and link.hint.modified_at > now - RECENT]
    undated = [link for link in sitemaps if link.hint.modified_at is None]
    return (*dated, *undated[:UNDATED])


def own_sites(source: Source | None, url: str) -> frozenset[str]:
    """The registered domains a source speaks for: those of its homepage, feeds, sitemaps and sections, and of the address itself."""
    named = () if source is None else (source.homepage, *source.feeds, *source.sitemaps, *source.sections)
    return frozenset(urls.site(address) for address in (url, *named) if address is not None)

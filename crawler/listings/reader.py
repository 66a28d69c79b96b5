"""Parses the body of a feed, sitemap, section, homepage or divided article into links. Pure; runs in a child process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from crawler.listings.messages import MAX_INDEX_SITEMAPS, REQUEST_JSON, RESPONSE_JSON, ParsedLinks, ParseRequest, ParseResponse
from newsmill.discovery.article_pages import find_next_page_of
from newsmill.discovery.feeds import read_feed
from newsmill.discovery.homepages import read_homepage
from newsmill.discovery.html_listings import read_section
from newsmill.discovery.sitemaps import MAX_SITEMAP_BYTES, SitemapReader
from newsmill.discovery.url_dates import Period, find_last_day, is_part_wanted
from newsmill.discovery.url_patterns import is_crawler_trap
from newsmill.exceptions import DecodeError, IncompleteListingError, ListingError
from newsmill.extraction.decode import decode_body
from newsmill.model import Kind, Link, Listing, Outcome
from newsmill.text import urls
from newsmill.text.sentences import PACKED, cut_sentence

CHUNK_BYTES = 64 * 1024  # of a sitemap, read at a time
BATCH_LINKS = 500  # per ledger transaction: 9 MB where URLs and hints are as long as they may be
MAX_SITEMAP_URL_CHARACTERS = 2_000  # the limit of `is_crawler_trap` for pages
RECENT_SITEMAP_AGE = timedelta(days=7)  # sitemaps of an index that changed since then are fetched again
MAX_UNDATED_SITEMAPS = 100  # of an index, fetched again with it
MIN_SHARED_PARTS, SHARED_DATE_SPAN = 10, timedelta(minutes=15)  # so many parts with dates so near give the date of the index itself
MODIFIED_AGE, MAX_MODIFIED = timedelta(days=7), 100  # of the changes that start revisits, and their number, the newest
MAX_ERROR_CHARACTERS = 500


def make_handler() -> Callable[[bytes, bytes], Iterator[bytes]]:
    """The handler of the child process: a ParseRequest and the listing's body → ParseResponses, as JSON."""
    return _handle


def _handle(head: bytes, body: bytes) -> Iterator[bytes]:
    try:
        for links in read_listing(REQUEST_JSON.validate_json(head), body):
            yield RESPONSE_JSON.dump_json(ParseResponse(links), context=PACKED)
    except IncompleteListingError as e:
        yield RESPONSE_JSON.dump_json(ParseResponse(error=_printable(e), outcome=Outcome.DATA_LOSS), context=PACKED)
    except ListingError as e:
        yield RESPONSE_JSON.dump_json(ParseResponse(error=_printable(e)), context=PACKED)
    except DecodeError as e:
        yield RESPONSE_JSON.dump_json(ParseResponse(error=_printable(e), outcome=e.outcome), context=PACKED)


def _printable(error: Exception) -> str:
    """The error's text, cut and without lone surrogates, which JSON cannot hold."""
    text = cut_sentence(str(error), MAX_ERROR_CHARACTERS)
    printable = text.encode("utf-8", "replace").decode()
    return text if text == printable else printable


def read_listing(request: ParseRequest, body: bytes) -> Iterator[ParsedLinks]:
    """All links that may be followed, in batches. Raises ListingError or DecodeError if the body cannot be parsed."""
    if request.kind is Kind.SITEMAP:
        yield from _read_sitemap(request, body)
        return
    body = decode_body(request.content_encoding, body)
    if request.kind is Kind.PAGE:
        following = find_next_page_of(body, request.url, request.listed_at, request.content_type)
        yield ParsedLinks(next_pages=tuple(map(Link, following.urls)) if following is not None and following.is_sure else ())
        return
    if request.kind is Kind.FEED:
        listing = read_feed(body, request.url, request.content_type, now=request.now)
    elif request.kind is Kind.SECTION:
        listing = read_section(body, request.url, request.content_type)
    else:
        listing = read_homepage(body, request.url, request.content_type)
    yield from _batch_links(request, listing)


def _batch_links(request: ParseRequest, listing: Listing) -> Iterator[ParsedLinks]:
    pages = tuple(_select_pages(request, listing.pages))
    listings = tuple(_attribute(request, link) for link in listing.listings if not is_crawler_trap(link.url))
    if request.kind is Kind.SECTION:
        yield ParsedLinks(pages, next_pages=listings, warnings=listing.warnings)
        return
    yield ParsedLinks(
        pages[:BATCH_LINKS],
        listings,
        warnings=listing.warnings,
        hub=listing.hub,
        topic=listing.topic,
        update_interval=listing.update_interval,
    )
    for start in range(BATCH_LINKS, len(pages), BATCH_LINKS):
        yield ParsedLinks(pages[start : start + BATCH_LINKS])


def _read_sitemap(request: ParseRequest, body: bytes) -> Iterator[ParsedLinks]:
    """Read chunk by chunk. SitemapReader unpacks gzip itself, as a transfer encoding or a file, and applies the limits."""
    encoding = (request.content_encoding or "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        body = decode_body(encoding, body, MAX_SITEMAP_BYTES)
    reader = SitemapReader(request.url, now=request.now)
    pages: list[Link] = []
    dated: list[Link] = []
    sitemaps: list[Link] = []
    for start in range(0, len(body), CHUNK_BYTES):
        links = reader.feed(body[start : start + CHUNK_BYTES])
        sitemaps += _select_sitemaps(request, links)
        pages += (found := list(_select_pages(request, links)))
        dated += (link for link in found if link.hint.modified_at is not None)
        while len(pages) >= BATCH_LINKS:
            yield ParsedLinks(tuple(pages[:BATCH_LINKS]))
            pages = pages[BATCH_LINKS:]
    links = reader.close()
    sitemaps += _select_sitemaps(request, links)
    pages += (found := list(_select_pages(request, links)))
    dated += (link for link in found if link.hint.modified_at is not None)
    sitemaps = _drop_shared_date(sitemaps)
    if len(sitemaps) > MAX_INDEX_SITEMAPS:
        sitemaps = _select_newest(sitemaps)
    refetch = _select_changed(sitemaps, request.now)
    others = tuple(link for link in sitemaps if link not in refetch)
    yield ParsedLinks((), others, refetch, _select_modified(dated, request.now), warnings=tuple(reader.warnings))
    for start in range(0, len(pages), BATCH_LINKS):
        yield ParsedLinks(tuple(pages[start : start + BATCH_LINKS]))


def _select_sitemaps(request: ParseRequest, links: list[Link]) -> Iterator[Link]:
    sitemaps = (link for link in links if link.kind is Kind.SITEMAP and len(link.url) <= MAX_SITEMAP_URL_CHARACTERS)
    return (_attribute(request, link) for link in sitemaps)


def _drop_shared_date(sitemaps: list[Link]) -> list[Link]:
    """The parts of an index, without their dates where all have the same: that of the request, or of the last rebuild of the index."""
    dates = [link.hint.modified_at for link in sitemaps if link.hint.modified_at is not None]
    if len(dates) < max(MIN_SHARED_PARTS, len(sitemaps)) or max(dates) - min(dates) > SHARED_DATE_SPAN:
        return sitemaps
    return [replace(link, hint=replace(link.hint, modified_at=None)) for link in sitemaps]


def _select_modified(dated: list[Link], now: datetime) -> tuple[Link, ...]:
    """The pages that changed lately by a `lastmod` of their own, the newest first.

    A date that ten pages share, or half of all, is that of the file: some programs write the time of the request for each page.
    """
    times = sorted(at for link in dated if (at := link.hint.modified_at) is not None)
    half = SHARED_DATE_SPAN / 2

    def is_shared(at: datetime) -> bool:
        near = bisect_right(times, at + half) - bisect_left(times, at - half)
        return near >= MIN_SHARED_PARTS or near * 2 > len(times)

    lately = [(at, link) for link in dated if (at := link.hint.modified_at) is not None and now - MODIFIED_AGE < at <= now]
    newest = sorted(((at, link) for at, link in lately if not is_shared(at)), key=lambda one: one[0], reverse=True)
    return tuple(link for _, link in newest[:MAX_MODIFIED])


def _select_newest(sitemaps: list[Link]) -> list[Link]:
    """The newest parts of a long index, as many as MAX_INDEX_SITEMAPS. A part without a date may be the newest."""
    days = {link: day for link in sitemaps if (day := find_last_day(link.url, link.hint.modified_at)) is not None}
    undated = _take_ends([link for link in sitemaps if link not in days], MAX_INDEX_SITEMAPS)
    dated = sorted(days, key=lambda link: days[link], reverse=True)
    return [*undated, *dated][:MAX_INDEX_SITEMAPS]


def _take_ends(links: list[Link], count: int) -> list[Link]:
    """The first and the last of many links: an index may begin with its newest part, or end with it."""
    return links if len(links) <= count else [*links[: count // 2], *links[-(count // 2) :]]


def _select_changed(sitemaps: list[Link], now: datetime) -> tuple[Link, ...]:
    """The sitemaps to fetch again: those that changed recently, and some of those that have no date, nor an old one in their URL."""
    dated = [link for link in sitemaps if link.hint.modified_at is not None and link.hint.modified_at > now - RECENT_SITEMAP_AGE]
    oldest = (now - RECENT_SITEMAP_AGE).date()
    undated = [link for link in sitemaps if link.hint.modified_at is None and is_part_wanted(link.url, None, Period(oldest, date.max))]
    return (*dated, *_take_ends(undated, MAX_UNDATED_SITEMAPS))


def _select_pages(request: ParseRequest, links: Iterable[Link]) -> Iterator[Link]:
    """A feed may link to any site, because its publisher chose each entry. A sitemap may link to its own site only (sitemaps.org)."""
    sites = request.sites | {urls.get_site(request.url)}
    for link in links:
        if link.kind is not Kind.PAGE or is_crawler_trap(link.url):
            continue
        if request.kind is Kind.FEED or urls.find_site(link.url) in sites:
            yield _attribute(request, link)


def _attribute(request: ParseRequest, link: Link) -> Link:
    """The link with its source and the listing it was found on."""
    return replace(link, source=request.source, found_by=request.kind.value, found_on=request.listed_at)

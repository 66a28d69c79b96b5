"""A listing that was fetched → links in the ledger: its pages, the listings it leads to, and those to be read again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from crawler.listings import MAX_INDEX_SITEMAPS, ParsedLinks, ParseRequest, own_sites
from crawler.robots import robots_url
from crawler.throttle import HostThrottle
from newsmill import urls
from newsmill.discovery.homepage import make_well_known_links as guess
from newsmill.exceptions import DecodeError, ListingError, UrlError
from newsmill.model import Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Page, Source
from newsmill.storage.ledger import Added, Ended

if TYPE_CHECKING:
    from crawler.frontier import Frontier

MAX_WARNINGS = 10  # of one listing, shown in its outcome; a reader has a sentence for each kind of oddity
MAX_SECTION_DEPTH = 50  # of one section, one after the other: 1,000 articles of a paper that lists 20 on a page


class ListingTask:
    """What one listing leads to."""

    def __init__(self, crawl: Frontier, owed: LeasedUrl, source: Source | None, throttle: HostThrottle) -> None:
        self.crawl = crawl
        self.owed = owed
        self.source = source
        self.throttle = throttle

    async def gather(self, page: Page) -> Ended:
        """How the listing ends. Its links go into the ledger before: killed in between, it is read again."""
        total = Added()
        some = parts = False
        warnings: tuple[str, ...] = ()
        try:
            async with aclosing(self.crawl.parser.read(self._order(page), page.body)) as found_parts:
                async for found in found_parts:
                    added = await self._add(found)
                    total = Added(total.new + added.new, total.known + added.known)
                    some = some or bool(found.pages or found.listings or found.again)
                    parts = parts or (self.owed.kind is Kind.SITEMAP and bool(found.listings or found.again))
                    warnings = (*warnings, *found.warnings)
        except ListingError as e:
            return self._ended(OutcomeRecord(Outcome.BAD_LISTING, str(e)))
        except DecodeError as e:
            return self._ended(OutcomeRecord(Outcome(e.outcome), str(e)))
        outcome = Outcome.LISTED if some else Outcome.EMPTY_LISTING
        detail = "; ".join((f"{total.new} new, {total.known} known", *warnings[:MAX_WARNINGS]))
        # An index often stays the same while its parts change: a 304 for it would hide them, so its validators are not kept.
        return self._ended(OutcomeRecord(outcome, detail), None if parts else page)

    def _ended(self, ending: OutcomeRecord, page: Page | None = None) -> Ended:
        """With the validators of the page that was read; one that could not be read is asked for whole next time."""
        etag, last_modified = (None, None) if page is None else (page.header("ETag"), page.header("Last-Modified"))
        return Ended(self.owed.id, self.owed.fence, ending, etag, last_modified)

    def _order(self, page: Page) -> ParseRequest:
        owed = self.owed
        encoding = page.header("Content-Encoding")
        sites = own_sites(self.source, owed.url)
        return ParseRequest(owed.kind, owed.url, page.url, owed.source, sites, page.fetched_at, page.header("Content-Type"), encoding)

    async def _add(self, found: ParsedLinks) -> Added:
        pages = await self.crawl.sql(lambda now: self.crawl.ledger.add(found.pages, now=now))
        await self._add_listings(self._discovered(found.listings), again=False)
        await self._add_listings(found.again, again=True)
        depth = self.crawl.depths.get(self.owed.url, 0) + 1
        if depth <= MAX_SECTION_DEPTH:
            self.crawl.go_deeper(found.next_pages, depth)
            # All links known: that ends the walk over known next pages. An unknown one is read once; a feed may just have been faster.
            await self._add_listings(found.next_pages, again=bool(pages.new))
        return pages

    async def _add_listings(self, links: Sequence[Link], *, again: bool) -> None:
        if links:
            await self.crawl.sql(lambda now: self.crawl.ledger.add(links, now=now, again=again))

    def _discovered(self, listings: Sequence[Link]) -> list[Link]:
        """On a homepage also the sitemaps its robots.txt names; where nothing is named, the places where feeds and sitemaps usually lie."""
        if self.owed.kind is not Kind.HOMEPAGE or self.source is None:
            return list(listings)
        found = [*listings, *self._robots_sitemaps()]
        planned = {Kind.FEED: self.source.feeds, Kind.SITEMAP: self.source.sitemaps}
        missing = {kind for kind, plan in planned.items() if not plan and all(link.kind is not kind for link in found)}
        guesses = [replace(link, source=self.owed.source) for link in guess(self.owed.url) if link.kind in missing]
        return [*found, *guesses]

    def _robots_sitemaps(self) -> list[Link]:
        """The `Sitemap:` lines. They may name another host; the guard judges it like any other."""
        links = []
        for line in () if self.throttle.robots is None else self.throttle.robots.sitemaps[:MAX_INDEX_SITEMAPS]:
            try:
                url = urls.normalize(line, self.owed.url)
            except UrlError:
                continue
            links.append(Link(url, Kind.SITEMAP, self.owed.source, "robots", robots_url(self.owed.url)))
        return links

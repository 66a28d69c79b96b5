"""One leased URL from fetch to conclusion: a page for the writer, links for the ledger, another try later, or an ending."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crawler.fetch import PAGE_ACCEPT, Ask
from crawler.listings import MAX_SITEMAP, Found, Order, own_sites
from crawler.manners import Manners
from crawler.robots import known, read_robots, robots_url
from crawler.settings import MAX_BODY
from crawler.verdict import Later, judge, judge_failure
from newsmill.exceptions import DecodeError, ListingError, UrlError
from newsmill.find import urls
from newsmill.find.discover import guesses as guess
from newsmill.keep.ledger import Added, Ended, Postponed
from newsmill.model import Ending, Kind, Link, Outcome, Owed, Page, Source

if TYPE_CHECKING:
    from crawler.crawl import Crawl

MAX_NEXT_PAGES = 50  # of one section, one after the other: a year of a paper that prints 20 articles a day per section and page
FEED_ACCEPT = "application/rss+xml,application/atom+xml,application/feed+json,application/xml;q=0.9,*/*;q=0.5"
ACCEPT = {Kind.FEED: FEED_ACCEPT, Kind.SITEMAP: "application/xml,text/xml,*/*;q=0.5"}


def refusal(owed: Owed, source: Source | None, manners: Manners) -> Ending | None:
    """Why this address is not even asked for: robots.txt, or the source's patterns. Pure."""
    if not manners.allowed(owed.url):
        return Ending(Outcome.ROBOTS_DISALLOWED)
    return denial(owed.url, source) if owed.kind is Kind.PAGE else None


def denial(url: str, source: Source | None) -> Ending | None:
    """The source's own allow and deny patterns, searched in the address. Deny wins."""
    if source is None:
        return None
    hit = next((pattern for pattern in source.deny if re.search(pattern, url)), None)
    if hit is not None:
        return Ending(Outcome.DENIED, f"deny {hit!r}")
    if source.allow and not any(re.search(pattern, url) for pattern in source.allow):
        return Ending(Outcome.DENIED, "matches no allow pattern")
    return None


class Errand:
    """Fetches one row and says what came of it. `later` is set when the host itself asked for a pause."""

    def __init__(self, crawl: Crawl, owed: Owed, manners: Manners) -> None:
        self.crawl = crawl
        self.owed = owed
        self.manners = manners
        self.source = crawl.sources.get(owed.source or "")

    async def run(self) -> Later | None:
        """Conclude the row. A pause that concerns the whole host comes back. Raises Stopping with the row untouched."""
        await self.manners.turn()
        answer = await self.crawl.fetcher.fetch(self._ask(), self._hop)
        now = datetime.now(UTC)
        if isinstance(answer, Ending):
            verdict: Ending | Later | None = judge_failure(answer, self.owed.attempts, now)
        else:
            verdict = judge(answer, self.owed.kind, self.owed.attempts, now)
        match verdict:
            case None:
                assert isinstance(answer, Page)
                await self._take(answer)
            case Ending():
                await self._end(verdict)
            case Later():
                await self._postpone(verdict)
        return self._pause(answer, verdict)

    def _ask(self) -> Ask:
        owed = self.owed
        accept = ACCEPT.get(owed.kind, PAGE_ACCEPT)
        if owed.kind is Kind.PAGE:  # a page comes again only when its bytes are wanted: a 304 would be no answer
            return Ask(owed.url, accept)
        return Ask(owed.url, accept, owed.etag, owed.last_modified, MAX_SITEMAP if owed.kind is Kind.SITEMAP else MAX_BODY)

    async def _hop(self, _: str, target: str) -> Ending | None:
        """Whether a redirect may be followed; waits its turn on the target's host."""
        if self.owed.kind is Kind.PAGE and self.owed.source is not None:
            if urls.site(target) not in own_sites(self.source, self.owed.url):
                return Ending(Outcome.OFF_SITE, f"redirects to {target}")
            if denied := denial(target, self.source):
                return denied
        manners = self.crawl.manners(urls.host(target))
        if manners is not self.manners and not known(manners):
            answer = await read_robots(self.crawl.fetcher, manners, target)
            if answer.refusal is not None:
                return answer.refusal
            manners.be_patient(self.manners.delay)
        if not manners.allowed(target):
            return Ending(Outcome.ROBOTS_DISALLOWED, f"redirects to {target}")
        await manners.turn()
        return None

    def _pause(self, answer: Page | Ending, verdict: Ending | Later | None) -> Later | None:
        """Keep the host's count of failures in a row; the pause it asked for, or the one that many failures call for."""
        if isinstance(verdict, Later) and verdict.host_until is not None:
            return verdict
        if isinstance(answer, Page) and answer.status < 500 and answer.status != 429:
            self.manners.answered()
            return None
        if not isinstance(verdict, Later):
            return None
        wait = self.manners.failed()
        if wait is None and not (isinstance(answer, Page) and answer.status == 429):
            return None
        until = datetime.now(UTC) + (wait or self.manners.first_pause)
        return Later(verdict.at, verdict.detail, until)

    # ---- conclusions

    async def _take(self, page: Page) -> None:
        if self.owed.kind is not Kind.PAGE:
            await self._list(page)
            return
        await self.crawl.writer.put(self.owed, replace(page, source=self.owed.source, hint=self.owed.hint))

    async def _end(self, ending: Ending, page: Page | None = None) -> None:
        """A listing that was read keeps the `page`'s validators, one that did not change or failed those it had."""
        owed = self.owed
        etag, last_modified = owed.etag, owed.last_modified
        if ending.outcome in (Outcome.LISTED, Outcome.EMPTY_LISTING):
            etag, last_modified = (None, None) if page is None else (page.header("ETag"), page.header("Last-Modified"))
        ended = Ended(owed.id, owed.fence, ending, etag, last_modified)
        await self.crawl.sql(self.crawl.ledger.end, [ended], now=datetime.now(UTC))

    async def _postpone(self, later: Later) -> None:
        row = Postponed(self.owed.id, self.owed.fence, later.at, later.detail)
        await self.crawl.sql(self.crawl.ledger.postpone, [row], now=datetime.now(UTC))

    async def _list(self, page: Page) -> None:
        """Links go into the ledger before the listing ends: killed in between, it is read again."""
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
            await self._end(Ending(Outcome.BAD_LISTING, str(e)))
        except DecodeError as e:
            await self._end(Ending(Outcome(e.outcome), str(e)))
        else:
            outcome = Outcome.LISTED if some else Outcome.EMPTY_LISTING
            detail = "; ".join((f"{total.new} new, {total.known} known", *warnings[:3]))
            # An index often stays the same while its parts change: a 304 for it would hide them, so its validators are not kept.
            await self._end(Ending(outcome, detail), None if parts else page)

    def _order(self, page: Page) -> Order:
        owed = self.owed
        encoding = page.header("Content-Encoding")
        sites = own_sites(self.source, owed.url)
        return Order(owed.kind, owed.url, page.url, owed.source, sites, page.fetched_at, page.header("Content-Type"), encoding)

    async def _add(self, found: Found) -> Added:
        pages = await self.crawl.sql(self.crawl.ledger.add, found.pages, now=datetime.now(UTC))
        await self._add_listings(self._discovered(found.listings), again=False)
        await self._add_listings(found.again, again=True)
        depth = self.crawl.depths.get(self.owed.url, 0) + 1
        if depth <= MAX_NEXT_PAGES:
            self.crawl.go_deeper(found.next_pages, depth)
            # All links known: that ends the walk over known next pages. An unknown one is read once; a feed may just have been faster.
            await self._add_listings(found.next_pages, again=bool(pages.new))
        return pages

    async def _add_listings(self, links: Sequence[Link], *, again: bool) -> None:
        if links:
            await self.crawl.sql(self.crawl.ledger.add, links, now=datetime.now(UTC), again=again)

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
        for line in () if self.manners.robots is None else self.manners.robots.sitemaps:
            try:
                url = urls.normal(line, self.owed.url)
            except UrlError:
                continue
            links.append(Link(url, Kind.SITEMAP, self.owed.source, "robots", robots_url(self.owed.url)))
        return links

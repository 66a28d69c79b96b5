"""Turns a listing, fetched or pushed by a WebSub hub, into links in the ledger.

The links are its pages, the listings it leads to, and known listings to fetch again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import date, datetime, timedelta

from crawler.fetching.robots import robots_url
from crawler.listings.messages import MAX_INDEX_SITEMAPS, ParsedLinks, ParseRequest
from crawler.politeness.throttle import HostThrottle, StopRequestedError
from crawler.state.crawl_state import CrawlState, SectionPage
from newsmill.discovery.freshness import compute_fresh_seconds
from newsmill.discovery.homepages import make_well_known_links
from newsmill.discovery.hubs import find_announcement
from newsmill.discovery.source_sites import list_sites
from newsmill.discovery.url_dates import Period, find_newest_day, is_page_wanted, is_part_wanted
from newsmill.exceptions import DecodeError, ListingError, ServiceError
from newsmill.model import Kind, LeasedUrl, Link, Listing, Outcome, OutcomeRecord, Page, Source
from newsmill.site_inspection.plan import choose_site_url, is_homepage
from newsmill.storage.ledger import FROM_BACKFILL, Added, Backfill, Ended
from newsmill.storage.websub import Push
from newsmill.text import urls
from newsmill.text.sentences import Sentence, join_sentences

MAX_WARNINGS = 10  # of one listing, in its outcome; a reader has a sentence for each kind of oddity
MAX_BACKFILL_DEPTH = 2_000  # next pages of one section in a backfill: a loop of pages that differ in a parameter must end
MAX_SECTION_DEPTH = 50  # next pages of one section: 1,000 articles of a paper that lists 20 on a page


class ListingTask:
    """The parsing of one listing, and what it adds to the ledger."""

    def __init__(
        self,
        state: CrawlState,
        leased_url: LeasedUrl,
        source: Source | None,
        throttle: HostThrottle,
        final_throttle: HostThrottle | None = None,
        *,
        is_pushed: bool = False,
    ) -> None:
        """`final_throttle` is that of the host to which the listing redirects (default: `throttle`). `is_pushed`: a hub sent the listing
        (WebSub), so it says nothing about what requests find."""
        self.state = state
        self.leased_url = leased_url
        self.source = source
        self.throttle = throttle
        self.final_throttle = final_throttle or throttle
        self.is_pushed = is_pushed
        self.backfill: Backfill | None = None  # in progress for this source
        self.read_at: datetime | None = None
        self.skipped_parts = 0  # of a sitemap index: old, so that only a backfill reads them

    async def run(self, page: Page) -> Ended:
        """Add the listing's links to the ledger, then return how the listing ends: after a crash in between, it is read again."""
        total = Added()
        has_links = False
        warnings: tuple[str, ...] = ()
        hub: str | None = None
        topic: str | None = None
        update_interval: timedelta | None = None
        self.backfill, self.read_at = await self._find_backfill(), page.fetched_at
        try:
            async with aclosing(self.state.parser.read(self._parse_request(page), page.body)) as batches:
                async for links in batches:
                    added = await self._add_all(links, page.url)
                    total = Added(total.new + added.new, total.known + added.known)
                    # A homepage that only names feeds has no entries; an index of sitemaps has its parts.
                    parts = (*links.listings, *links.refetch) if self.leased_url.kind is Kind.SITEMAP else ()
                    has_links = has_links or bool(links.pages or parts)
                    warnings = (*warnings, *links.warnings)
                    hub, topic = hub or links.hub, topic or links.topic
                    update_interval = update_interval or links.update_interval
        except ListingError as e:
            return self._ended(OutcomeRecord(Outcome.BAD_LISTING, str(e)))
        except DecodeError as e:
            return self._ended(OutcomeRecord(Outcome(e.outcome), str(e)))
        if self.leased_url.kind is Kind.FEED and not self.is_pushed:
            await self._record_hub(page, hub, topic, total.new)
        outcome = Outcome.LISTED if has_links else Outcome.EMPTY_LISTING
        skipped = (Sentence("{n} older parts left to a backfill", n=self.skipped_parts),) if self.skipped_parts else ()
        counts = Sentence("{new} new, {known} known", new=total.new, known=total.known)
        detail = join_sentences((counts, *skipped, *warnings[:MAX_WARNINGS]))
        return self._ended(OutcomeRecord(outcome, detail), page, update_interval)

    def _ended(self, outcome: OutcomeRecord, page: Page | None = None, update_interval: timedelta | None = None) -> Ended:
        """With the validators of `page`, the listing that was read. Without it, the next request is unconditional."""
        ended = Ended(self.leased_url.id, self.leased_url.fence, outcome, update_interval=update_interval)
        if page is None:
            return ended
        cached = compute_fresh_seconds(page.headers, page.fetched_at) or 0.0
        return replace(ended, etag=page.header("ETag"), last_modified=page.header("Last-Modified"), cache_seconds=cached)

    async def _record_hub(self, page: Page, hub: str | None, topic: str | None, new_pages: int) -> None:
        headers = [value for name, value in page.headers if name.lower() == "link"]
        found = find_announcement(page.url, headers, Listing(hub=hub, topic=topic))
        hub, topic = (None, None) if found is None else (found.hub, found.topic)
        ledger, listing = self.state.ledger, self.leased_url.id
        await self.state.call_ledger(lambda now: ledger.pushes.record_hub(listing, hub, topic, new_pages=new_pages, now=now))

    def _parse_request(self, page: Page) -> ParseRequest:
        leased_url = self.leased_url
        is_on_site = urls.find_site(page.url) == urls.find_site(leased_url.url)
        return ParseRequest(
            kind=leased_url.kind,
            listed_at=leased_url.url if is_on_site else page.url,  # its site is the author of the hints
            url=page.url,
            source=leased_url.source,
            sites=list_sites(self.source, leased_url.url),
            now=page.fetched_at,
            content_type=page.header("Content-Type"),
            content_encoding=page.header("Content-Encoding"),
        )

    async def _add_all(self, links: ParsedLinks, final_url: str) -> Added:
        """Add all links; returns the counts of the pages."""
        site_url = choose_site_url(self.leased_url.url, final_url, len(links.pages))
        if self.leased_url.found_by == FROM_BACKFILL:
            return await self._add_backfilled(links)
        links = self._leave_old_pages(links)
        if self.leased_url.kind is Kind.SITEMAP:
            links = await self._leave_old_parts(links)
        elif self.leased_url.kind is Kind.SECTION:
            await self._backfill_listings(links.next_pages)
        listing = self.leased_url.id
        pages = await self.state.call_ledger(lambda now: self.state.ledger.links.add(links.pages, now=now, listing_id=listing))
        await self._add_discovered(links.listings, site_url)
        if links.modified:
            modified = {link.url: at for link in links.modified if (at := link.hint.modified_at) is not None}
            await self.state.call_ledger(lambda now: self.state.ledger.modified_pages.plan_revisits(modified, now=now, listing_id=listing))
        if links.refetch:
            await self._add_listings(links.refetch, refetch=False)
            changed = await self.state.call_ledger(lambda now: self.state.ledger.polls.select_changed(links.refetch, now=now))
            await self._add_listings(changed, refetch=True)
        before = self.state.section_pages.get(self.leased_url.url, SectionPage(is_first_walk=pages.is_first_read))
        following = self._find_following(before, links)
        # A next page is fetched after a page with new links. When a section is read for the first time, an unknown one is fetched in any
        # case: a feed may have listed the same links a moment earlier.
        if following is not None and following.depth <= MAX_SECTION_DEPTH and (pages.new or following.is_first_walk):
            self.state.set_section_page(links.next_pages, following)
            await self._add_listings(links.next_pages, refetch=bool(pages.new))
        return pages

    @staticmethod
    def _find_following(before: SectionPage, links: ParsedLinks) -> SectionPage | None:
        """The position of the next page; None after a page that shows the articles of the one before it.

        Many sites answer a page number behind the last page with the last page, or with the first one.
        """
        shown = hash(frozenset(link.url for link in links.pages))
        return None if shown == before.shown_before else before._replace(depth=before.depth + 1, shown_before=shown)

    async def _find_backfill(self) -> Backfill | None:
        """The backfill of this source, if one is in progress. A listing that an ended one has left over is not read any more."""
        if self.source is None or self.leased_url.kind not in (Kind.SITEMAP, Kind.SECTION):
            return None
        name, ledger = self.source.name, self.state.ledger
        found = await self.state.call_ledger(lambda _: ledger.backfills.get(name))
        return found if found is not None and found.ended_at is None else None

    def _leave_old_pages(self, links: ParsedLinks) -> ParsedLinks:
        """The links without the pages that are older than the source wants."""
        if self.source is None or self.source.max_age is None or self.read_at is None:
            return links
        period = Period((self.read_at - self.source.max_age).date(), date.max)
        return replace(links, pages=tuple(link for link in links.pages if is_page_wanted(link.url, link.hint, period)))

    async def _leave_old_parts(self, links: ParsedLinks) -> ParsedLinks:
        """The links without the old parts of a sitemap index, which a backfill reads."""
        if links.listings:
            self.skipped_parts += len(links.listings)
            await self._backfill_listings(links.listings)
        return replace(links, listings=())

    async def _backfill_listings(self, links: Sequence[Link]) -> None:
        """Add listings that may have pages of the wanted days. Without a backfill in progress, nothing is added."""
        if (backfill := self.backfill) is None:
            return
        period = Period(backfill.first_day, backfill.last_day)
        wanted = [replace(link, found_by=FROM_BACKFILL) for link in links if is_part_wanted(link.url, link.hint.modified_at, period)]
        if wanted:
            await self.state.call_ledger(lambda now: self.state.ledger.backfills.add(backfill, wanted, now=now))

    async def _add_backfilled(self, links: ParsedLinks) -> Added:
        """Add what a listing of a backfill holds: pages of the wanted days, further parts, and the next page until all are older."""
        if (backfill := self.backfill) is None:
            return Added()
        period = Period(backfill.first_day, backfill.last_day)
        pages = [replace(link, found_by=FROM_BACKFILL) for link in links.pages if is_page_wanted(link.url, link.hint, period)]
        added = await self.state.call_ledger(lambda now: self.state.ledger.backfills.add(backfill, pages, now=now))
        await self._backfill_listings((*links.listings, *links.refetch))
        newest = find_newest_day((link.url, link.hint) for link in links.pages)
        if links.pages and (newest is None or newest >= period.first):
            following = self._find_following(self.state.section_pages.get(self.leased_url.url, SectionPage()), links)
            if following is not None and following.depth <= MAX_BACKFILL_DEPTH:
                self.state.set_section_page(links.next_pages, following)
                await self._backfill_listings(links.next_pages)
        return added

    async def _add_listings(self, links: Sequence[Link], *, refetch: bool) -> None:
        if links:
            await self.state.call_ledger(lambda now: self.state.ledger.links.add(links, now=now, again=refetch))

    async def _add_discovered(self, listings: Sequence[Link], site_url: str) -> None:
        """For a homepage, add also the sitemaps in its robots.txt, and the usual URLs of feeds and sitemaps where none is known.

        They are those of the host of `site_url`; the robots.txt of a planned homepage that redirects there counts too. Of a homepage below
        a path only the URLs below it count: the rest of the host is another site. What is named and was not found before is tried again.
        """
        if self.leased_url.kind is not Kind.HOMEPAGE or self.source is None:
            await self._add_listings(listings, refetch=False)
            return
        is_whole_host = is_homepage(self.leased_url.url.partition("?")[0])
        named = [*listings]
        if is_whole_host:
            named += self._robots_sitemaps(self.throttle, self.leased_url.url)
        if is_whole_host and self.final_throttle.host == urls.get_host(site_url) != self.throttle.host:
            named += self._robots_sitemaps(self.final_throttle, site_url)
        planned = {Kind.FEED: self.source.feeds, Kind.SITEMAP: self.source.sitemaps}
        unknown = {kind for kind, plan in planned.items() if not plan and all(link.kind is not kind for link in named)}
        guesses = make_well_known_links(site_url, is_whole_host=is_whole_host)
        guessed = [replace(link, source=self.leased_url.source) for link in guesses if link.kind in unknown]
        await self._add_listings([*named, *guessed], refetch=False)
        missing = await self.state.call_ledger(lambda now: self.state.ledger.polls.select_missing(named, now=now))
        await self._add_listings(missing, refetch=True)

    def _robots_sitemaps(self, throttle: HostThrottle, homepage: str) -> list[Link]:
        """The `Sitemap:` lines of a robots.txt. They may name another host: the guard checks its IP address like any other."""
        lines = () if throttle.robots is None else throttle.robots.sitemaps[:MAX_INDEX_SITEMAPS]
        found = filter(None, (urls.find_normal(line, homepage) for line in lines))
        return [Link(url, Kind.SITEMAP, self.leased_url.source, found_by="robots", found_on=robots_url(homepage)) for url in found]


async def read_pushes(state: CrawlState, leased_url: LeasedUrl, source: Source | None, throttle: HostThrottle) -> bool:
    """Add the links of all pushes that wait for this feed, and end it. False: there are none, or one cannot be used; request the feed.

    The pushes are deleted with the outcome: after a crash they are read again. Those that cannot be used are deleted before the request.
    """
    try:
        pushes = await state.call_ledger(lambda _: state.ledger.pushes.list_unread(leased_url.id))
    except ServiceError:  # the crawler stops while the database is away
        raise StopRequestedError from None
    if not pushes:
        return False
    ids = [push.id for push in pushes]
    details = []
    for push in pushes:
        ended = await _read_push(state, leased_url, source, throttle, push) if push.body else None
        if ended is None or ended.ending.outcome is not Outcome.LISTED:
            await state.call_ledger(lambda _: state.ledger.pushes.drop(ids))
            return False
        details.append(ended.ending.detail or "")
    # The validators are those of the last request, which the server still knows.
    outcome = OutcomeRecord(Outcome.LISTED, Sentence("pushed by the hub: {details}", details=join_sentences(details)))
    done = Ended(leased_url.id, leased_url.fence, outcome, leased_url.etag, leased_url.last_modified)
    await state.call_ledger(lambda now: state.ledger.pushes.end_listing(done, ids, now=now))
    await state.call_ledger(lambda now: state.ledger.pushes.requeue_listing(leased_url.id, now=now))
    return True


async def _read_push(state: CrawlState, leased_url: LeasedUrl, source: Source | None, throttle: HostThrottle, push: Push) -> Ended:
    headers = () if push.content_type is None else (("Content-Type", push.content_type),)
    page = Page(leased_url.url, leased_url.url, push.received_at, 200, headers, push.body)
    return await ListingTask(state, leased_url, source, throttle, is_pushed=True).run(page)

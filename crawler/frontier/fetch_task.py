"""Fetches one leased URL and records the result: a page for the writer, links for the ledger, a retry, or an outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from crawler.browser.renderer import needs_rendering
from crawler.fetching.downloader import PAGE_ACCEPT, CheckRedirect, FetchRequest
from crawler.fetching.robots import HOST_FAILURES, fetch_robots, restore_throttle
from crawler.frontier.article_pages import ArticlePages, FailedPart
from crawler.frontier.failure_log import log_ended, log_postponed, log_success
from crawler.frontier.listing_task import ListingTask, read_pushes
from crawler.politeness.publisher_orders import STOPPED_BY_OWNER, make_stopped_redirect, wait_for_turn
from crawler.politeness.response_policy import (
    REFUSAL_STATUSES,
    RetryAt,
    decide_failure,
    decide_response,
    find_retry_after,
    make_stopped_pause,
)
from crawler.politeness.throttle import FIRST_PAUSE_SECONDS, HostThrottle, LeaseLostError
from crawler.politeness.url_refusals import find_pattern_refusal, find_robots_refusal
from crawler.settings import MAX_BODY_BYTES
from crawler.state.crawl_state import CrawlState
from crawler.state.host_leases import HostLeases
from newsmill.discovery.freshness import compute_fresh_seconds
from newsmill.discovery.sitemaps import MAX_SITEMAP_BYTES
from newsmill.discovery.source_sites import is_hint_trusted, list_sites
from newsmill.model import Hint, Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Page, Render
from newsmill.polling.retries import MAX_RETRY_DELAY
from newsmill.storage.ledger import Ended, Postponed
from newsmill.text import urls
from newsmill.text.sentences import Sentence

BUSY_HOST_PAUSE_SECONDS = 30.0  # a worker holds a host for up to five minutes, most for a few seconds
LISTING_OUTCOMES = frozenset({Outcome.LISTED, Outcome.EMPTY_LISTING})
FEED_ACCEPT = "application/rss+xml,application/atom+xml,application/feed+json,application/xml;q=0.9,*/*;q=0.5"
ACCEPT = {Kind.FEED: FEED_ACCEPT, Kind.SITEMAP: "application/xml,text/xml,*/*;q=0.5"}


class HostBusyError(Exception):
    """Raised when a redirect leads to a host that another crawler holds, or that is paused until `paused_until`."""

    def __init__(self, host: str, paused_until: datetime | None = None) -> None:
        super().__init__(f"redirects to {host}, " + ("a host that another crawler holds" if paused_until is None else "which is paused"))
        self.paused_until = paused_until


class FetchTask:
    """The fetch of one leased URL, with its redirects."""

    def __init__(self, state: CrawlState, host_leases: HostLeases, leased_url: LeasedUrl, throttle: HostThrottle) -> None:
        self.state = state
        self.host_leases = host_leases
        self.leased_url = leased_url
        self.throttle = throttle
        self.source = state.source_of(leased_url)
        self._borrowed_hosts: list[str] = []
        self._current_throttle = throttle  # of the host that serves the current redirect
        self._target: str | None = None  # on another site, to which the URL redirects

    async def run(self) -> RetryAt | None:
        """Fetch the URL and record the result. Returns a pause of the whole host. After StopRequestedError the row is as it was."""
        if self.leased_url.kind is Kind.FEED and await read_pushes(self.state, self.leased_url, self.source, self.throttle):
            return None
        try:
            return await self._fetch()
        except HostBusyError as e:
            decision = RetryAt(self._find_borrow_time(e), str(e))
            await self._postpone(decision, count_attempt=False)
            return self._make_pause(decision, None if e.paused_until is None else self.throttle.record_failure())
        finally:
            for host in self._borrowed_hosts:
                await self.host_leases.give_back(host)

    async def _fetch(self) -> RetryAt | None:
        if await wait_for_turn(self.throttle, self.state.find_order) is not None:
            return await self._stop()
        request = self._request()
        response = await self._download(request, self._check_redirect)
        self._current_throttle.mark_response()
        if response == STOPPED_BY_OWNER:  # at a redirect of the host to itself
            return await self._stop()
        now = self.state.now()
        if isinstance(response, Page):
            self.state.network.record_answer()
            response = replace(response, fetched_at=now)  # compared with times of the database's clock
        decision: OutcomeRecord | RetryAt | None
        if isinstance(response, OutcomeRecord):
            if (pause := self._find_outage_pause(response, now)) is not None:
                await self._postpone(pause, count_attempt=False)
                return pause
            decision = decide_failure(response, self.leased_url.attempts, now, self.leased_url.kind)
        else:
            leased_url, is_conditional = self.leased_url, request.is_conditional
            decision = decide_response(response, leased_url.kind, leased_url.attempts, now, is_conditional=is_conditional)
        match decision:
            case None:
                assert isinstance(response, Page)
                if (failed := await self._save(response, request)) is not None:
                    response, decision = failed.response, failed.retry
            case OutcomeRecord():
                await self._end(self._ended(decision, response, now))
            case RetryAt():
                await self._postpone(decision)
        return self._update_throttle(response, decision)

    async def _download(self, request: FetchRequest, check_redirect: CheckRedirect) -> Page | OutcomeRecord:
        """Raises HostBusyError if the lease of a borrowed host is lost."""
        try:
            return await self.state.downloader.fetch(request, check_redirect)
        except LeaseLostError:
            if self._current_throttle is self.throttle:
                raise
            raise HostBusyError(self._current_throttle.host) from None

    def _find_outage_pause(self, failure: OutcomeRecord, now: datetime) -> RetryAt | None:
        """The pause of the host if the network is down. A failure behind a redirect to another host is that host's."""
        if self._current_throttle is not self.throttle:
            return None
        has_answered = self.throttle.failures == 0 and self.throttle.has_current_robots
        wait = self.state.network.record_failure(self.leased_url.url, failure, has_answered=has_answered)
        return None if wait is None else make_outage_pause(failure, now + wait)

    async def _stop(self) -> RetryAt:
        """The owner of the host has stopped the crawler: the row waits, and the host is not leased before the stop is lifted."""
        pause = make_stopped_pause(self.state.now())
        await self._postpone(pause, count_attempt=False)
        return pause

    def _request(self) -> FetchRequest:
        """The request of a page is conditional only at a revisit: at any other fetch its bytes are wanted.

        A page that a browser displays may change while the response stays the same, and so may the further pages of its article.
        """
        leased_url = self.leased_url
        accept = ACCEPT.get(leased_url.kind, PAGE_ACCEPT)
        cookiejar = f"host {self.throttle.host}" if leased_url.source is None else f"source {leased_url.source}"
        if leased_url.kind is Kind.PAGE:
            is_rendered = leased_url.is_rendering_wanted or (self.source is not None and self.source.render is Render.ALWAYS)
            if not leased_url.is_revisit or is_rendered or leased_url.has_parts:
                return FetchRequest(leased_url.url, accept, cookiejar=cookiejar)
            return FetchRequest(leased_url.url, accept, leased_url.etag, leased_url.last_modified, cookiejar=cookiejar)
        max_body = MAX_SITEMAP_BYTES if leased_url.kind is Kind.SITEMAP else MAX_BODY_BYTES
        return FetchRequest(leased_url.url, accept, leased_url.etag, leased_url.last_modified, max_body, cookiejar)

    async def _check_redirect(self, _: str, target: str) -> OutcomeRecord | None:
        """Wait for the throttle of the target's host; an outcome if the redirect may not be followed. Raises HostBusyError.

        The outcome is STOPPED_BY_OWNER itself if the host redirects to itself: the row then waits, like every other of a stopped host.
        """
        self._current_throttle.mark_response()
        self.state.network.record_answer()
        if self.leased_url.kind is Kind.PAGE:
            if (reason := await self._find_takedown(target)) is not None:
                return OutcomeRecord(Outcome.TAKEDOWN, reason)
            if self.leased_url.source is not None:
                if not self._is_own_site(target):
                    return OutcomeRecord(Outcome.OFF_SITE, Sentence("redirects to {url}", url=target))
                if refusal := find_pattern_refusal(target, self.source, self.throttle):
                    return refusal
            if urls.get_site(target) != urls.get_site(self.leased_url.url):
                return self._leave_site(target)
        host = urls.get_host(target)
        throttle = self.host_leases.throttle(host)
        is_own_host = host == self.throttle.host
        stopped = STOPPED_BY_OWNER if is_own_host else make_stopped_redirect(target)
        order = await self.state.find_order(host)
        if order is not None and order.is_stopped:  # before the host is borrowed: a stopped one would look like a busy one
            return stopped
        self._current_throttle = throttle
        if not is_own_host and host not in self._borrowed_hosts:
            refusal = await self._borrow(host, throttle, target)
            if refusal is not None:
                return refusal
        if (refusal := find_robots_refusal(target, self.source, throttle)) is not None:
            return replace(refusal, detail=Sentence("redirects to {url}", url=target))
        if throttle.pause_seconds > 0:
            raise HostBusyError(host, self.state.now() + timedelta(seconds=throttle.pause_seconds))
        return None if await wait_for_turn(throttle, self.state.find_order) is None else stopped

    async def _find_takedown(self, target: str) -> str | None:
        """Why the target is barred; the URL that redirects there joins the takedown, unless it has a document of its own."""
        url, ledger = self.leased_url.url, self.state.ledger
        if self.leased_url.is_revisit:
            return await self.state.call_ledger(lambda _: ledger.barred_urls.find_reason(target))
        return await self.state.call_ledger(lambda now: ledger.barred_urls.bar_redirect(url, target, now=now))

    def _leave_site(self, target: str) -> OutcomeRecord:
        """The outcome of a redirect to another site: that URL gets a row of its own. A revisit stays on the site of its document."""
        if self.leased_url.is_revisit:
            return OutcomeRecord(Outcome.OFF_SITE, Sentence("redirects to {url}", url=target))
        self._target = target
        return OutcomeRecord(Outcome.REDIRECTED, Sentence("redirects to {url}", url=target))

    def _is_own_site(self, target: str) -> bool:
        """Whether an article of the source may be on this site. A feed may link to any, also through a service that counts clicks: a source
        of feeds alone does not name the site of its articles."""
        leased_url, source = self.leased_url, self.source
        if source is not None and leased_url.found_by == Kind.FEED and not (source.homepage or source.sections or source.sitemaps):
            return True
        return urls.get_site(target) in list_sites(source, leased_url.url)

    async def _borrow(self, host: str, throttle: HostThrottle, target: str) -> OutcomeRecord | None:
        """Hold another host and read its robots.txt; an outcome if nothing may be fetched there. Raises HostBusyError."""
        lease = await self.host_leases.borrow(host)
        if lease is None:
            until = await self.state.call_ledger(lambda now: self.state.ledger.hosts.find_pause(host, now=now))
            is_pause = until is not None and until > self.state.now() + timedelta(seconds=BUSY_HOST_PAUSE_SECONDS)
            raise HostBusyError(host, until if is_pause else None)  # a shorter time is the delay between two requests
        self._borrowed_hosts.append(host)
        await restore_throttle(throttle, lease, self.state.now())
        throttle.set_delay(max(self.throttle.delay, throttle.delay))
        if not throttle.has_current_robots:
            response = await fetch_robots(
                self.state.downloader, throttle, target, self.host_leases.unleased_throttle, self.state.find_order
            )
            if response.refusal == STOPPED_BY_OWNER:
                return make_stopped_redirect(target)
            await self.state.save_robots(throttle, response)
            if response.refusal is not None and (self.state.obeys_robots(self.leased_url) or response.refusal.outcome in HOST_FAILURES):
                throttle.pause(response.retry_after)
                return response.refusal
        throttle.set_delay(max(self.throttle.delay, throttle.delay))
        return None

    def _find_borrow_time(self, busy: HostBusyError) -> datetime:
        """When the host that a redirect leads to may be free. A longer pause ends before the wait of a row that fails."""
        now = self.state.now()
        return min(max(now + timedelta(seconds=BUSY_HOST_PAUSE_SECONDS), busy.paused_until or now), now + MAX_RETRY_DELAY)

    async def _save(self, page: Page, request: FetchRequest) -> FailedPart | None:
        """Save a page or the links of a listing. An article waits for a further page that may come later; that page is returned."""
        if self.leased_url.kind is Kind.PAGE:
            page = await self._prepare(page)
            saved: Page | FailedPart = page
            if self.leased_url.has_parts:
                parts = (self._current_throttle, request, self._download, self._find_part_refusal, self._prepare)
                saved = await ArticlePages(self.state, self.leased_url, *parts).fetch(page)
            if isinstance(saved, FailedPart):
                await self._postpone(saved.retry, count_attempt=saved.response != STOPPED_BY_OWNER)
                return saved
            await self.state.writer.put(self.leased_url, saved)
            log_success(self.leased_url)
        else:
            ended = await ListingTask(self.state, self.leased_url, self.source, self.throttle, self._current_throttle).run(page)
            if not await self._follow_move(page, ended.ending.outcome):
                await self._end(ended)
        return None

    async def _prepare(self, page: Page) -> Page:
        """The page with its source and the hint of its link, and rendered where the source wants that."""
        leased_url = self.leased_url
        is_trusted = is_hint_trusted(list_sites(self.source), leased_url.found_by, leased_url.found_on, page.url)
        page = replace(page, source=leased_url.source, hint=leased_url.hint if is_trusted else Hint())
        if self.source is not None and needs_rendering(page, leased_url, self.source, self.state.script_sources):
            return await self.state.renderer.render(page, self.source)
        return page

    async def _find_part_refusal(self, url: str) -> OutcomeRecord | None:
        """Why a further page of the article may not be fetched. An allow pattern of the source is about first pages."""
        if (reason := await self.state.call_ledger(lambda _: self.state.ledger.barred_urls.find_reason(url))) is not None:
            return OutcomeRecord(Outcome.TAKEDOWN, reason)
        source = None if self.source is None else replace(self.source, allow=())
        throttle = self._current_throttle
        return find_robots_refusal(url, source, throttle) or find_pattern_refusal(url, source, throttle)

    async def _follow_move(self, page: Page, outcome: Outcome) -> bool:
        """Put the target of a permanent redirect in the place of a listing, on a site of the source or the site of the listing.

        True: it was done, which ends the row. The plan of a source names its sites, so a redirect must not add one to it.
        """
        listing, source = self.leased_url, self.source
        if not page.is_moved or source is None or listing.kind not in (Kind.FEED, Kind.SITEMAP, Kind.SECTION, Kind.HOMEPAGE):
            return False
        if outcome not in LISTING_OUTCOMES or urls.get_site(page.url) not in list_sites(source, listing.url):
            return False
        is_done = await self.state.call_ledger(
            lambda now: self.state.ledger.listing_moves.move(source.name, listing.url, page.url, now=now)
        )
        if is_done:
            await self.state.read_sources()
        return is_done

    def _ended(self, outcome: OutcomeRecord, response: Page | OutcomeRecord, now: datetime) -> Ended:
        """A listing that is unchanged or failed keeps its validators. A 304 renews for how long it is fresh (RFC 9111 section 4.3.4)."""
        leased_url, is_unchanged = self.leased_url, outcome.outcome is Outcome.NOT_MODIFIED
        cached = compute_fresh_seconds(response.headers, now) if isinstance(response, Page) and is_unchanged else None
        ended = Ended(leased_url.id, leased_url.fence, outcome, leased_url.etag, leased_url.last_modified, cached)
        return replace(ended, leads_to=self._link_target()) if outcome.outcome is Outcome.REDIRECTED else ended

    def _link_target(self) -> Link | None:
        row, target = self.leased_url, self._target
        return None if target is None else Link(target, row.kind, row.source, row.found_by, row.url, row.hint)

    async def _end(self, ended: Ended) -> None:
        await self.state.call_ledger(lambda now: self.state.ledger.url_endings.end([ended], now=now))
        log_ended(self.leased_url, ended.ending)
        await self._requeue_pushed()

    async def _postpone(self, retry: RetryAt, *, count_attempt: bool = True) -> None:
        row = Postponed(self.leased_url.id, self.leased_url.fence, retry.at, retry.detail, count_attempt, retry.failure)
        await self.state.call_ledger(lambda now: self.state.ledger.url_endings.postpone([row], now=now))
        log_postponed(self.leased_url, retry)
        await self._requeue_pushed()

    async def _requeue_pushed(self) -> None:
        if self.leased_url.kind is Kind.FEED:
            await self.state.call_ledger(lambda now: self.state.ledger.pushes.requeue_listing(self.leased_url.id, now=now))

    def _update_throttle(self, response: Page | OutcomeRecord, decision: OutcomeRecord | RetryAt | None) -> RetryAt | None:
        """Count failures in a row, and pause the host that responded last when a Retry-After or many failures call for it.

        Returns the pause of the own host; that of a borrowed one is in its throttle and is saved when it is given back. The own host counts
        the failure too: it may lead every page to a wall on another host.
        """
        throttle = self._current_throttle
        is_own_host = throttle is self.throttle
        if isinstance(response, Page) and response.status < 500 and response.status not in REFUSAL_STATUSES:
            self.throttle.record_success()
            throttle.record_success()
            return None
        if not isinstance(decision, RetryAt):
            until = find_retry_after(response, self.state.now()) if isinstance(response, Page) else None
            if decision is None or until is None:
                return None
            decision = RetryAt(until, decision.detail or "", until)
        if decision.host_until is not None:
            pause: timedelta | None = decision.host_until - self.state.now()
        else:
            pause = throttle.record_failure()
            if pause is None and isinstance(response, Page) and response.status == 429:
                pause = timedelta(seconds=FIRST_PAUSE_SECONDS)
        if is_own_host:
            return self._make_pause(decision, pause)
        throttle.pause(0.0 if pause is None else pause.total_seconds())
        return self._make_pause(decision, self.throttle.record_failure())

    def _make_pause(self, decision: RetryAt, pause: timedelta | None) -> RetryAt | None:
        return None if pause is None else replace(decision, host_until=self.state.now() + pause)


def make_outage_pause(failure: OutcomeRecord, until: datetime) -> RetryAt:
    """The pause of a host during an outage of the network."""
    return RetryAt(until, Sentence("the network of the crawler does not answer ({outcome})", outcome=failure.outcome), until)

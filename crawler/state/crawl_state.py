"""What all hosts of one process share: ledger calls, the clock, the stop signal; of a crawler also sources, the writer and its backlog.

HostLeases are the hosts that the crawler holds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from crawler.browser.renderer import Renderer
from crawler.fetching.downloader import Downloader
from crawler.fetching.robots import RobotsResponse
from crawler.listings.parser import ListingParser
from crawler.politeness.throttle import HostThrottle, StopRequestedError, StopSignal
from crawler.segments.page_writer import PageWriter
from crawler.state.network_monitor import NetworkMonitor
from newsmill.archive.archive import MAX_SEGMENT_PAGES
from newsmill.discovery.source_sites import covers
from newsmill.exceptions import ServiceError
from newsmill.model import Kind, LeasedUrl, Link, Politeness, Render, Source
from newsmill.outage_log import OutageLog
from newsmill.storage.ledger import HostLease, Ledger
from newsmill.storage.processes import make_owner_id
from newsmill.storage.publishers import PublisherOrder

log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_SECONDS = 60.0  # after which another crawler takes over the hosts and URLs of a killed one
FIRST_RETRY_SECONDS = 0.5  # between two tries of a ledger call while the database is away; doubled each time
MAX_RETRY_SECONDS = 10.0
ORDER_SECONDS = 0.1  # for which the orders of owners are reused: all hosts share one query, where each request asks two or three times
BACKLOG_POLL_SECONDS = 1.0  # between two looks at a backlog that is full
MAX_SECTIONS_IN_MEMORY = 10_000  # next pages of sections whose position stays in memory


class SectionPage(NamedTuple):
    """The position of a next page of a section."""

    depth: int = 0  # next-page links between the first page and this page
    is_first_walk: bool = False  # the first page was read for the first time when it led here
    shown_before: int | None = None  # the hash of the articles on the page that led here


class LedgerCalls:
    """The ledger, for the event loop's thread only, with the id that this process leases under."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime], stop: StopSignal, *, lease_seconds: float) -> None:
        """`clock` asks the database for the time."""
        self.ledger = ledger
        self.stop = stop
        self.lease_seconds = lease_seconds
        self.owner = make_owner_id()
        self._clock = clock
        self._last_time = datetime.now(UTC), time.monotonic()  # of the database, and when it was read
        self._outage = OutageLog(log, "the database answers again")
        self._ledger_thread = ThreadPoolExecutor(1, "sql")  # one thread, one connection
        self._orders: dict[str, PublisherOrder] = {}  # by host
        self._orders_read_at = -math.inf  # time.monotonic()
        self._orders_lock = asyncio.Lock()

    def close_ledger(self) -> None:
        """Wait for the ledger call that runs, and refuse others."""
        self._ledger_thread.shutdown()

    def now(self) -> datetime:
        """The time that all processes on this database agree on, extrapolated: the event loop never waits for the database."""
        database_time, read_at = self._last_time
        return database_time + timedelta(seconds=time.monotonic() - read_at)

    async def call_ledger(self, call: Callable[[datetime], T]) -> T:
        """Run `call(now)` in the ledger's thread, and again while the database is away: fences make every call safe to repeat.

        Raises ServiceError if the database is away while the process stops.
        """

        def call_with_time() -> T:
            read_at = time.monotonic()
            now = self._clock()
            self._last_time = now, read_at
            return call(now)

        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._ledger_thread, call_with_time)
                if wait > FIRST_RETRY_SECONDS:  # other calls, such as a heartbeat that is not due, may do without the database
                    self._outage.report_success()
                return result
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                self._outage.report_failure(e, "the crawler waits")
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_RETRY_SECONDS)

    async def call_leasing(self, call: Callable[[datetime], T]) -> tuple[T, float]:
        """As `call_ledger`, with the time.monotonic() at which leases end that the call takes or renews."""
        return await self.call_ledger(lambda now: (call(now), self._last_time[1] + self.lease_seconds))

    async def find_order(self, host: str) -> PublisherOrder | None:
        """The order of the owner of a host. Raises StopRequestedError if the database is away while the process stops."""
        asked_at = time.monotonic()
        async with self._orders_lock:
            if self._orders_read_at < asked_at - ORDER_SECONDS:
                read_at = time.monotonic()
                try:
                    orders = await self.call_ledger(lambda _: self.ledger.publisher_orders())
                except ServiceError:
                    raise StopRequestedError from None
                self._orders, self._orders_read_at = {order.host: order for order in orders}, read_at
        return self._orders.get(host)

    async def save_robots(self, throttle: HostThrottle, response: RobotsResponse) -> None:
        """Save a robots.txt with its host, for the next process that holds the host."""
        status, body = response.status, response.body
        delay = None if throttle.robots is None else throttle.robots.crawl_delay(throttle.agent)
        await self.call_ledger(
            lambda now: self.ledger.save_robots(throttle.host, self.owner, status=status, body=body, crawl_delay=delay, now=now)
        )


class CrawlState(LedgerCalls):
    """The shared state, for the event loop's thread only."""

    def __init__(
        self,
        ledger: Ledger,
        downloader: Downloader,
        writer: PageWriter,
        clock: Callable[[], datetime],
        stop: StopSignal,
        *,
        agent: str,
        lease_seconds: float,
        max_backlog: int,
        default_politeness: Politeness,
        only_source: str | None = None,
        max_pages: int | None = None,
    ) -> None:
        """`clock` asks the database for the time. `max_backlog` counts segments; `default_politeness` is for URLs without a source.

        `only_source` and `max_pages` (article URLs) limit the crawl.
        """
        super().__init__(ledger, clock, stop, lease_seconds=lease_seconds)
        self.downloader = downloader
        self.writer = writer
        self.parser = ListingParser()
        self.renderer = Renderer(downloader.render, downloader.guard, downloader.user_agent)
        self.network = NetworkMonitor()
        self.agent = agent  # the product name that robots.txt rules are looked up by
        self.only_source = only_source
        self.max_pages = max_pages
        self.requested_pages = 0  # article URLs
        self.sources: dict[str, Source] = {}
        self.script_sources: set[str] = set()  # names of sources whose text only a browser shows
        self.section_pages: dict[str, SectionPage] = {}  # by URL
        self._max_backlog = max_backlog
        self._default_politeness = default_politeness
        self._counted_backlog = 0  # segments that waited for a worker at the last count
        self._segments_at_count = 0  # segments that the writer had saved before the last count

    # ---- sources

    async def read_sources(self) -> None:
        """Read all sources from the ledger."""
        self.sources = {source.name: source for source in await self.call_ledger(lambda _: self.ledger.sources())}
        if any(source.render is Render.AUTO for source in self.sources.values()):
            self.script_sources = await self.call_ledger(lambda _: self.ledger.script_sources())

    async def read_missing_sources(self, rows: Iterable[LeasedUrl]) -> None:
        """Read the sources if these rows name an unknown one: a new source's homepage is due before the next periodic read."""
        if any(leased_url.source is not None and leased_url.source not in self.sources for leased_url in rows):
            await self.read_sources()

    @property
    def has_spiders(self) -> bool:
        """Whether a source has a spider. A new source counts from the next read of the sources on."""
        return any(source.spider is not None for source in self.sources.values())

    def source_of(self, leased_url: LeasedUrl) -> Source | None:
        return self.sources.get(leased_url.source or "")

    def politeness_of(self, leased_url: LeasedUrl) -> Politeness:
        """The pace for a URL. On a site that its source does not speak for, a source may only be slower than the default."""
        source, default = self.source_of(leased_url), self._default_politeness
        if source is None:
            return default
        own = source.politeness
        if leased_url.kind is Kind.SPIDER or covers(source, leased_url.url):
            return own
        return Politeness(max(own.delay, default.delay), min(own.concurrency, default.concurrency))

    def obeys_robots(self, leased_url: LeasedUrl) -> bool:
        source = self.source_of(leased_url)
        return source is None or source.robots or (leased_url.kind is not Kind.SPIDER and not covers(source, leased_url.url))

    @property
    def has_sources_without_robots(self) -> bool:
        return any(not source.robots for source in self.sources.values())

    # ---- limit of pages

    @property
    def is_page_limit_reached(self) -> bool:
        return self.max_pages is not None and self.requested_pages >= self.max_pages

    def count_request(self, leased_url: LeasedUrl) -> None:
        self.requested_pages += leased_url.kind is Kind.PAGE and not leased_url.is_revisit

    # ---- backlog

    async def count_backlog(self) -> None:
        """Count the segments that are saved and not claimed by a worker, queued or not: the ledger knows them while Redis is away."""
        saved = self.writer.saved_segments
        segments = await self.call_ledger(lambda now: self.ledger.pending_segments(now=now, limit=self._max_backlog))
        self._counted_backlog, self._segments_at_count = len(segments), saved

    @property
    def is_backlog_full(self) -> bool:
        """Whether the workers are `max_backlog` segments behind. Pages that were fetched since the last count are counted as segments."""
        unsaved = -(-self.writer.unsaved_pages // MAX_SEGMENT_PAGES)
        return self._counted_backlog + self.writer.saved_segments - self._segments_at_count + unsaved >= self._max_backlog

    async def wait_for_backlog(self) -> None:
        """Wait while the backlog is full. Raises StopRequestedError."""
        while self.is_backlog_full:
            await self.stop.sleep(BACKLOG_POLL_SECONDS)
        self.stop.check()

    # ---- sections

    def set_section_page(self, links: Iterable[Link], page: SectionPage) -> None:
        """Note the position of next pages. Of too many pages the older half is forgotten."""
        if len(self.section_pages) >= MAX_SECTIONS_IN_MEMORY:
            self.section_pages = dict(list(self.section_pages.items())[MAX_SECTIONS_IN_MEMORY // 2 :])
        self.section_pages |= {link.url: page for link in links}


# ---- the hosts that a crawler holds ---------------------------------------------------------------------------------------------

MAX_HOSTS_IN_MEMORY = 10_000  # hosts whose throttle stays in memory
LARGE_ROBOTS_CHARACTERS = 65_536  # of one robots.txt; 99 of 100 honest ones are shorter
MAX_ROBOTS_CHARACTERS = 4_000_000  # of all robots.txt in memory; the worst file takes 32 bytes of memory per character


class HostLeases:
    """Leases, renews and borrows hosts in the ledger, and keeps their throttles, one for each host.

    A host is leased for a HostWorker, or borrowed because a redirect leads there.
    """

    def __init__(self, state: CrawlState) -> None:
        self.state = state
        self.leased: set[str] = set()
        self.borrowed: Counter[str] = Counter()  # by the number of fetch tasks that use the host
        self._throttles: dict[str, HostThrottle] = {}

    def __contains__(self, host: str) -> bool:
        return host in self.leased or host in self.borrowed

    def throttle(self, host: str) -> HostThrottle:
        """The throttle of a host, which may be leased, borrowed or neither."""
        if host not in self._throttles:
            if len(self._throttles) >= MAX_HOSTS_IN_MEMORY:
                self._throttles = {name: throttle for name, throttle in self._throttles.items() if name in self}
            self._throttles[host] = HostThrottle(host, self.state.agent, self.state.stop)
        return self._throttles[host]

    def unleased_throttle(self, host: str) -> HostThrottle:
        """The throttle of a host that the robots.txt of another one redirects to, which needs no lease."""
        throttle = self.throttle(host)
        if host not in self:
            throttle.held_until = math.inf
        return throttle

    async def lease(self, limit: int, *, spiders: bool = False) -> list[HostLease]:
        """Lease up to `limit` hosts with due URLs, or with `spiders` due runs of spiders.

        A host may be leased already: a clock that jumps ends a lease early.
        """
        state = self.state
        owner, seconds, source = state.owner, state.lease_seconds, state.only_source
        leases, until = await state.call_leasing(
            lambda now: state.ledger.lease_hosts(owner, limit=limit, seconds=seconds, now=now, source=source, spiders=spiders)
        )
        self.leased |= {lease.host for lease in leases}
        for lease in leases:
            self.throttle(lease.host).held_until = until
        return leases

    def forget(self, host: str) -> None:
        """The worker of a leased host has ended and given the host back."""
        self.leased.discard(host)
        self._end_hold(host)

    async def renew(self) -> set[str]:
        """Renew all leases. Returns the leased hosts that another crawler holds by now."""
        state, held = self.state, {*self.leased, *self.borrowed}
        if not held:
            return set()
        renewed, until = await state.call_leasing(
            lambda now: state.ledger.renew_hosts(state.owner, held, seconds=state.lease_seconds, now=now)
        )
        for host in renewed:
            if host in self:  # else it was given back meanwhile
                self.throttle(host).held_until = until
        return (held - renewed) & self.leased

    async def borrow(self, host: str) -> HostLease | None:
        """Hold a host that a redirect leads to, until `give_back`. None: another crawler holds it."""
        state, lease = self.state, None
        if host not in self:
            lease, until = await state.call_leasing(
                lambda now: state.ledger.lease_host(host, state.owner, seconds=state.lease_seconds, now=now)
            )
            if lease is not None:
                self.throttle(host).held_until = until
            if lease is None and host not in self:
                return None
        self.borrowed[host] += 1
        return lease or HostLease(host, 0)

    async def give_back(self, host: str) -> None:
        """End one borrowing. The last one releases the host, unless a worker has leased it meanwhile."""
        self.borrowed[host] -= 1
        if self.borrowed[host] > 0:
            return
        del self.borrowed[host]
        if host not in self.leased:
            state, throttle = self.state, self.throttle(host)
            wait, failures = timedelta(seconds=throttle.seconds_until_free), throttle.failures
            self._end_hold(host)
            await state.call_ledger(
                lambda now: state.ledger.release_host(host, state.owner, now=now, next_fetch_at=now + wait, failures=failures)
            )

    def may_request(self, host: str) -> bool:
        """Whether the lease of a host goes on, if this process has one."""
        throttle = self._throttles.get(host)
        return throttle is None or throttle.is_held

    def _end_hold(self, host: str) -> None:
        """Let no request to the host be sent that Scrapy may still have for a task that was cancelled."""
        if host not in self and host in self._throttles:
            self._throttles[host].held_until = 0.0
        self.drop_large_robots(host)

    def drop_large_robots(self, host: str) -> None:
        """Forget the large robots.txt of a host that is not held, if memory holds too many of them. The ledger keeps it."""
        throttle = self._throttles.get(host)
        if host in self or throttle is None or throttle.robots is None or throttle.robots.size <= LARGE_ROBOTS_CHARACTERS:
            return
        if sum(other.robots.size for other in self._throttles.values() if other.robots is not None) > MAX_ROBOTS_CHARACTERS:
            del self._throttles[host]

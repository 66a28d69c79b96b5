"""The crawl of one process: leases hosts again and again, looks after what runs beside, and holds back when the workers are behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from crawler.downloader import Downloader
from crawler.host_worker import HostWorker
from crawler.listing_parser import ListingParser
from crawler.page_writer import MAX_SEGMENT_PAGES, PageWriter, recover_spool
from crawler.robots import RobotsResponse
from crawler.spool import Spool
from crawler.throttle import HostThrottle, StopRequestedError, StopSignal
from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.model import LeasedUrl, Link, Politeness, Source
from newsmill.storage.lease_owners import is_dead, make_owner_id
from newsmill.storage.ledger import HostLease, Ledger

log = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_POLL_SECONDS = 1.0  # seconds between two looks for hosts with due work when there was none
BUSY_POLL_SECONDS = 0.2  # when some were leased
SOURCES_INTERVAL_SECONDS = 15.0  # seconds a changed source takes to be seen
MAINTENANCE_INTERVAL_SECONDS = 2.0  # seconds between two looks at the backlog and the leases
MAX_RETRY_SECONDS = 10.0  # seconds between two tries of a ledger call while the database is away
MAX_SECTIONS_IN_MEMORY = 10_000  # section pages whose depth stays in memory

NOBODY = Politeness()  # of an address given by hand


class Frontier:
    """What all visits of one process share."""

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        announce: Callable[[str], bool],
        fetcher: Downloader,
        beat: Callable[[datetime], None],
        clock: Callable[[], datetime],
        *,
        stop: StopSignal,
        agent: str,
        hosts: int,
        lease_seconds: float,
        high_water: int,
        spool: Path | None = None,
    ) -> None:
        self.ledger = ledger
        self.fetcher = fetcher
        self.beat = beat  # says in the database that we are alive
        self.clock = clock  # the time all processes on this database agree on; asked in the database's thread only
        self._told = datetime.now(UTC), time.monotonic()  # what it said last, and when
        self.stop = stop
        self.agent = agent  # our product name, as robots.txt would call us
        self.lease_seconds = lease_seconds
        self.high_water = high_water
        self.owner = make_owner_id()
        self.archive = archive
        self.announce = announce
        self.spool = spool  # the folder where pages lie until they are saved
        self.writer = PageWriter(archive, ledger, announce, stop, clock, None if spool is None else Spool(spool))
        self.parser = ListingParser()
        self.held = HostLeases(self, hosts, lease_seconds)
        self.sources: dict[str, Source] = {}
        self.depths: dict[str, int] = {}  # how many next-page links lie between a section's front and this page of it
        self.backlog = 0  # segments that wait for a worker, as last counted
        self.counted_at = 0  # what the writer had saved by then
        self._sql = ThreadPoolExecutor(1, "sql")  # one thread, one connection; an event loop never waits for the database

    async def run(self) -> None:
        """Lease hosts until told to stop. Raises what a bug in here raises; a bug in one visit is logged and costs that host a pause."""
        care = asyncio.ensure_future(self._care())
        try:
            await self._inherit()
            while True:
                for task in (care, self.writer.task):
                    if task.done():
                        task.result()  # neither ends before we do but by a bug, and without them nothing may be fetched
                leased = 0 if self.full else await self.held.lease()
                await self.stop.sleep(BUSY_POLL_SECONDS if leased else IDLE_POLL_SECONDS)
        except StopRequestedError:
            return
        finally:
            care.cancel()
            await asyncio.gather(care, return_exceptions=True)

    async def close(self) -> None:
        """Give everything back, and write what was fetched."""
        self.stop.event.set()
        await self.held.end()
        await self.writer.close()
        self._sql.shutdown()
        await self.parser.close()

    async def _inherit(self) -> None:
        """Our predecessor on this machine may have been killed a moment ago: save what it fetched, and free what it held."""
        if (spool := self.spool) is not None:
            saved = await self.sql(lambda now: recover_spool(spool, self.ledger, self.archive, self.announce, now))
            if saved:
                log.info("saved %d pages that a dead crawler had fetched", saved)
        await self.sql(lambda now: self.ledger.adjust_to_clock(now=now))
        for owner in await self.sql(lambda now: self.ledger.end_dead_leases(is_dead, now=now)):
            log.info("%s is dead; what it held is free", owner)
        await self.sql(lambda now: self.ledger.expire_leases(now=now))

    async def _care(self) -> None:
        """Renew what we hold; look how far the workers are behind; read the sources again."""
        sources_at = 0.0
        renew_at = time.monotonic() + self.lease_seconds / 3
        while True:
            if time.monotonic() >= sources_at:
                await self._read_sources()
                sources_at = time.monotonic() + SOURCES_INTERVAL_SECONDS
            if time.monotonic() >= renew_at:
                await self.held.renew()
                renew_at = time.monotonic() + self.lease_seconds / 3
            await self.sql(self.beat)
            await self._count_backlog()
            await asyncio.sleep(min(MAINTENANCE_INTERVAL_SECONDS, self.lease_seconds / 3))

    async def _read_sources(self) -> None:
        self.sources = {source.name: source for source in await self.sql(lambda _: self.ledger.sources())}

    async def _count_backlog(self) -> None:
        """Segments saved and not yet claimed, announced or not. The ledger knows them whether or not Redis is there."""
        saved = self.writer.segments
        owed = await self.sql(lambda now: self.ledger.pending_segments(now=now, limit=self.high_water))
        self.backlog, self.counted_at = len(owed), saved

    # ---- what visits and errands ask for

    @property
    def full(self) -> bool:
        """Whether the workers are the high-water mark behind; what was saved since the last count, or will be, is taken as waiting too."""
        coming = -(-self.writer.unsaved // MAX_SEGMENT_PAGES)
        return self.backlog + self.writer.segments - self.counted_at + coming >= self.high_water

    async def room(self) -> None:
        """Wait while the workers are more than the high-water mark behind. Raises Stopping."""
        while self.full:
            await self.stop.sleep(IDLE_POLL_SECONDS)
        self.stop.check()

    def go_deeper(self, links: Iterable[Link], depth: int) -> None:
        if len(self.depths) >= MAX_SECTIONS_IN_MEMORY:
            self.depths = dict(list(self.depths.items())[MAX_SECTIONS_IN_MEMORY // 2 :])
        self.depths |= {link.url: depth for link in links}

    async def know_sources(self, rows: Iterable[LeasedUrl]) -> None:
        """A source added a moment ago may be due before its plan was read: its homepage must not be taken without what it asks for."""
        if any(owed.source is not None and owed.source not in self.sources for owed in rows):
            await self._read_sources()

    def source_of(self, owed: LeasedUrl) -> Source | None:
        return self.sources.get(owed.source or "")

    def politeness_of(self, owed: LeasedUrl) -> Politeness:
        source = self.source_of(owed)
        return NOBODY if source is None else source.politeness

    def now(self) -> datetime:
        """The time, reckoned on from what `clock` said last: an event loop never waits for the database."""
        at, when = self._told
        return at + timedelta(seconds=time.monotonic() - when)

    async def sql(self, call: Callable[[datetime], T]) -> T:
        """Do `call(now)` in the ledger's thread; again while the database is away (all are fenced). Raises ServiceError when stopping."""

        def timed() -> T:
            now = self.clock()
            self._told = now, time.monotonic()
            return call(now)

        wait = 0.5
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._sql, timed)
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                log.warning("%s; trying again in %.0f s", e, wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_RETRY_SECONDS)


# The hosts this process holds: leased with a visit, or borrowed because a redirect leads there; and how each is to be treated.

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0  # seconds that requests in flight have after SIGTERM; `docker stop` kills after ten
MAX_HOSTS_IN_MEMORY = 10_000  # hosts whose manners stay in memory
LARGE_ROBOTS_CHARACTERS = 65_536  # characters of a robots.txt; 99 of 100 honest ones are shorter
MAX_ROBOTS_CHARACTERS = 4_000_000  # characters of all in memory; the worst, one short rule for each name, takes 32 bytes for each


class HostLeases:
    """Leases hosts, keeps the leases alive, and runs one Visit for each."""

    def __init__(self, crawl: Frontier, most: int, lease_seconds: float) -> None:
        self.crawl = crawl
        self.most = most
        self.lease_seconds = lease_seconds
        self.visits: dict[str, tuple[HostWorker, asyncio.Task[None]]] = {}
        self.borrowed: Counter[str] = Counter()  # and by how many errands
        self._manners: dict[str, HostThrottle] = {}

    def throttle(self, host: str) -> HostThrottle:
        """The one politeness of a host in this process, whether it is leased or only redirected to."""
        if host not in self._manners:
            if len(self._manners) >= MAX_HOSTS_IN_MEMORY:
                self._manners = {name: it for name, it in self._manners.items() if name in self}
            self._manners[host] = HostThrottle(host, self.crawl.agent, self.crawl.stop)
        return self._manners[host]

    def __contains__(self, host: str) -> bool:
        return host in self.visits or host in self.borrowed

    def _forget_large(self, host: str) -> None:
        """Of many large robots.txt, none is kept in memory between two visits, for 10,000 hosts may have one; the ledger has it."""
        throttle = self._manners.get(host)
        if host in self or throttle is None or throttle.robots is None or throttle.robots.size <= LARGE_ROBOTS_CHARACTERS:
            return
        if sum(other.robots.size for other in self._manners.values() if other.robots is not None) > MAX_ROBOTS_CHARACTERS:
            del self._manners[host]

    # ---- leased

    async def lease(self) -> int:
        """Lease hosts with due work, as many as there is room for, and begin their visits. How many."""
        crawl, free = self.crawl, self.most - len(self.visits)
        if free <= 0:
            return 0
        leases = await crawl.sql(lambda now: crawl.ledger.lease_hosts(crawl.owner, limit=free, seconds=self.lease_seconds, now=now))
        for lease in leases:
            if lease.host in self.visits:  # ours until the clock jumped over the lease's end, and ours again
                continue
            visit = HostWorker(crawl, lease)
            task = asyncio.ensure_future(visit.run())
            self.visits[lease.host] = visit, task
            task.add_done_callback(partial(self._ended, lease.host))
        return len(leases)

    def _ended(self, host: str, task: asyncio.Task[None]) -> None:
        if host in self.visits and self.visits[host][1] is task:  # the host may have been leased again in the same breath
            del self.visits[host]
            self._forget_large(host)
        if not self.visits:
            self.crawl.writer.hurry()
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, StopRequestedError):
            log.error("the visit to %s failed", host, exc_info=error)

    async def renew(self) -> None:
        """Prolong all leases; a visit whose host is no longer ours ends at once."""
        crawl, held = self.crawl, {*self.visits, *self.borrowed}
        if not held:
            return
        ours = await crawl.sql(lambda now: crawl.ledger.renew_hosts(crawl.owner, held, seconds=self.lease_seconds, now=now))
        for host in (held - ours) & self.visits.keys():
            log.warning("lost the lease on %s", host)
            visit, task = self.visits[host]
            visit.lost = True
            task.cancel()

    async def end(self) -> None:
        """Let requests in flight end for a few seconds; then every visit gives back what it has."""
        tasks = [task for _, task in self.visits.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---- borrowed

    async def borrow(self, host: str) -> HostLease | None:
        """Hold a host that a redirect leads to, so that no other crawler asks it meanwhile; None when another does. Give it back."""
        crawl, lease = self.crawl, None
        if host not in self:
            lease = await crawl.sql(lambda now: crawl.ledger.lease_host(host, crawl.owner, seconds=self.lease_seconds, now=now))
            if lease is None and host not in self:
                return None
        self.borrowed[host] += 1
        return lease or HostLease(host, 0)

    async def give_back(self, host: str) -> None:
        """The last errand that leaves a borrowed host releases it, unless a visit has it."""
        self.borrowed[host] -= 1
        if self.borrowed[host] > 0:
            return
        del self.borrowed[host]
        if host not in self.visits:
            crawl, wait = self.crawl, timedelta(seconds=self.throttle(host).free_in)
            self._forget_large(host)
            await crawl.sql(lambda now: crawl.ledger.release_host(host, crawl.owner, now=now, next_fetch_at=now + wait))

    async def save_robots(self, throttle: HostThrottle, answer: RobotsResponse) -> None:
        """Keep a robots.txt with its host, for the next process that holds it."""
        crawl, status, body = self.crawl, answer.status, answer.body
        delay = None if throttle.robots is None else throttle.robots.crawl_delay(crawl.agent)
        await crawl.sql(
            lambda now: crawl.ledger.save_robots(throttle.host, crawl.owner, status=status, body=body, crawl_delay=delay, now=now)
        )

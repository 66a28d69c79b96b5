"""The crawl of one process: which hosts are ours, who fetches them, and when to hold back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import ParamSpec, TypeVar

from crawler.fetch import Fetcher
from crawler.host import Visit
from crawler.manners import Manners, Stop, Stopping
from crawler.parser import Parser
from crawler.writer import Writer
from newsmill.exceptions import ServiceError
from newsmill.keep.archive import Archive
from newsmill.keep.ledger import Ledger
from newsmill.keep.owners import is_dead, new_owner
from newsmill.model import Link, Owed, Politeness, Source

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

IDLE_POLL = 1.0  # seconds between two looks for hosts with due work when there was none
BUSY_POLL = 0.2  # when some were leased
SOURCES_EVERY = 15.0  # seconds a changed source takes to be seen
BACKLOG_EVERY = 2.0
GRACE = 5.0  # seconds that requests in flight have after SIGTERM; `docker stop` kills after ten
MAX_RETRY_WAIT = 10.0  # seconds between two tries of a ledger call while the database is away
REMEMBERED = 10_000  # hosts and section pages kept in memory

NOBODY = Politeness()  # of an address given by hand


class Crawl:
    """Leases hosts, keeps their leases alive, and runs one Visit for each."""

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        announce: Callable[[str], bool],
        fetcher: Fetcher,
        beat: Callable[[datetime], None],
        *,
        stop: Stop,
        agent: str,
        hosts: int,
        lease_seconds: float,
        high_water: int,
    ) -> None:
        self.ledger = ledger
        self.fetcher = fetcher
        self.beat = beat  # says in the database that we are alive
        self.writer = Writer(archive, ledger, announce, stop)
        self.stop = stop
        self.agent = agent
        self.max_hosts = hosts
        self.lease_seconds = lease_seconds
        self.high_water = high_water
        self.owner = new_owner()
        self.sources: dict[str, Source] = {}
        self.depths: dict[str, int] = {}  # how many next-page links lie between a section's front and this page of it
        self.visits: dict[str, asyncio.Task[None]] = {}
        self.open: dict[str, Visit] = {}
        self.backlog = 0  # segments that wait for a worker, as last counted
        self.counted_at = 0  # what the writer had saved by then
        self._manners: dict[str, Manners] = {}
        self._sql = ThreadPoolExecutor(1, "sql")  # one thread, one connection; an event loop never waits for the database
        self.parser = Parser()

    # ---- running

    async def run(self) -> None:
        """Lease hosts until told to stop. Raises what a bug in here raises; a bug in one visit is logged and costs that host a pause."""
        keeper = asyncio.ensure_future(self._keep_leases())
        try:
            await self._inherit()
            while True:
                for task in (keeper, self.writer.task):
                    if task.done():
                        task.result()  # neither ends before we do but by a bug, and without them nothing may be fetched
                leased = 0 if self.full else await self._lease_hosts()
                await self.stop.sleep(BUSY_POLL if leased else IDLE_POLL)
        except Stopping:
            return
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def close(self) -> None:
        """Let requests in flight end for a few seconds, give everything back, and write what was fetched."""
        self.stop.event.set()
        tasks = list(self.visits.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self.writer.close()
        self._sql.shutdown()
        await self.parser.close()

    async def _inherit(self) -> None:
        """Our predecessor on this machine may have been killed a moment ago: nobody need wait for its leases to end."""
        for owner in await self.sql(self.ledger.cut_leases, is_dead, now=datetime.now(UTC)):
            log.info("%s is dead; what it held is free", owner)
        await self.sql(self.ledger.expire_leases, now=datetime.now(UTC))

    async def _lease_hosts(self) -> int:
        free = self.max_hosts - len(self.visits)
        if free <= 0:
            return 0
        leases = await self.sql(self.ledger.lease_hosts, self.owner, limit=free, seconds=self.lease_seconds, now=datetime.now(UTC))
        for lease in leases:
            visit = Visit(self, lease)
            task = asyncio.ensure_future(visit.run())
            self.open[lease.host], self.visits[lease.host] = visit, task
            task.add_done_callback(partial(self._closed, lease.host))
        return len(leases)

    def _closed(self, host: str, task: asyncio.Task[None]) -> None:
        self.visits.pop(host, None)
        self.open.pop(host, None)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Stopping):
            log.error("the visit to %s failed", host, exc_info=error)

    async def _keep_leases(self) -> None:
        """Renew what we hold; look how far the workers are behind; read the sources again."""
        sources_at = 0.0
        renew_at = time.monotonic() + self.lease_seconds / 3
        while True:
            if time.monotonic() >= sources_at:
                self.sources = {source.name: source for source in await self.sql(self.ledger.sources)}
                sources_at = time.monotonic() + SOURCES_EVERY
            if time.monotonic() >= renew_at:
                await self._renew()
                renew_at = time.monotonic() + self.lease_seconds / 3
            await self.sql(self.beat, datetime.now(UTC))
            # The ledger knows the backlog whether or not Redis is there: segments saved and not yet claimed, announced or not.
            saved = self.writer.segments
            owed = await self.sql(self.ledger.owed_segments, now=datetime.now(UTC), limit=self.high_water)
            self.backlog, self.counted_at = len(owed), saved
            await asyncio.sleep(min(BACKLOG_EVERY, self.lease_seconds / 3))

    async def _renew(self) -> None:
        held = list(self.open)
        if not held:
            return
        ours = await self.sql(self.ledger.renew_hosts, self.owner, held, seconds=self.lease_seconds, now=datetime.now(UTC))
        for host in set(held) - ours:
            visit, task = self.open.get(host), self.visits.get(host)
            if visit is not None and task is not None:
                log.warning("lost the lease on %s", host)
                visit.lost = True
                task.cancel()

    # ---- what visits and errands ask for

    @property
    def full(self) -> bool:
        """Whether the workers are the high-water mark behind; what was saved since the last count is taken as still waiting."""
        return self.backlog + self.writer.segments - self.counted_at >= self.high_water

    async def room(self) -> None:
        """Wait while the workers are more than the high-water mark behind. Raises Stopping."""
        while self.full:
            await self.stop.sleep(IDLE_POLL)
        self.stop.check()

    def manners(self, host: str) -> Manners:
        """The one politeness of a host in this process, whether it is leased or only redirected to."""
        if host not in self._manners:
            _forget(self._manners, keep=self.open)
            self._manners[host] = Manners(host, self.agent, self.stop)
        return self._manners[host]

    def go_deeper(self, links: Iterable[Link], depth: int) -> None:
        for link in links:
            _forget(self.depths)
            self.depths[link.url] = depth

    async def know_sources(self, rows: Iterable[Owed]) -> None:
        """A source added a moment ago has due rows before its plan was read: read it now, or its homepage is taken without what it asks for."""
        if any(owed.source is not None and owed.source not in self.sources for owed in rows):
            self.sources = {source.name: source for source in await self.sql(self.ledger.sources)}

    def source_of(self, owed: Owed) -> Source | None:
        return self.sources.get(owed.source or "")

    def politeness_of(self, owed: Owed) -> Politeness:
        source = self.source_of(owed)
        return NOBODY if source is None else source.politeness

    async def sql(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A ledger call in its thread; tried again while the database is away (all are fenced). Raises ServiceError when stopping."""
        wait = 0.5
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._sql, lambda: call(*args, **kwargs))
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                log.warning("%s; trying again in %.0f s", e, wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_RETRY_WAIT)


def _forget(memory: dict[str, T], keep: Iterable[str] = ()) -> None:
    """Make room in what is only remembered to save a request."""
    if len(memory) >= REMEMBERED:
        kept = set(keep)
        for key in [key for key in memory if key not in kept][: REMEMBERED // 2]:
            del memory[key]

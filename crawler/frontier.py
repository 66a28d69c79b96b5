"""The crawl of one process: leases hosts again and again, looks after what runs beside, and holds back when the workers are behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from crawler.downloader import Fetcher
from crawler.host_leases import Held
from crawler.listing_parser import Parser
from crawler.orphaned_spools import take_up
from crawler.page_writer import MAX_PAGES, Writer
from crawler.spool import Spool
from crawler.throttle import Stop, Stopping
from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.model import Link, Owed, Politeness, Source
from newsmill.storage.lease_owners import is_dead, new_owner
from newsmill.storage.ledger import Ledger

log = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_POLL = 1.0  # seconds between two looks for hosts with due work when there was none
BUSY_POLL = 0.2  # when some were leased
SOURCES_EVERY = 15.0  # seconds a changed source takes to be seen
CARE_EVERY = 2.0  # seconds between two looks at the backlog and the leases
MAX_RETRY_WAIT = 10.0  # seconds between two tries of a ledger call while the database is away
REMEMBERED = 10_000  # section pages whose depth stays in memory

NOBODY = Politeness()  # of an address given by hand


class Crawl:
    """What all visits of one process share."""

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        announce: Callable[[str], bool],
        fetcher: Fetcher,
        beat: Callable[[datetime], None],
        clock: Callable[[], datetime],
        *,
        stop: Stop,
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
        self.owner = new_owner()
        self.archive = archive
        self.announce = announce
        self.spool = spool  # the folder where pages lie until they are saved
        self.writer = Writer(archive, ledger, announce, stop, clock, None if spool is None else Spool(spool))
        self.parser = Parser()
        self.held = Held(self, hosts, lease_seconds)
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
                await self.stop.sleep(BUSY_POLL if leased else IDLE_POLL)
        except Stopping:
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
            saved = await self.sql(lambda now: take_up(spool, self.ledger, self.archive, self.announce, now))
            if saved:
                log.info("saved %d pages that a dead crawler had fetched", saved)
        await self.sql(lambda now: self.ledger.adjust_to_clock(now=now))
        for owner in await self.sql(lambda now: self.ledger.cut_leases(is_dead, now=now)):
            log.info("%s is dead; what it held is free", owner)
        await self.sql(lambda now: self.ledger.expire_leases(now=now))

    async def _care(self) -> None:
        """Renew what we hold; look how far the workers are behind; read the sources again."""
        sources_at = 0.0
        renew_at = time.monotonic() + self.lease_seconds / 3
        while True:
            if time.monotonic() >= sources_at:
                await self._read_sources()
                sources_at = time.monotonic() + SOURCES_EVERY
            if time.monotonic() >= renew_at:
                await self.held.renew()
                renew_at = time.monotonic() + self.lease_seconds / 3
            await self.sql(self.beat)
            await self._count_backlog()
            await asyncio.sleep(min(CARE_EVERY, self.lease_seconds / 3))

    async def _read_sources(self) -> None:
        self.sources = {source.name: source for source in await self.sql(lambda _: self.ledger.sources())}

    async def _count_backlog(self) -> None:
        """Segments saved and not yet claimed, announced or not. The ledger knows them whether or not Redis is there."""
        saved = self.writer.segments
        owed = await self.sql(lambda now: self.ledger.owed_segments(now=now, limit=self.high_water))
        self.backlog, self.counted_at = len(owed), saved

    # ---- what visits and errands ask for

    @property
    def full(self) -> bool:
        """Whether the workers are the high-water mark behind; what was saved since the last count, or will be, is taken as waiting too."""
        coming = -(-self.writer.unsaved // MAX_PAGES)
        return self.backlog + self.writer.segments - self.counted_at + coming >= self.high_water

    async def room(self) -> None:
        """Wait while the workers are more than the high-water mark behind. Raises Stopping."""
        while self.full:
            await self.stop.sleep(IDLE_POLL)
        self.stop.check()

    def go_deeper(self, links: Iterable[Link], depth: int) -> None:
        if len(self.depths) >= REMEMBERED:
            self.depths = dict(list(self.depths.items())[REMEMBERED // 2 :])
        self.depths |= {link.url: depth for link in links}

    async def know_sources(self, rows: Iterable[Owed]) -> None:
        """A source added a moment ago may be due before its plan was read: its homepage must not be taken without what it asks for."""
        if any(owed.source is not None and owed.source not in self.sources for owed in rows):
            await self._read_sources()

    def source_of(self, owed: Owed) -> Source | None:
        return self.sources.get(owed.source or "")

    def politeness_of(self, owed: Owed) -> Politeness:
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
                wait = min(wait * 2, MAX_RETRY_WAIT)

"""The frontier of one process: leases hosts, runs a worker for each, and renews the leases. It leases none while the workers are behind.

A crawl can end at a number of documents; then only so many pages are requested that no document exceeds the number.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from crawler.fetching.downloader import Downloader
from crawler.frontier.host_worker import HostWorker
from crawler.politeness.throttle import LeaseLostError, StopRequestedError, StopSignal
from crawler.segments.page_writer import PageWriter, recover_spool
from crawler.spider_runs.spider_worker import SpiderWorker
from crawler.state.crawl_state import CrawlLimits, CrawlState
from crawler.state.host_leases import HostLeases
from newsmill.archive.archive import Archive
from newsmill.archive.spool import Spool
from newsmill.model import State
from newsmill.storage.ledger import Ledger
from newsmill.storage.owner_ids import is_dead

log = logging.getLogger(__name__)

IDLE_POLL_SECONDS = 1.0  # between two queries for due hosts after one without any
BUSY_POLL_SECONDS = 0.2  # after one that leased some
MAX_IDLE_WAIT = timedelta(seconds=45)  # of a crawl that ends when it is idle, for a Retry-After or a Crawl-delay
SOURCES_INTERVAL_SECONDS = 15.0  # between two reads of the sources
MAINTENANCE_INTERVAL_SECONDS = 2.0  # between two counts of the backlog
MAX_SPIDER_RUNS = 4  # at once: each is a process with its own limit of memory
GRACE_SECONDS = 5.0  # for requests in flight after SIGTERM; `docker stop` kills after ten


@dataclass(frozen=True, slots=True)
class DocumentLimit:
    """`documents` counts those of sources; the sources together may have `target`."""

    sources: tuple[str, ...]
    target: int
    documents: Callable[[Collection[str]], int]

    def count_room(self, ledger: Ledger, in_progress: int) -> int:
        """How many more pages may be requested. `in_progress`: pages that this process has requested and not saved yet.

        A page moves from this process to the ledger and there to the documents. The counts are read in the same order, so that a page that
        moves meanwhile is counted twice and never left out.
        """
        states = ledger.progress.count(*self.sources).states
        waiting = states.get(State.FETCHED, 0) + states.get(State.PROCESSING, 0)
        return max(0, self.target - self.documents(self.sources) - waiting - in_progress)


@dataclass(frozen=True, slots=True)
class FrontierOptions:
    """How a process fetches."""

    hosts: int  # fetched from at once
    send_heartbeat: Callable[[datetime], None]
    spool: Path | None = None  # a local folder for pages that are not saved yet
    document_limit: DocumentLimit | None = None  # in place of CrawlLimits.max_pages
    ends_when_idle: bool = False  # `run` returns when no URL is due within MAX_IDLE_WAIT
    find_spider_log: Callable[[str], Path] | None = None  # the log file of a source's spider; None: run no spiders


class Frontier:
    """Decides which hosts this process fetches from."""

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        enqueue: Callable[[str], bool],
        downloader: Downloader,
        clock: Callable[[], datetime],
        stop: StopSignal,
        limits: CrawlLimits,
        options: FrontierOptions,
    ) -> None:
        """`enqueue` puts a segment's id on the queue; `clock` asks the database for the time."""
        self.archive = archive
        self.enqueue = enqueue
        self.send_heartbeat = options.send_heartbeat
        self.stop = stop
        self.max_hosts = options.hosts
        self.spool_folder = options.spool
        self.ends_when_idle = options.ends_when_idle
        self.find_spider_log = options.find_spider_log
        self.document_limit = options.document_limit
        self.writer = PageWriter(archive, ledger, enqueue, stop, clock, None if options.spool is None else Spool(options.spool))
        if options.document_limit is not None:
            limits = replace(limits, max_pages=0)  # until the first count
        self.state = CrawlState(ledger, downloader, self.writer, clock, stop, limits)
        self.host_leases = HostLeases(self.state)
        self.workers: dict[str, tuple[HostWorker | SpiderWorker, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Lease hosts until the crawler stops. A bug in one host's worker is logged and pauses that host; others are raised."""
        maintenance = asyncio.ensure_future(self._maintain())
        try:
            await self._recover()
            while True:
                for task in (maintenance, self.writer.task):
                    if task.done():  # only by a bug, and without the task nothing may be fetched
                        task.result()
                has_leased = not self.state.is_backlog_full and await self._lease_hosts()
                if self.ends_when_idle and not has_leased and await self._is_finished():
                    return
                await self.stop.sleep(BUSY_POLL_SECONDS if has_leased else IDLE_POLL_SECONDS)
        except StopRequestedError:
            return
        finally:
            maintenance.cancel()
            await asyncio.gather(maintenance, return_exceptions=True)

    async def close(self) -> None:
        """Release every host, and save the pages that were fetched."""
        self.stop.event.set()
        await self._end_workers()
        await self.writer.close()
        self.state.close_ledger()
        await self.state.parser.close()

    async def _recover(self) -> None:
        """Save what killed crawlers of this machine had fetched, and free what they had leased."""
        ledger, call_ledger = self.state.ledger, self.state.call_ledger
        if (folder := self.spool_folder) is not None:
            pages = await call_ledger(lambda now: recover_spool(folder, ledger, self.archive, self.enqueue, now))
            if pages:
                log.info("pages of a killed crawler saved from the spool: %d", pages)
        await call_ledger(lambda now: ledger.clock_repair.adjust(now=now))
        for owner in await call_ledger(lambda now: ledger.dead_leases.end(is_dead, now=now)):
            log.info("%s has ended; its leases are free", owner)
        await call_ledger(lambda now: ledger.url_leases.expire(now=now))

    async def _maintain(self) -> None:
        """Read the sources, renew the leases, send a heartbeat and count the backlog, each in its interval."""
        renewal_interval = self.state.lease_seconds / 3
        sources_at = 0.0
        renew_at = time.monotonic() + renewal_interval
        while True:
            if time.monotonic() >= sources_at:
                await self.state.read_sources()
                sources_at = time.monotonic() + SOURCES_INTERVAL_SECONDS
            if time.monotonic() >= renew_at:
                await self._renew_leases()
                renew_at = time.monotonic() + renewal_interval
            await self.state.call_ledger(self.send_heartbeat)
            await self.state.count_backlog()
            await self._apply_document_limit()
            await asyncio.sleep(min(MAINTENANCE_INTERVAL_SECONDS, renewal_interval))

    async def _apply_document_limit(self) -> None:
        """Let as many more pages be requested as documents are missing to the limit."""
        limit = self.document_limit
        if limit is None:
            return
        requested = self.state.requested_pages
        in_progress = self.writer.unsaved_pages + sum(worker.pages_in_progress for worker, _ in self.workers.values())
        self.state.max_pages = requested + await self.state.call_ledger(lambda _: limit.count_room(self.state.ledger, in_progress))

    async def _is_finished(self) -> bool:
        """Whether no worker runs, and the limit of pages is reached or nothing is due soon."""
        state = self.state
        if self.workers:
            return False
        if state.is_page_limit_reached:
            return True
        return not await state.call_ledger(lambda now: state.ledger.progress.is_fetch_due(state.only_source, until=now + MAX_IDLE_WAIT))

    async def _lease_hosts(self) -> bool:
        """Lease hosts up to `max_hosts`, and runs of spiders up to MAX_SPIDER_RUNS, and start a worker for each. Whether there were any."""
        if self.state.is_page_limit_reached:
            return False
        spiders = sum(isinstance(worker, SpiderWorker) for worker, _ in self.workers.values())
        free = self.max_hosts - len(self.workers) + spiders
        leases = await self.host_leases.lease(free) if free > 0 else []
        for lease in leases:
            self._start(lease.host, HostWorker(self.state, self.host_leases, lease))
        find_log = self.find_spider_log
        if find_log is None or spiders >= MAX_SPIDER_RUNS or not self.state.has_spiders:
            return bool(leases)
        runs = await self.host_leases.lease(MAX_SPIDER_RUNS - spiders, spiders=True)
        for lease in runs:
            self._start(lease.host, SpiderWorker(self.state, lease, find_log))
        return bool(leases or runs)

    def _start(self, host: str, worker: HostWorker | SpiderWorker) -> None:
        """Start a worker, unless one is at work: a clock that jumps ends its lease early, and the host is leased again."""
        if host in self.workers and not self.workers[host][1].done():
            return
        task = asyncio.ensure_future(worker.run())
        self.workers[host] = worker, task
        task.add_done_callback(partial(self._worker_ended, host))

    def _worker_ended(self, host: str, task: asyncio.Task[None]) -> None:
        if host in self.workers and self.workers[host][1] is task:  # else the host was leased again before this callback
            del self.workers[host]
            self.host_leases.forget(host)
        if not self.workers:
            self.writer.flush()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LeaseLostError):
            log.warning("lost the lease of host %s", host)
        elif error is not None and not isinstance(error, StopRequestedError):
            log.error("the worker of host %s failed", host, exc_info=error)

    async def _renew_leases(self) -> None:
        """Renew the leases, and stop the worker of a host that another crawler holds."""
        for host in await self.host_leases.renew():
            log.warning("lost the lease of host %s", host)
            worker, task = self.workers[host]
            worker.has_lost_lease = True
            task.cancel()

    async def _end_workers(self) -> None:
        """Wait GRACE_SECONDS for requests in flight, then cancel the workers. Each releases its host."""
        tasks = [task for _, task in self.workers.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

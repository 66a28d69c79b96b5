"""Writes fetched pages into segments: first the archive, then the ledger, then the queue. Its bounded input slows all fetching down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

from crawler.politeness.throttle import StopRequestedError, StopSignal
from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES, Archive
from newsmill.archive.spool import Spool, SpooledPage, SpoolFile, orphaned_spools
from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.model import LeasedUrl, Page
from newsmill.storage.ledger import Fetched, Ledger

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_SEGMENT_SECONDS = 2.0  # from its first page
FIRST_SEGMENT_SECONDS = 0.0  # of a process: the user who starts a crawl waits for its first document
MAX_QUEUED_PAGES = 64
MAX_QUEUED_BYTES = 32 * 1024 * 1024
RETRY_SECONDS = 10.0  # between two tries to save a segment


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page with the leased URL it was fetched for, and the spool file that holds it."""

    leased_url: LeasedUrl
    page: Page
    spool_file: SpoolFile | None = None


class QueueSignal(Enum):
    """An instruction in the queue, between pages."""

    FLUSH = "write the pages that have come"
    END = "write the pages that have come, then end"


class PageWriter:
    """A task that drains the queue of fetched pages into segments. Compression, fsync and commits run in one thread of its own."""

    def __init__(
        self,
        archive: Archive,
        ledger: Ledger,
        enqueue: Callable[[str], bool],
        stop: StopSignal,
        clock: Callable[[], datetime],
        spool: Spool | None = None,
    ) -> None:
        """`enqueue` puts a segment's id on the queue of the workers. If it returns False, the scheduler does it later."""
        self.archive = archive
        self.ledger = ledger
        self.enqueue = enqueue
        self.stop = stop
        self.clock = clock
        self.spool = spool
        self.queue: asyncio.Queue[FetchedPage | QueueSignal] = asyncio.Queue(MAX_QUEUED_PAGES)
        self.queued_bytes = 0
        self.saved_segments = 0
        self.unsaved_pages = 0  # in the queue, or in a segment that is being saved
        self._archive_outage = OutageLog(log, "the archive accepts pages again")
        self._ledger_outage = OutageLog(log, "fetched pages are recorded again")
        self._space_freed = asyncio.Condition()
        self._thread = ThreadPoolExecutor(1, "writer")
        self.task = asyncio.ensure_future(self._run())

    async def put(self, leased_url: LeasedUrl, page: Page) -> None:
        """Add a page; waits while the queue is full. The page is in the spool first, so a kill of the process does not lose it.

        A page with further pages is not: after a kill, this rare page is fetched again.
        """
        spool_file = None
        if self.spool is not None and not page.parts:
            spool_file = self.spool.write(SpooledPage(leased_url.id, leased_url.fence, page), now=page.fetched_at)
        size = page.size
        try:
            async with self._space_freed:
                await self._space_freed.wait_for(lambda: self.queued_bytes < MAX_QUEUED_BYTES)
            self.queued_bytes += size
            try:
                await self.queue.put(FetchedPage(leased_url, page, spool_file))
            except asyncio.CancelledError:
                self.queued_bytes -= size
                raise
        except asyncio.CancelledError:
            # The host's lease is lost, and another crawler fetches the page. If the crawler stops instead, its next start saves the page.
            if self.spool is not None and not self.stop.event.is_set():
                self.spool.release(spool_file)
            raise
        self.unsaved_pages += 1

    def flush(self) -> None:
        """Write the pages that have come: no others are being fetched."""
        if not self.queue.full():
            self.queue.put_nowait(QueueSignal.FLUSH)

    async def close(self) -> None:
        """Write the pages that have come, then end."""
        await self.queue.put(QueueSignal.END)
        await self.task
        self._thread.shutdown()

    async def _run(self) -> None:
        has_more = True
        while has_more:
            batch, has_more = await self._next_batch()
            if batch:
                await self._save(batch)
                self.unsaved_pages -= len(batch)

    async def _next_batch(self) -> tuple[list[FetchedPage], bool]:
        """The next segment's pages, and whether more may come."""
        batch: list[FetchedPage] = []
        size = 0
        deadline = None
        while len(batch) < MAX_SEGMENT_PAGES and size < MAX_SEGMENT_BYTES:
            try:
                async with asyncio.timeout_at(deadline):
                    item = await self.queue.get()
            except TimeoutError:
                break
            if item is QueueSignal.END:
                return batch, False
            if item is QueueSignal.FLUSH:
                if batch:
                    break
                continue
            deadline = deadline or asyncio.get_running_loop().time() + (
                MAX_SEGMENT_SECONDS if self.saved_segments else FIRST_SEGMENT_SECONDS
            )
            batch.append(item)
            size += item.page.size
            async with self._space_freed:
                self.queued_bytes -= item.page.size
                self._space_freed.notify_all()
        return batch, True

    async def _save(self, batch: list[FetchedPage]) -> None:
        """Save, then enqueue. Rows that another crawler has leased meanwhile do not change, because their fence is higher."""
        try:
            segment = await self._retry(self._archive_outage, self.archive.write, [fetched.page for fetched in batch])
            pairs = zip(batch, segment.offsets, strict=True)
            rows = [fetched_row(fetched.leased_url.id, fetched.leased_url.fence, fetched.page, offset) for fetched, offset in pairs]
            await self._retry(self._ledger_outage, self.ledger.url_leases.save_segment, segment, rows)
        except ServiceError as e:
            spooled = sum(fetched.spool_file is not None for fetched in batch)
            log.error("fetched pages not saved: %d (%s). The next crawler saves %d of them from the spool", len(batch), e, spooled)
            return
        if self.spool is not None:
            for fetched in batch:
                self.spool.release(fetched.spool_file)
        self.saved_segments += 1
        await asyncio.get_running_loop().run_in_executor(self._thread, self.enqueue, segment.id)

    async def _retry(self, outage: OutageLog, call: Callable[..., T], *args: object) -> T:
        """Run the call in the thread, again while the disk is full or the database is away. Raises ServiceError if the crawler stops.

        Meanwhile the queue fills and every fetch waits, so no page is fetched that cannot be saved.
        """
        while True:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*args, now=self.clock()))
                outage.report_success()
                return result
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                outage.report_failure(e, f"a try every {RETRY_SECONDS:.0f} s")
                with contextlib.suppress(StopRequestedError):
                    await self.stop.sleep(RETRY_SECONDS)


def recover_spool(folder: Path, ledger: Ledger, archive: Archive, enqueue: Callable[[str], bool], now: datetime) -> int:
    """Save the pages in the spool files of killed crawlers, so that they are not fetched again. Returns the number of pages.

    Rows that another crawler has leased meanwhile, or that were saved before the kill, have another fence and are left out. A kill during
    the recovery is safe: the next one does the same. Raises ServiceError; the files are then kept for the next try.
    """
    saved = 0
    for orphan in orphaned_spools(folder):
        pages = [entry for entry in orphan.entries() if isinstance(entry, SpooledPage)]
        awaited_ids = ledger.url_leases.find_awaited([(spooled.id, spooled.fence) for spooled in pages])
        saved += _save_spooled([spooled for spooled in pages if spooled.id in awaited_ids], ledger, archive, enqueue, now)
        orphan.remove()
    return saved


def _save_spooled(pages: Sequence[SpooledPage], ledger: Ledger, archive: Archive, enqueue: Callable[[str], bool], now: datetime) -> int:
    if not pages:
        return 0
    segment = archive.write([spooled.page for spooled in pages], now=now)
    rows = [fetched_row(spooled.id, spooled.fence, spooled.page, offset) for spooled, offset in zip(pages, segment.offsets, strict=True)]
    saved = ledger.url_leases.save_segment(segment, rows, now=now)
    enqueue(segment.id)
    return saved


def fetched_row(id_: int, fence: int, page: Page, offset: int) -> Fetched:
    """The ledger's record of a page at `offset` in its segment."""
    return Fetched(
        id_,
        fence,
        offset,
        page.url,
        page.status,
        page.header("ETag"),
        page.header("Last-Modified"),
        page.rendering,
        tuple(part.url for part in page.parts),
    )

"""Pages → segments: archived, then recorded, then announced. The queue in front of it is the back-pressure on all fetching."""

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

from crawler.spool import Spool, SpooledPage, SpoolFile, orphaned_spools
from crawler.throttle import StopRequestedError, StopSignal
from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.model import LeasedUrl, Page
from newsmill.storage.ledger import Fetched, Ledger

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_SEGMENT_PAGES = 32  # of a segment; DESIGN section 3
MAX_SEGMENT_SECONDS = 2.0  # from its first page
MAX_SEGMENT_BYTES = 16 * 1024 * 1024  # a few hostile pages of 10 MB must not pile up to hundreds
RETRY_SECONDS = 10.0
MAX_QUEUED_PAGES = 64
MAX_QUEUED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A leased row and the page that was fetched for it."""

    owed: LeasedUrl
    page: Page
    part: SpoolFile | None = None  # of the spool


class QueueSignal(Enum):
    """What may stand in the queue between pages."""

    HURRY = "write what you have"
    END = "write what you have and stop"


class PageWriter:
    """One task that drains the queue into segments, in a thread of its own (compression, fsync, one commit)."""

    def __init__(
        self,
        archive: Archive,
        ledger: Ledger,
        announce: Callable[[str], bool],
        stop: StopSignal,
        clock: Callable[[], datetime],
        spool: Spool | None = None,
    ) -> None:
        """`announce` puts a segment's id on the queue; False when it could not. The reconciler then does it later."""
        self.spool = spool
        self.stop = stop
        self.clock = clock
        self.archive = archive
        self.ledger = ledger
        self.announce = announce
        self.queue: asyncio.Queue[FetchedPage | QueueSignal] = asyncio.Queue(MAX_QUEUED_PAGES)
        self.waiting = 0  # bytes in the queue
        self.room = asyncio.Condition()
        self.thread = ThreadPoolExecutor(1, "writer")
        self.task = asyncio.ensure_future(self._run())
        self.segments = 0  # saved by this process
        self.unsaved = 0  # pages that were handed over and are in no segment yet

    async def put(self, owed: LeasedUrl, page: Page) -> None:
        """Hand over a page; waits while too much waits to be written. From its first moment a kill does not lose it."""
        part = None if self.spool is None else self.spool.keep(owed.id, owed.fence, page, now=page.fetched_at)
        size = len(page.body)
        try:
            async with self.room:
                await self.room.wait_for(lambda: self.waiting < MAX_QUEUED_BYTES)
            self.waiting += size
            try:
                await self.queue.put(FetchedPage(owed, page, part))
            except asyncio.CancelledError:
                self.waiting -= size
                raise
        except asyncio.CancelledError:  # the visit lost its host, and this page with it; at the end of all it waits for the next start
            if self.spool is not None and not self.stop.event.is_set():
                self.spool.release(part)
            raise
        self.unsaved += 1

    async def close(self) -> None:
        """Write what was handed over, then stop."""
        await self.queue.put(QueueSignal.END)
        await self.task
        self.thread.shutdown()

    def hurry(self) -> None:
        """Nothing is being fetched, so no more pages are worth waiting for."""
        if not self.queue.full():
            self.queue.put_nowait(QueueSignal.HURRY)

    async def _run(self) -> None:
        open_ = True
        while open_:
            batch, open_ = await self._batch()
            if batch:
                await self._save(batch)
                self.unsaved -= len(batch)

    async def _save(self, batch: list[FetchedPage]) -> None:
        """Save first, then announce. Rows that were lost to another crawler in the meantime change nothing (fence)."""
        try:
            segment = await self._persist(self.archive.write, [caught.page for caught in batch])
            pairs = zip(batch, segment.offsets, strict=True)
            rows = [fetched_row(caught.owed.id, caught.owed.fence, caught.page, offset) for caught, offset in pairs]
            await self._persist(self.ledger.save_segment, segment, rows)
        except ServiceError as e:
            kept = sum(caught.part is not None for caught in batch)
            log.error("%d fetched pages could not be saved (%s); the next start saves %d of them from the spool", len(batch), e, kept)
            return
        if self.spool is not None:
            for caught in batch:
                self.spool.release(caught.part)
        self.segments += 1
        await asyncio.get_running_loop().run_in_executor(self.thread, self.announce, segment.id)

    async def _persist(self, call: Callable[..., T], *args: object) -> T:
        """Do it in the thread; while the disk is full or the database away, wait and try again. Raises ServiceError when we are to stop.

        Meanwhile the queue fills and every fetcher waits: nothing is fetched that could not be kept.
        """
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self.thread, lambda: call(*args, now=self.clock()))
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                log.warning("%s; trying again in %.0f s", e, RETRY_SECONDS)
                with contextlib.suppress(StopRequestedError):
                    await self.stop.sleep(RETRY_SECONDS)

    async def _batch(self) -> tuple[list[FetchedPage], bool]:
        """The next segment's pages, and whether more may come."""
        batch: list[FetchedPage] = []
        size = 0
        until = None
        while len(batch) < MAX_SEGMENT_PAGES and size < MAX_SEGMENT_BYTES:
            try:
                async with asyncio.timeout_at(until):
                    caught = await self.queue.get()
            except TimeoutError:
                break
            if caught is QueueSignal.END:
                return batch, False
            if caught is QueueSignal.HURRY:
                if batch:
                    break
                continue
            until = until or asyncio.get_running_loop().time() + MAX_SEGMENT_SECONDS
            batch.append(caught)
            size += len(caught.page.body)
            await self._made_room(len(caught.page.body))
        return batch, True

    async def _made_room(self, size: int) -> None:
        async with self.room:
            self.waiting -= size
            self.room.notify_all()


def fetched_row(id_: int, fence: int, page: Page, offset: int) -> Fetched:
    """What the ledger keeps of a page that lies at that offset of its segment."""
    return Fetched(id_, fence, offset, page.url, page.status, page.header("ETag"), page.header("Last-Modified"))


# What a killed crawler had fetched and not saved yet: its heir saves it, so that no site is asked for the same page again.


def recover_spool(folder: Path, ledger: Ledger, archive: Archive, announce: Callable[[str], bool], now: datetime) -> int:
    """Save what dead crawlers left in the folder; how many pages. Raises ServiceError: what was not saved is found at the next try.

    Rows that another crawler has taken meanwhile are left to it, and those that were saved before the death are known by their fence: an
    heir who is killed over this leaves nothing that the next one cannot do again.
    """
    saved = 0
    for heritage in orphaned_spools(folder):
        pages = list(heritage.pages())
        wanted = ledger.find_awaited_rows([(spooled.id, spooled.fence) for spooled in pages])
        saved += _save([spooled for spooled in pages if spooled.id in wanted], ledger, archive, announce, now)
        heritage.remove()
    return saved


def _save(pages: Sequence[SpooledPage], ledger: Ledger, archive: Archive, announce: Callable[[str], bool], now: datetime) -> int:
    if not pages:
        return 0
    segment = archive.write([spooled.page for spooled in pages], now=now)
    rows = [fetched_row(spooled.id, spooled.fence, spooled.page, offset) for spooled, offset in zip(pages, segment.offsets, strict=True)]
    saved = ledger.save_segment(segment, rows, now=now)
    announce(segment.id)
    return saved

"""Pages → segments: archived, then recorded, then announced. The queue in front of it is the back-pressure on all fetching."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from newsmill.exceptions import ServiceError
from newsmill.keep.ledger import Fetched
from newsmill.model import Owed, Page, Segment

log = logging.getLogger(__name__)

MAX_PAGES = 32  # of a segment; DESIGN section 3
MAX_SECONDS = 2.0  # from its first page
MAX_BYTES = 16 * 1024 * 1024  # a few hostile pages of 10 MB must not pile up to hundreds
WAITING_PAGES = 64
WAITING_BYTES = 32 * 1024 * 1024


class Archive(Protocol):
    def write(self, pages: Sequence[Page], *, now: datetime) -> Segment: ...


class Ledger(Protocol):
    def save_segment(self, segment: Segment, rows: Sequence[Fetched], *, now: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class Catch:
    """A leased row and the page that was fetched for it."""

    owed: Owed
    page: Page


class Writer:
    """One task that drains the queue into segments, in a thread of its own (compression, fsync, one commit)."""

    def __init__(self, archive: Archive, ledger: Ledger, announce: Callable[[str], bool]) -> None:
        """`announce` puts a segment's id on the queue; False when it could not. The reconciler then does it later."""
        self.archive = archive
        self.ledger = ledger
        self.announce = announce
        self.queue: asyncio.Queue[Catch | None] = asyncio.Queue(WAITING_PAGES)
        self.waiting = 0  # bytes in the queue
        self.room = asyncio.Condition()
        self.thread = ThreadPoolExecutor(1, "writer")
        self.task = asyncio.ensure_future(self._run())
        self.saved = 0

    async def put(self, owed: Owed, page: Page) -> None:
        """Hand over a page; waits while too much waits to be written."""
        async with self.room:
            await self.room.wait_for(lambda: self.waiting < WAITING_BYTES)
        self.waiting += len(page.body)
        await self.queue.put(Catch(owed, page))

    async def close(self) -> None:
        """Write what was handed over, then stop."""
        await self.queue.put(None)
        await self.task
        self.thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        open_ = True
        while open_:
            batch, open_ = await self._batch()
            if batch:
                self.saved += await loop.run_in_executor(self.thread, self._save, batch)

    async def _batch(self) -> tuple[list[Catch], bool]:
        """The next segment's pages, and whether more may come."""
        batch: list[Catch] = []
        size = 0
        until = None
        while len(batch) < MAX_PAGES and size < MAX_BYTES:
            try:
                async with asyncio.timeout_at(until):
                    caught = await self.queue.get()
            except TimeoutError:
                break
            if caught is None:
                return batch, False
            until = until or asyncio.get_running_loop().time() + MAX_SECONDS
            batch.append(caught)
            size += len(caught.page.body)
            await self._made_room(len(caught.page.body))
        return batch, True

    async def _made_room(self, size: int) -> None:
        async with self.room:
            self.waiting -= size
            self.room.notify_all()

    def _save(self, batch: list[Catch]) -> int:
        """Save first, then announce. How many rows were still ours."""
        now = datetime.now(UTC)
        segment = self.archive.write([caught.page for caught in batch], now=now)
        rows = [_row(caught, offset) for caught, offset in zip(batch, segment.offsets, strict=True)]
        saved = self.ledger.save_segment(segment, rows, now=datetime.now(UTC))
        if saved:
            self.announce(segment.id)
        return saved


def _row(caught: Catch, offset: int) -> Fetched:
    owed, page = caught.owed, caught.page
    return Fetched(owed.id, owed.fence, offset, page.url, page.status, page.header("ETag"), page.header("Last-Modified"))

"""Stores the results of a run in batches: pages and finished articles in the archive, links in the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from crawler.spider_runs.run_report import OutputCounts
from crawler.spider_runs.spider_output import FOUND_BY
from crawler.state.crawl_state import BACKLOG_POLL_SECONDS
from crawler.state.ledger_calls import LedgerCalls
from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES
from newsmill.context import AppContext
from newsmill.intake.page_submission import store_pages
from newsmill.model import Link, Page, PageStatus

log = logging.getLogger(__name__)

MAX_BATCH_SECONDS = 2.0  # from its first page or link, as the crawler's segments
MAX_BATCH_LINKS = 500


class StoringSink:
    """Stores pages and links in batches. A kill loses at most the last batch, whose pages the next run yields again."""

    def __init__(
        self,
        context: AppContext,
        calls: LedgerCalls,
        enqueue: Callable[[str], bool],
        counts: Callable[[], OutputCounts],
        *,
        source: str,
        on_removal: Callable[[], None],
    ) -> None:
        """`enqueue` puts a segment's id on the queue. `counts` are those of the run. `on_removal` is called if the source is gone."""
        self.context = context
        self.calls = calls
        self.enqueue = enqueue
        self.counts = counts
        self.source = source
        self.on_removal = on_removal
        self._pages: list[Page] = []
        self._links: list[Link] = []
        self._bytes = 0
        self._began_at: float | None = None  # time.monotonic() of the first page or link of the batch
        self._lock = asyncio.Lock()

    async def put_page(self, page: Page, *, is_item: bool) -> None:
        self._begin()
        self._pages.append(page)
        self._bytes += len(page.body)
        if len(self._pages) >= MAX_SEGMENT_PAGES or self._bytes >= MAX_SEGMENT_BYTES:
            await self.flush()

    async def put_link(self, link: Link) -> None:
        self._begin()
        self._links.append(link)
        if len(self._links) >= MAX_BATCH_LINKS:
            await self.flush()

    async def flush(self) -> None:
        """Store what has come. Waits while the workers are behind, so that the spider waits too."""
        async with self._lock:
            pages, links = self._pages, self._links
            self._pages, self._links, self._bytes, self._began_at = [], [], 0, None
            lost = len(pages) + len(links)
            try:
                await self._store(pages, links)
                lost = 0
            finally:
                self.counts().lost += lost

    async def _store(self, pages: list[Page], links: list[Link]) -> None:
        if (links or pages) and await self.calls.call_ledger(lambda _: self.context.ledger.sources.get(self.source)) is None:
            self.on_removal()  # removed or renamed while its spider runs: its pages would come back without it
            return
        if links:
            added = await self.calls.call_ledger(lambda now: self.context.ledger.links.add(links, now=now))
            self.counts().new_links += added.new
        if pages:
            await self._wait_for_workers()
            receipts = await self.calls.call_ledger(lambda _: store_pages(self.context, self.enqueue, pages, FOUND_BY))
            for receipt in receipts:
                self._count(receipt.status, receipt.url, receipt.reason)

    async def maintain(self) -> None:
        """Store batches that are old enough, until the task is cancelled."""
        while True:
            await asyncio.sleep(MAX_BATCH_SECONDS / 4)
            if self._began_at is not None and time.monotonic() - self._began_at >= MAX_BATCH_SECONDS:
                await self.flush()

    def _begin(self) -> None:
        if self._began_at is None:
            self._began_at = time.monotonic()

    def _count(self, status: PageStatus, url: str, reason: str | None) -> None:
        counts = self.counts()
        match status:
            case PageStatus.QUEUED:
                counts.queued_pages += 1
            case PageStatus.KNOWN:
                counts.known_pages += 1
            case PageStatus.REJECTED:
                counts.rejected_pages += 1
                log.warning("page %s left out: %s", url, reason)

    async def _wait_for_workers(self) -> None:
        limit = self.context.settings.high_water
        while not self.calls.stop.event.is_set():
            waiting = await self.calls.call_ledger(lambda now: self.context.ledger.segments.list_pending(now=now, limit=limit))
            if len(waiting) < limit:
                return
            await asyncio.sleep(BACKLOG_POLL_SECONDS)

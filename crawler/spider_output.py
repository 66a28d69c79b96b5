"""What a spider yields goes into the archive and the ledger in batches: pages, links for the continuous crawl, and finished articles."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from crawler.crawl_state import LedgerCalls
from crawler.spider_process import OutputCounts
from newsmill.context import AppContext
from newsmill.exceptions import UrlError
from newsmill.model import Link, Page, PageStatus
from newsmill.scrapy_items import LinkItem, PageItem, make_article_item, make_link, make_page
from newsmill.submission import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES, make_item_page, store_pages

log = logging.getLogger(__name__)

FOUND_BY = "spider"  # in the rows of the ledger
MAX_BATCH_SECONDS = 2.0  # from its first page or link, as the crawler's segments
MAX_BATCH_LINKS = 500
BACKLOG_POLL_SECONDS = 1.0  # between two looks at a backlog that is full


class Sink(Protocol):
    """Where the results of a run go."""

    async def put_page(self, page: Page, *, is_item: bool) -> None: ...

    async def put_link(self, link: Link) -> None: ...

    async def flush(self) -> None: ...


class SpiderOutput:
    """Takes the items of a spider, up to its limit, and counts them."""

    def __init__(self, sink: Sink, source: str, *, max_items: int, clock: Callable[[], datetime], on_limit: Callable[[], None]) -> None:
        """`on_limit` is called once, when the spider has yielded `max_items` pages, links and articles."""
        self.sink = sink
        self.source = source
        self.max_items = max_items
        self.clock = clock
        self.on_limit = on_limit
        self.counts = OutputCounts()
        self.has_reached_limit = False

    async def take(self, item: Any) -> None:
        """Handle one item, after the spider's own pipelines. The call returns when the item is in the batch or stored."""
        if self.has_reached_limit:
            return
        if isinstance(item, PageItem):
            self.counts.pages += 1
            await self.sink.put_page(make_page(item, fetched_at=self.clock(), source=self.source), is_item=False)
        elif isinstance(item, LinkItem):
            await self._take_link(item)
        elif (article := make_article_item(item)) is not None:
            self.counts.articles += 1
            await self.sink.put_page(make_item_page(article, fetched_at=self.clock(), source=self.source), is_item=True)
        else:
            self._ignore(item)
        if self.counts.pages + self.counts.links + self.counts.articles >= self.max_items:
            self.has_reached_limit = True
            self.on_limit()

    async def _take_link(self, item: LinkItem) -> None:
        try:
            link = make_link(item, source=self.source, found_by=FOUND_BY)
        except UrlError as error:
            log.warning("link left out: %s", error)
            self.counts.bad_links += 1
            return
        self.counts.links += 1
        await self.sink.put_link(link)

    def _ignore(self, item: Any) -> None:
        self.counts.ignored += 1
        if self.counts.ignored == 1:
            log.warning("item left out: it has no url, title and text (%s); other such items are counted only", type(item).__name__)


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
            if (links or pages) and await self.calls.call_ledger(lambda _: self.context.ledger.source(self.source)) is None:
                self.on_removal()  # removed or renamed while its spider runs: its pages would come back without it
                return
            if links:
                added = await self.calls.call_ledger(lambda now: self.context.ledger.add(links, now=now))
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
            waiting = await self.calls.call_ledger(lambda now: self.context.ledger.pending_segments(now=now, limit=limit))
            if len(waiting) < limit:
                return
            await asyncio.sleep(BACKLOG_POLL_SECONDS)


class PrintingSink:
    """Writes one JSON object per page, link and article."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.pipe = pipe

    async def put_page(self, page: Page, *, is_item: bool) -> None:
        """Extract the page as a worker would, without the profile of its site, and print the result."""
        # it costs 0.12 s of CPU, and only a printed page is read here
        from newsmill.extraction.pipeline import read

        result = read(page)
        document = result.document
        self._print(
            {
                "kind": "article" if is_item else "page",
                "url": page.requested_url,
                "outcome": result.ending.outcome.value,
                "detail": result.ending.detail,
                "title": None if document is None else document.title,
                "published_at": None if document is None or document.published_at is None else document.published_at.isoformat(),
                "words": None if document is None else document.word_count,
            }
        )

    async def put_link(self, link: Link) -> None:
        published_at = link.hint.published_at
        self._print(
            {
                "kind": "link",
                "url": link.url,
                "title": link.hint.title,
                "published_at": None if published_at is None else published_at.isoformat(),
            }
        )

    async def flush(self) -> None:
        """Nothing is buffered."""

    def _print(self, found: dict[str, Any]) -> None:
        self.pipe.write(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

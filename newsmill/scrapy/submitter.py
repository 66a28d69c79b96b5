"""The way of a spider's pages into a store or to a server."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.utils.asyncio import call_later, run_in_thread, sleep
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES
from newsmill.archive.spool import Spool, SpooledLink, SpooledPage, SpoolFile, orphaned_spools
from newsmill.exceptions import AuthenticationError, ConfigError, NewsmillError, ServiceError, UrlError
from newsmill.intake.scrapy_items import UNREADABLE_DATE_MESSAGE, LinkItem, PageItem, find_unreadable_dates, make_link, make_page
from newsmill.model import Link, Page
from newsmill.scrapy.page_destinations import FOUND_BY, PageDestination, open_destination

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

FLUSH_SECONDS = 2.0  # after which pages are stored, if fewer than a segment's have come
MAX_TRIES = 6  # to store a batch, over a minute; the crawl ends then, because its further pages could not be stored either
POLL_SECONDS = 0.05
UNREADABLE_DATES = "unreadable_dates"
REJECTED_LINKS = "rejected_links"
UNAVAILABLE, REFUSED, FAILED = "newsmill_unavailable", "newsmill_refused", "newsmill_failed"  # finish reasons
SOURCE_SPIDER_SETTING = "NEWSMILL_SOURCE_SPIDER"  # True in a run of a source's own spider


def find_finish_reason(error: Exception) -> str:
    """Scrapy's `finish_reason` of a crawl that ends because a batch could not be stored."""
    if isinstance(error, ConfigError | AuthenticationError):
        return REFUSED
    return UNAVAILABLE if isinstance(error, NewsmillError) else FAILED


@dataclass(slots=True)
class _Batch:
    """What is stored at once. `waiters` has one for each page and link; `files` those that the spool could write."""

    pages: list[Page] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    waiters: list[Deferred[bool]] = field(default_factory=list)
    files: list[SpoolFile] = field(default_factory=list)
    size: int = 0  # bytes of the bodies


class Submitter:
    """Collects the pages and links of one crawl and stores them in batches, in a thread.

    Each is in the spool before it waits for its batch. The next crawl stores what a killed crawl, or one whose destination was away, left.
    """

    _by_crawler: ClassVar[dict[Crawler, Submitter]] = {}

    def __init__(self, crawler: Crawler, destination: PageDestination, source: str | None) -> None:
        self.source = source
        self._crawler = crawler
        self._destination = destination
        self._spool = Spool(destination.spool_folder)
        self._batch = _Batch()
        # A batch that needs more than Scrapy handles at once would wait for FLUSH_SECONDS each time.
        self._max_pages = max(1, min(MAX_SEGMENT_PAGES, crawler.settings.getint("CONCURRENT_ITEMS")))
        self._max_bytes = min(MAX_SEGMENT_BYTES, crawler.settings.getint("SCRAPER_SLOT_MAX_ACTIVE_SIZE") // 2)
        self._is_flush_planned = False
        self._running_flushes = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # one batch at a time: more would only wait for each other in the database
        crawler.signals.connect(self._store_spooled, signal=signals.spider_opened)
        crawler.signals.connect(self._close, signal=signals.spider_closed)

    @classmethod
    def of(cls, crawler: Crawler) -> Submitter:
        """The submitter of a crawl, which its pipeline and its middleware share.

        Raises NotConfigured without NEWSMILL_DATA and NEWSMILL_URL and in the spider of a source, and NewsmillError if the destination
        cannot be opened.
        """
        if crawler.settings.getbool(SOURCE_SPIDER_SETTING):
            raise NotConfigured("Newsmill stores what the spider of a source yields; yield page(response), and remove this component")
        if crawler not in cls._by_crawler:
            data, url, token, source = (crawler.settings.get(f"NEWSMILL_{name}") or None for name in ("DATA", "URL", "TOKEN", "SOURCE"))
            if data is None and url is None:
                raise NotConfigured("set NEWSMILL_DATA or NEWSMILL_URL to store pages in Newsmill")
            cls._by_crawler[crawler] = cls(crawler, open_destination(data, url, token), source)
        return cls._by_crawler[crawler]

    async def add_response(self, item: PageItem) -> bool:
        """Store the page of a response. Returns when it is stored: True, or False if it could not be."""
        return await maybe_deferred_to_future(self.put_response(item))

    async def add_page(self, page: Page) -> bool:
        """Store a page, as `add_response`."""
        return await maybe_deferred_to_future(self._put_page(page))

    async def add_link(self, item: LinkItem) -> bool:
        """Have Newsmill fetch a link, as `add_response`. An invalid URL is logged, and True is returned."""
        try:
            new = make_link(item, source=self.source, found_by=FOUND_BY)
        except UrlError as error:
            log.warning("link %r is not stored: %s", item.url[:200], error)
            self._count(Counter({REJECTED_LINKS: 1}))
            return True
        self._batch.links.append(new)
        return await maybe_deferred_to_future(self._wait_for_batch(SpooledLink(new)))

    def put_response(self, item: PageItem) -> Deferred[bool]:
        """Put the page of a response into the batch. The result is that of `add_response`."""
        return self._put_page(make_page(item, fetched_at=datetime.now(UTC), source=self.source))

    def _put_page(self, page: Page) -> Deferred[bool]:
        self._batch.pages.append(page)
        self._batch.size += len(page.body)
        return self._wait_for_batch(SpooledPage(0, 0, page))

    def count_unreadable_dates(self, item: Any) -> None:
        """Count the dates of an item that cannot be read; the first of the crawl is logged."""
        for text in find_unreadable_dates(item):
            if not self._counts[UNREADABLE_DATES]:
                log.warning(UNREADABLE_DATE_MESSAGE, text)
            self._count(Counter({UNREADABLE_DATES: 1}))

    def _wait_for_batch(self, entry: SpooledPage | SpooledLink) -> Deferred[bool]:
        batch, waiter = self._batch, Deferred[bool]()
        batch.waiters.append(waiter)
        if (file := self._spool.write(entry, now=datetime.now(UTC))) is not None:
            batch.files.append(file)
        if batch.size >= self._max_bytes or max(len(batch.pages), len(batch.links)) >= self._max_pages:
            deferred_from_coro(self._flush())
        elif not self._is_flush_planned:
            self._is_flush_planned = True
            call_later(FLUSH_SECONDS, self._start_flush)
        return waiter

    def _start_flush(self) -> None:
        self._is_flush_planned = False
        deferred_from_coro(self._flush())

    async def _flush(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if not batch.waiters:
            return
        is_stored = False
        self._running_flushes += 1
        try:
            self._count(await run_in_thread(self._store, batch.pages, batch.links))
            is_stored = True
            for file in batch.files:
                self._spool.release(file)
        except Exception as error:  # the border to Scrapy, which would log an error and end the crawl as finished
            reason = find_finish_reason(error)
            has_traceback = reason == FAILED  # of a bug
            message = f"Newsmill has failed: {type(error).__name__}: {error}" if has_traceback else error
            kept, lost = len(batch.files), len(batch.waiters) - len(batch.files)
            log.error(
                "%d pages and links are kept for the next crawl, %d are lost, and the crawl ends: %s",
                kept, lost, message, exc_info=has_traceback,
            )  # fmt: skip
            self._count(+Counter(kept=kept, lost=lost))
            if self._crawler.stats is not None:
                self._crawler.stats.set_value("finish_reason", reason)  # the last batch fails when Scrapy has set it
            if self._crawler.engine is not None and self._crawler.spider is not None:
                deferred_from_coro(self._crawler.engine.close_spider_async(reason=reason))
        finally:
            self._running_flushes -= 1
            for waiter in batch.waiters:
                waiter.callback(is_stored)

    async def _store_spooled(self) -> None:
        """Before the first request: store what earlier crawls have left in the spool."""
        try:
            stored = await run_in_thread(self._read_spool)
        except NewsmillError as error:
            log.warning("pages of an earlier crawl stay in %s until the next one: %s", self._spool.folder, error)
            return
        if stored:
            log.info("pages and links of an earlier crawl stored: %d", stored)

    def _read_spool(self) -> int:
        """In a thread: store the orphaned files. Returns the number of pages and links. Raises NewsmillError."""
        stored = 0
        for orphan in orphaned_spools(self._spool.folder):
            entries = list(orphan.entries())
            if pages := [entry.page for entry in entries if isinstance(entry, SpooledPage)]:
                self._destination.store(pages)
            if links := [entry.link for entry in entries if isinstance(entry, SpooledLink)]:
                self._destination.add(links)
            orphan.remove()
            stored += len(entries)
        return stored

    def _store(self, pages: list[Page], links: list[Link]) -> Counter[str]:
        """In a thread: store a batch, again while Newsmill is away. Returns the numbers of receipts by status. Raises NewsmillError."""
        with self._lock:
            receipts = self._retry(self._destination.store, pages) if pages else ()
            refused = self._retry(self._destination.add, links) if links else 0
        for receipt in receipts:
            if receipt.reason is not None:
                log.warning("page %s is not stored: %s", receipt.url[:200], receipt.reason)
        return Counter([str(receipt.status) for receipt in receipts]) + Counter({"links": len(links) - refused, REJECTED_LINKS: refused})

    @staticmethod
    def _retry(call: Callable[[list[T]], R], entries: list[T]) -> R:
        for number in range(1, MAX_TRIES):
            try:
                return call(entries)
            except ServiceError as error:
                log.warning("%s; the next try is in %d s", error, 2**number)
                time.sleep(2**number)
        return call(entries)

    def _count(self, counts: Counter[str]) -> None:
        self._counts += counts
        for name, count in counts.items():
            if self._crawler.stats is not None:
                self._crawler.stats.inc_value(f"newsmill/{name}", count)

    async def _close(self) -> None:
        await self._flush()
        while self._running_flushes:
            await sleep(POLL_SECONDS)
        await run_in_thread(self._destination.close)
        self._by_crawler.pop(self._crawler, None)
        names = ("queued", "known", "rejected", "kept", "lost", "links", REJECTED_LINKS)
        log.info("Newsmill: %s", ", ".join(f"{self._counts[name]} {name.replace('_', ' ')}" for name in names))

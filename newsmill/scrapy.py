"""Newsmill for Scrapy projects. docs/guides/scrapy.md shows a spider of ten lines.

`NewsmillPipeline` stores what a spider yields: `page(response)`, `link(url)`, and any item with a URL, a title and a text. Other items pass
unchanged. `NewsmillMiddleware` stores every HTML response that reaches a callback, without a change to the spider. Both need one of the
settings NEWSMILL_DATA (a data folder) and NEWSMILL_URL with NEWSMILL_TOKEN; NEWSMILL_SOURCE names the source of the pages.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import HtmlResponse, Response
from scrapy.utils.asyncio import call_later, run_in_thread, sleep
from scrapy.utils.defer import deferred_from_coro

import newsmill
from newsmill.exceptions import NewsmillError, ServiceError, UrlError
from newsmill.model import Document, Link, Page
from newsmill.page_destinations import FOUND_BY, PageDestination, open_destination
from newsmill.scrapy_items import LinkItem, PageItem, link, make_article_item, make_link, make_page, page
from newsmill.submission import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES, make_item_page

__all__ = ["LinkItem", "NewsmillMiddleware", "NewsmillPipeline", "PageItem", "extract", "link", "page"]

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

FLUSH_SECONDS = 2.0  # after which pages are stored, if fewer than a segment's have come
MAX_TRIES = 6  # to store a batch, over a minute; the crawl ends then, because its further pages would be lost too
POLL_SECONDS = 0.05
META_KEY = "newsmill"  # False in a request's meta: NewsmillMiddleware does not store its response


def extract(response: Response, *, language: str | None = None) -> Document:
    """The document of a response. Stores nothing. `language`: BCP 47 tag of the site, for texts whose language is not recognised.

    Raises ExtractionError where the page holds no document.
    """
    content_type = response.headers.get("Content-Type")
    declared = None if content_type is None else content_type.decode("latin-1")
    return newsmill.extract(response.body, url=response.url, content_type=declared, language=language)


class NewsmillPipeline:
    """An item pipeline that stores pages, links and articles, and returns every item unchanged."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Submitter.of(crawler))

    async def process_item(self, item: Any) -> Any:
        """Store the item if it is one of Newsmill's, or an article with URL, title and text."""
        if isinstance(item, PageItem):
            await self._submitter.add_response(item)
        elif isinstance(item, LinkItem):
            await self._submitter.add_link(item)
        elif (article := make_article_item(item)) is not None:
            source = self._submitter.source
            await self._submitter.add_page(make_item_page(article, fetched_at=datetime.now(UTC), source=source))
        return item


class NewsmillMiddleware:
    """A spider middleware that stores every HTML response that reaches a callback."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Submitter.of(crawler))

    async def process_spider_output(self, response: Response, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Store the response, then pass on what its callback yields."""
        if is_wanted(response):
            await self._submitter.add_response(PageItem(response))
        async for item in result:
            yield item


def is_wanted(response: Response) -> bool:
    """Whether NewsmillMiddleware stores a response."""
    return isinstance(response, HtmlResponse) and response.meta.get(META_KEY) is not False


class Submitter:
    """Collects the pages of one crawl and stores them in batches, in a thread. After a kill, the next crawl stores the last batch."""

    _by_crawler: ClassVar[dict[Crawler, Submitter]] = {}

    def __init__(self, crawler: Crawler, destination: PageDestination, source: str | None) -> None:
        self.source = source
        self._crawler = crawler
        self._destination = destination
        self._pages: list[Page] = []
        self._links: list[Link] = []
        self._bytes = 0
        self._is_flush_planned = False
        self._running_flushes = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # one batch at a time: more would only wait for each other in the database
        crawler.signals.connect(self._close, signal=signals.spider_closed)

    @classmethod
    def of(cls, crawler: Crawler) -> Submitter:
        """The submitter of a crawl, which its pipeline and its middleware share.

        Raises NotConfigured without NEWSMILL_DATA and NEWSMILL_URL, and NewsmillError if the destination cannot be opened.
        """
        if crawler not in cls._by_crawler:
            data, url, token, source = (crawler.settings.get(f"NEWSMILL_{name}") or None for name in ("DATA", "URL", "TOKEN", "SOURCE"))
            if data is None and url is None:
                raise NotConfigured("set NEWSMILL_DATA or NEWSMILL_URL to store pages in Newsmill")
            cls._by_crawler[crawler] = cls(crawler, open_destination(data, url, token), source)
        return cls._by_crawler[crawler]

    async def add_response(self, item: PageItem) -> None:
        """Store the page of a response."""
        await self.add_page(make_page(item, fetched_at=datetime.now(UTC), source=self.source))

    async def add_page(self, page: Page) -> None:
        """Store a page; waits for the storage when a batch is full, which slows the crawl down to its speed."""
        self._pages.append(page)
        self._bytes += len(page.body)
        await self._added()

    async def add_link(self, item: LinkItem) -> None:
        """Have Newsmill fetch a link. An invalid URL is logged."""
        try:
            self._links.append(make_link(item, source=self.source, found_by=FOUND_BY))
        except UrlError as error:
            log.warning("link %r is not stored: %s", item.url[:200], error)
            return
        await self._added()

    async def _added(self) -> None:
        if self._bytes >= MAX_SEGMENT_BYTES or max(len(self._pages), len(self._links)) >= MAX_SEGMENT_PAGES:
            await self._flush()
        elif not self._is_flush_planned:
            self._is_flush_planned = True
            call_later(FLUSH_SECONDS, self._start_flush)

    def _start_flush(self) -> None:
        self._is_flush_planned = False
        deferred_from_coro(self._flush())

    async def _flush(self) -> None:
        pages, links = self._pages, self._links
        self._pages, self._links, self._bytes = [], [], 0
        if not pages and not links:
            return
        self._running_flushes += 1
        try:
            self._count(await run_in_thread(self._store, pages, links))
        except NewsmillError as error:
            log.error("%d pages and %d links are not stored, and the crawl ends: %s", len(pages), len(links), error)
            self._count(Counter(lost=len(pages) + len(links)))
            if self._crawler.engine is not None and self._crawler.spider is not None:
                deferred_from_coro(self._crawler.engine.close_spider_async(reason="newsmill_unavailable"))
        finally:
            self._running_flushes -= 1

    def _store(self, pages: list[Page], links: list[Link]) -> Counter[str]:
        """In a thread: store a batch, again while Newsmill is away. Returns the numbers of receipts by status. Raises NewsmillError."""
        with self._lock:
            receipts = self._retry(self._destination.store, pages) if pages else ()
            if links:
                self._retry(self._destination.add, links)
        for receipt in receipts:
            if receipt.reason is not None:
                log.warning("page %s is not stored: %s", receipt.url[:200], receipt.reason)
        return Counter([str(receipt.status) for receipt in receipts]) + Counter(links=len(links))

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
        names = ("queued", "known", "rejected", "lost", "links")
        log.info("Newsmill: %s", ", ".join(f"{self._counts[name]} {name}" for name in names))

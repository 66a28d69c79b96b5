"""Newsmill for Scrapy projects. docs/guides/scrapy.md shows a spider of ten lines.

`NewsmillPipeline` stores what a spider yields: `page(response)`, `link(url)`, and any item with a URL, a title and a text. Other items pass
unchanged. `NewsmillMiddleware` stores every HTML response that reaches a callback, without a change to the spider. Both need one of the
settings NEWSMILL_DATA (a data folder) and NEWSMILL_URL with NEWSMILL_TOKEN; NEWSMILL_SOURCE names the source of the pages.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, Self, TypeVar

from pydantic import TypeAdapter
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem, NotConfigured
from scrapy.http import HtmlResponse, Response
from scrapy.utils.asyncio import call_later, run_in_thread, sleep
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

import newsmill
from newsmill import context
from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES
from newsmill.client.http import ApiConnection, ErrorResponse, InvalidRequest
from newsmill.exceptions import AuthenticationError, ConfigError, NewsmillError, ServiceError, UrlError
from newsmill.intake.scrapy_items import (
    UNREADABLE_DATE_MESSAGE,
    LinkItem,
    PageItem,
    find_unreadable_dates,
    link,
    make_article_item,
    make_link,
    make_page,
    page,
)
from newsmill.intake.submission import (
    MAX_REQUEST_PAGES,
    PagesRequest,
    encode_item,
    encode_page,
    make_enqueue,
    make_item_page,
    store_pages,
)
from newsmill.model import Document, Link, Page, PageReceipt, PageStatus
from newsmill.settings import Settings

__all__ = ["LinkItem", "NewsmillMiddleware", "NewsmillPipeline", "PageItem", "extract", "link", "page"]

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

FLUSH_SECONDS = 2.0  # after which pages are stored, if fewer than a segment's have come
MAX_TRIES = 6  # to store a batch, over a minute; the crawl ends then, because its further pages would be lost too
POLL_SECONDS = 0.05
UNREADABLE_DATES = "unreadable_dates"
REJECTED_LINKS = "rejected_links"
UNAVAILABLE, REFUSED, FAILED = "newsmill_unavailable", "newsmill_refused", "newsmill_failed"  # finish reasons
SOURCE_SPIDER_SETTING = "NEWSMILL_SOURCE_SPIDER"  # True in a run of a source's own spider
META_KEY = "newsmill"  # False in a request's meta: NewsmillMiddleware does not store its response


def extract(response: Response, *, language: str | None = None) -> Document:
    """The document of a response. Stores nothing. `language`: BCP 47 tag of the site, for texts whose language is not recognised.

    Raises ExtractionError where the page holds no document.
    """
    content_type = response.headers.get("Content-Type")
    declared = None if content_type is None else content_type.decode("latin-1")
    return newsmill.extract(response.body, url=response.url, content_type=declared, language=language)


class NewsmillPipeline:
    """An item pipeline that stores pages, links and articles, and returns every item unchanged when it is stored.

    A request is done when its items are, so a scheduler that keeps requests until then sends those of a killed crawl again.
    """

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Submitter.of(crawler))

    async def process_item(self, item: Any) -> Any:
        """Store the item if it is one of Newsmill's, or an article with URL, title and text."""
        self._submitter.count_unreadable_dates(item)
        submitter, is_stored = self._submitter, True
        if isinstance(item, PageItem):
            is_stored = await submitter.add_response(item)
        elif isinstance(item, LinkItem):
            is_stored = await submitter.add_link(item)
        elif (article := make_article_item(item)) is not None:
            is_stored = await submitter.add_page(make_item_page(article, fetched_at=datetime.now(UTC), source=submitter.source))
        if not is_stored:  # the error of the whole batch is in the log
            raise DropItem("Newsmill has not stored it", log_level="DEBUG")
        return item


class NewsmillMiddleware:
    """A spider middleware that stores every HTML response that reaches a callback."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Submitter.of(crawler))

    async def process_spider_output(self, response: Response, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pass on what the callback yields, and wait until the response is stored."""
        stored = self._submitter.put_response(PageItem(response)) if is_wanted(response) else None
        async for item in result:
            yield item
        if stored is not None:
            await maybe_deferred_to_future(stored)


def is_wanted(response: Response) -> bool:
    """Whether NewsmillMiddleware stores a response."""
    return isinstance(response, HtmlResponse) and response.meta.get(META_KEY) is not False


def find_finish_reason(error: Exception) -> str:
    """Scrapy's `finish_reason` of a crawl that ends because a batch could not be stored."""
    if isinstance(error, ConfigError | AuthenticationError):
        return REFUSED
    return UNAVAILABLE if isinstance(error, NewsmillError) else FAILED


class Submitter:
    """Collects the pages of one crawl and stores them in batches, in a thread. After a kill, the next crawl stores the last batch."""

    _by_crawler: ClassVar[dict[Crawler, Submitter]] = {}

    def __init__(self, crawler: Crawler, destination: PageDestination, source: str | None) -> None:
        self.source = source
        self._crawler = crawler
        self._destination = destination
        self._pages: list[Page] = []
        self._links: list[Link] = []
        self._waiters: list[Deferred[bool]] = []  # one for each page and link of the batch
        self._bytes = 0
        # A batch that needs more than Scrapy handles at once would wait for FLUSH_SECONDS each time.
        self._max_pages = max(1, min(MAX_SEGMENT_PAGES, crawler.settings.getint("CONCURRENT_ITEMS")))
        self._max_bytes = min(MAX_SEGMENT_BYTES, crawler.settings.getint("SCRAPER_SLOT_MAX_ACTIVE_SIZE") // 2)
        self._is_flush_planned = False
        self._running_flushes = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # one batch at a time: more would only wait for each other in the database
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
            self._links.append(make_link(item, source=self.source, found_by=FOUND_BY))
        except UrlError as error:
            log.warning("link %r is not stored: %s", item.url[:200], error)
            self._count(Counter({REJECTED_LINKS: 1}))
            return True
        return await maybe_deferred_to_future(self._wait_for_batch())

    def put_response(self, item: PageItem) -> Deferred[bool]:
        """Put the page of a response into the batch. The result is that of `add_response`."""
        return self._put_page(make_page(item, fetched_at=datetime.now(UTC), source=self.source))

    def _put_page(self, page: Page) -> Deferred[bool]:
        self._pages.append(page)
        self._bytes += len(page.body)
        return self._wait_for_batch()

    def count_unreadable_dates(self, item: Any) -> None:
        """Count the dates of an item that cannot be read; the first of the crawl is logged."""
        for text in find_unreadable_dates(item):
            if not self._counts[UNREADABLE_DATES]:
                log.warning(UNREADABLE_DATE_MESSAGE, text)
            self._count(Counter({UNREADABLE_DATES: 1}))

    def _wait_for_batch(self) -> Deferred[bool]:
        waiter = Deferred[bool]()
        self._waiters.append(waiter)
        if self._bytes >= self._max_bytes or max(len(self._pages), len(self._links)) >= self._max_pages:
            deferred_from_coro(self._flush())
        elif not self._is_flush_planned:
            self._is_flush_planned = True
            call_later(FLUSH_SECONDS, self._start_flush)
        return waiter

    def _start_flush(self) -> None:
        self._is_flush_planned = False
        deferred_from_coro(self._flush())

    async def _flush(self) -> None:
        pages, links, waiters = self._pages, self._links, self._waiters
        self._pages, self._links, self._waiters, self._bytes = [], [], [], 0
        if not pages and not links:
            return
        is_stored = False
        self._running_flushes += 1
        try:
            self._count(await run_in_thread(self._store, pages, links))
            is_stored = True
        except Exception as error:  # the border to Scrapy, which would log an error and end the crawl as finished
            reason = find_finish_reason(error)
            has_traceback = reason == FAILED  # of a bug
            message = f"Newsmill has failed: {type(error).__name__}: {error}" if has_traceback else error
            log.error(
                "%d pages and %d links are not stored, and the crawl ends: %s", len(pages), len(links), message, exc_info=has_traceback
            )
            self._count(Counter(lost=len(pages) + len(links)))
            if self._crawler.stats is not None:
                self._crawler.stats.set_value("finish_reason", reason)  # the last batch fails when Scrapy has set it
            if self._crawler.engine is not None and self._crawler.spider is not None:
                deferred_from_coro(self._crawler.engine.close_spider_async(reason=reason))
        finally:
            self._running_flushes -= 1
            for waiter in waiters:
                waiter.callback(is_stored)

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
        names = ("queued", "known", "rejected", "lost", "links", REJECTED_LINKS)
        log.info("Newsmill: %s", ", ".join(f"{self._counts[name]} {name.replace('_', ' ')}" for name in names))


# ---- where the pages go

FOUND_BY = "spider"
MAX_REQUEST_BYTES = 10 << 20  # bodies of one request, or one body; Base64 makes it 14 MB, and the server takes 16 MB
MAX_REQUEST_URLS = 1_000
RETRIED_STATUSES = (408, 429)


class PageDestination(Protocol):
    """Every call may raise ServiceError, after which it may be repeated, and ConfigError."""

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        """Store pages; a receipt per page, in order."""

    def add(self, links: Sequence[Link]) -> int:
        """Have Newsmill fetch those of the links that are new. Returns how many are refused; the log has their reasons."""

    def close(self) -> None:
        """Release what the destination holds."""


def open_destination(data: str | os.PathLike[str] | None, url: str | None, token: str | None) -> PageDestination:
    """The destination for a data folder, which is made if it does not exist, or for the URL of a server. Raises NewsmillError."""
    if (data is None) == (url is None):
        raise ConfigError("expected exactly one of NEWSMILL_DATA (a data folder) and NEWSMILL_URL (the URL of a Newsmill server)")
    return HttpDestination(url, token) if url is not None else LocalDestination(os.fspath(data or ""))


class LocalDestination:
    """A data folder. A running `newsmill up` on it extracts the pages; without one, the next does."""

    def __init__(self, data: str) -> None:
        """Opens the store in the folder `data`. Raises NewsmillError."""
        if "://" in data:
            raise ConfigError(f"NEWSMILL_DATA {data.partition('://')[0]}://…: expected a folder; NEWSMILL_URL names a server")
        settings = Settings.model_validate({"data": data})
        self._open = ExitStack()
        self._context = self._open.enter_context(context.open_context(settings, create=True))
        self._enqueue = make_enqueue(settings)

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        unknown = self._find_unknown_sources({page.source for page in pages})
        stored = iter(store_pages(self._context, self._enqueue, [page for page in pages if page.source not in unknown], FOUND_BY))
        return tuple(
            next(stored) if page.source not in unknown else PageReceipt(page.requested_url, PageStatus.REJECTED, unknown[page.source])
            for page in pages
        )

    def add(self, links: Sequence[Link]) -> int:
        unknown = self._find_unknown_sources({link.source for link in links})
        known = [one for one in links if one.source not in unknown]
        for refused in (one for one in links if one.source in unknown):
            log.warning("link %s is not stored: %s", refused.url[:200], unknown[refused.source])
        self._context.ledger.links.add(known, now=datetime.now(UTC))
        return len(links) - len(known)

    def close(self) -> None:
        self._open.close()

    def _find_unknown_sources(self, names: set[str | None]) -> dict[str | None, str]:
        """Those of the sources that do not exist, and what to do."""
        unknown = [name for name in names if name is not None and self._context.ledger.sources.get(name) is None]
        return {name: str(context.unknown_source(self._context, name)) for name in unknown}


@dataclass(frozen=True, slots=True)
class _Receipts:
    items: tuple[PageReceipt, ...]


_RECEIPTS = TypeAdapter(_Receipts)
_URLS: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])


ACCESS_REMEDY = "; set NEWSMILL_TOKEN to a token of `newsmill token add NAME --scope write`"


class HttpDestination(ApiConnection):
    """The API of a server, with a token of scope write."""

    def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
        receipts: dict[int, PageReceipt] = {}
        for numbers in _split(pages):
            batch = [pages[number] for number in numbers]
            receipts |= dict(zip(numbers, self._store_batch(batch), strict=True))
        return tuple(receipts[number] for number in range(len(pages)))

    def _store_batch(self, batch: Sequence[Page]) -> list[PageReceipt]:
        """Send pages of one source. One that the server does not accept, as of an unknown source, is rejected alone."""
        request = PagesRequest(
            source=batch[0].source,
            pages=[encode_page(page) for page in batch if not page.is_item],
            items=[encode_item(page) for page in batch if page.is_item],
        )
        try:
            answer = self.read(_RECEIPTS, self._post("pages", request.model_dump_json(exclude_defaults=True).encode()))
        except InvalidRequest as error:
            if len(batch) == 1:
                return [PageReceipt(batch[0].requested_url, PageStatus.REJECTED, str(error))]
            return [receipt for page in batch for receipt in self._store_batch([page])]
        order = sorted(range(len(batch)), key=lambda number: batch[number].is_item)  # the answer has the receipts of items last
        receipts = dict(zip(order, answer.items, strict=True))
        return [receipts[number] for number in range(len(batch))]

    def add(self, links: Sequence[Link]) -> int:
        refused = 0
        by_source = defaultdict(list)
        for wanted in links:
            by_source[wanted.source].append(wanted.url)
        for source, urls in by_source.items():
            for at in range(0, len(urls), MAX_REQUEST_URLS):
                refused += self._submit(urls[at : at + MAX_REQUEST_URLS], source)
        return refused

    def close(self) -> None:
        """Each request has its own connection."""

    def _submit(self, urls: Sequence[str], source: str | None) -> int:
        """Submit URLs. One that the server refuses, as in a private network, is logged and costs no other. Returns their number."""
        try:
            self._post("urls", _URLS.dump_json({"urls": urls, "source": source}))
        except InvalidRequest as error:
            if len(urls) > 1:
                return sum(self._submit([url], source) for url in urls)
            log.warning("link %s is not stored: %s", urls[0][:200], error)
            return 1
        return 0

    def _post(self, path: str, content: bytes) -> object:
        try:
            return self.post(path, content)
        except InvalidRequest:
            raise
        except ErrorResponse as error:
            if 400 <= error.status < 500 and error.status not in RETRIED_STATUSES:  # the token or the URL of the server is wrong
                hint = ACCESS_REMEDY if error.status in (401, 403) else ""
                raise ConfigError(f"{error.args[0]}{hint}") from None
            raise


def _split(pages: Sequence[Page]) -> Iterator[list[int]]:
    """The numbers of the pages of each request: of one source, and within the limits of a request."""
    batch: list[int] = []
    size = 0
    for number in sorted(range(len(pages)), key=lambda number: pages[number].source or ""):
        page = pages[number]
        is_other = bool(batch) and page.source != pages[batch[0]].source
        if is_other or len(batch) == MAX_REQUEST_PAGES or (batch and size + len(page.body) > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(page.body)
    if batch:
        yield batch

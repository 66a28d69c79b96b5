"""One run of a source's spider, in a process of its own.

A crawler or `newsmill sources test` starts it with `python -m crawler.spider_runs.spider_run`. The request is the first line of standard
input. The run ends when that pipe closes, because then its parent has ended. The report is the last line of standard output. A bug, a crash
or a limit of the spider ends this process and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import scrapy
from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings as ScrapySettings
from twisted.python.failure import Failure

from crawler.fetching.downloader import Downloader, MiddlewareDownload
from crawler.fetching.robots import product_name
from crawler.politeness.throttle import LEASE_CHECKS, ORDER_LOOKUPS, StopSignal
from crawler.settings import default_spider_settings, fixed_spider_settings, list_ignored_settings, load_user_settings
from crawler.spider_runs.source_spider import check_arguments, find_start_hint, load_spider
from crawler.spider_runs.spider_hosts import FAILED, HOSTS, RobotsDownload, SpiderHosts, has_spider_middleware
from crawler.spider_runs.spider_worker import REPORT_JSON, REPORT_PREFIX, REQUEST_JSON, OutputCounts, RunReport, RunRequest
from crawler.state.crawl_state import BACKLOG_POLL_SECONDS, LEASE_SECONDS, LedgerCalls
from newsmill import settings as configuration
from newsmill.address_guard import Guard
from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES
from newsmill.context import AppContext, open_context
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.model import Document, Link, Page, PageStatus, Source
from newsmill.sandbox.child import die_with_parent, restrict_proc_access
from newsmill.scrapy_items import (
    UNREADABLE_DATE_MESSAGE,
    LinkItem,
    PageItem,
    find_unreadable_dates,
    make_article_item,
    make_link,
    make_page,
)
from newsmill.settings import Settings
from newsmill.spider_logs import configure_spider_log
from newsmill.submission import make_enqueue, make_item_page, store_pages

log = logging.getLogger(__name__)


# ---- the results: pages, links for the continuous crawl and finished articles go into the archive and the ledger in batches -----

FOUND_BY = "spider"  # in the rows of the ledger
MAX_BATCH_SECONDS = 2.0  # from its first page or link, as the crawler's segments
MAX_BATCH_LINKS = 500


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
        self._count_unreadable_dates(item)
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

    def _count_unreadable_dates(self, item: Any) -> None:
        for text in find_unreadable_dates(item):
            self.counts.unreadable_dates += 1
            if self.counts.unreadable_dates == 1:
                log.warning(UNREADABLE_DATE_MESSAGE, text)

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
            lost = len(pages) + len(links)
            try:
                await self._store(pages, links)
                lost = 0
            finally:
                self.counts().lost += lost

    async def _store(self, pages: list[Page], links: list[Link]) -> None:
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
                "published_at": None if document is None else _format_published(document),
                "words": None if document is None else document.word_count,
            }
        )

    async def put_link(self, link: Link) -> None:
        published = link.hint.published
        self._print(
            {
                "kind": "link",
                "url": link.url,
                "title": link.hint.title,
                "published_at": None if published is None else published.isoformat(),
            }
        )

    async def flush(self) -> None:
        """Nothing is buffered."""

    def _print(self, found: dict[str, Any]) -> None:
        self.pipe.write(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _format_published(document: Document) -> str | None:
    if document.published_at is None or document.published_precision == "day":
        return document.published_day
    return document.published_at.isoformat()


# ---- the run in Scrapy ----------------------------------------------------------------------------------------------------------

REASON_PAGES = "pages"
REASON_TIME = "time"
REASON_MEMORY = "memory"
REASON_STOPPED = "stopped"
REASON_REMOVED = "the source was removed or renamed"

# Scrapy's statistics
IGNORED_STATUS = "httperror/response_ignored_status_count/"
RETRIED = "retry/reason_count/"


class SpiderRun:
    """The run inside Scrapy: builds what the spider's requests and items go through, and ends the run at its limits."""

    def __init__(self, context: AppContext, source: Source, make_sink: Callable[[SpiderRun], Sink], *, is_test: bool) -> None:
        self.context = context
        self.is_test = is_test
        self.source = source
        self.make_sink = make_sink
        self.stop = StopSignal()
        self.calls = LedgerCalls(context.ledger, context.now, self.stop, lease_seconds=LEASE_SECONDS)
        self.end_reason: str | None = None  # why the run was ended before the spider had finished
        self.code_errors = 0
        self.first_error: str | None = None
        self.problem: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def connect(self, crawler: Crawler) -> None:
        """Attach the run to a crawler that was not started yet."""
        self.crawler = crawler
        settings = self.context.settings
        downloader = Downloader(
            MiddlewareDownload(RobotsDownload(crawler)),
            Guard.from_networks(map(str, settings.allow_nets)),
            settings.agent,
            has_middlewares=True,
        )
        self.hosts = SpiderHosts(self.calls, downloader, self.source, agent=product_name(settings.agent), skips_known=not self.is_test)
        HOSTS[crawler] = self.hosts
        ORDER_LOOKUPS[crawler] = self.calls.find_order
        LEASE_CHECKS[crawler] = self.hosts.may_request
        self.sink = self.make_sink(self)
        limits = self.source.spider_limits
        self.output = SpiderOutput(
            self.sink, self.source.name, max_items=limits.pages, clock=self.calls.now, on_limit=lambda: self.end(REASON_PAGES)
        )
        crawler.signals.connect(self._opened, signal=signals.spider_opened)
        crawler.signals.connect(self._item_scraped, signal=signals.item_scraped)
        crawler.signals.connect(self._record_error, signal=signals.spider_error)
        crawler.signals.connect(self._record_error, signal=signals.item_error)
        crawler.signals.connect(self._closed, signal=signals.spider_closed)

    def end(self, reason: str) -> None:
        """End the run: no new requests; responses in flight are still handled."""
        if self.end_reason is None:
            self.end_reason = reason
            log.info("the run ends: %s", reason)
            self.stop.event.set()
            self._ending = asyncio.ensure_future(self.crawler.stop_async())

    def report(self) -> RunReport:
        """The report after the end."""
        stats = self.crawler.stats.get_stats()
        refused = {name.rpartition("/")[2]: int(n) for name, n in stats.items() if name.startswith("newsmill/refused/")}
        statuses = {int(name.rpartition("/")[2]): int(n) for name, n in stats.items() if name.startswith(IGNORED_STATUS)}
        # the retries are counted by the same import path of the error
        failed = sum(int(n) - int(stats.get(RETRIED + name[len(FAILED) :], 0)) for name, n in stats.items() if name.startswith(FAILED))
        limits = self.source.spider_limits
        errors = {
            REASON_TIME: f"the run took longer than {limits.seconds:g} s; spider_limits.time raises the limit",
            REASON_MEMORY: f"the run needed more than {limits.memory_mb} MB; spider_limits.memory_mb raises the limit",
        }
        reason = self.end_reason or str(stats.get("finish_reason", "unknown"))
        return RunReport(
            reason=reason,
            counts=self.output.counts,
            requests=int(stats.get("downloader/request_count", 0)),
            skipped=int(stats.get("newsmill/skipped", 0)),
            refused=refused,
            bad_statuses=statuses,
            failed=max(0, failed),
            first_failure=self.hosts.first_failure,
            code_errors=self.code_errors,
            first_error=self.first_error,
            dropped=int(stats.get("item_dropped_count", 0)),
            waited_seconds=round(self.hosts.waited_seconds, 1),
            error=errors.get(reason) or self.problem,
        )

    # ---- signals

    def _opened(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end, REASON_STOPPED)
        loop.call_later(self.source.spider_limits.seconds, self.end, REASON_TIME)
        self._tasks = [loop.create_task(self._keep(self.hosts.maintain()))]
        if isinstance(self.sink, StoringSink):
            self._tasks.append(loop.create_task(self._keep(self.sink.maintain())))
        if not has_spider_middleware(self.crawler):
            self.problem = "SpiderMiddleware was removed from DOWNLOADER_MIDDLEWARES; robots.txt and throttle apply to every spider"
            self.end("no middleware")

    async def _keep(self, maintenance: Any) -> None:
        """Run a maintenance loop. It may only end by being cancelled: without it the run would go on unleased."""
        with self._reporting_errors():
            await maintenance

    @contextmanager
    def _reporting_errors(self, prefix: str = "", *, ends: bool = True) -> Iterator[None]:
        """Have the report name an error, and end the run. The traceback of one that is not expected, a bug, goes into the log."""
        try:
            yield
        except Exception as error:  # the border to Scrapy, which goes on after an error and reports success
            is_expected = isinstance(error, NewsmillError | OSError)
            if not is_expected:
                log.exception("Newsmill has failed")
            if self.problem is None:
                self.problem = prefix + (str(error) if is_expected else f"Newsmill has failed: {type(error).__name__}: {error}"[:300])
            if ends:
                self.end(REASON_MEMORY if isinstance(error, MemoryError) else "failed")

    async def _item_scraped(self, item: Any) -> None:
        with self._reporting_errors():
            await self.output.take(item)

    def _record_error(self, failure: Failure) -> None:
        if isinstance(failure.value, MemoryError):
            self.end(REASON_MEMORY)
            return
        self.code_errors += 1
        if self.first_error is None:
            self.first_error = f"{failure.type.__name__ if failure.type else 'error'}: {failure.getErrorMessage()}"[:300]

    async def _closed(self) -> None:
        with self._reporting_errors("the last pages were not stored: ", ends=False):
            await self.sink.flush()  # before the tasks end: cancelled in the middle of a batch, maintain() would lose it
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.stop.event.set()
        await self.hosts.close()
        self.calls.close_ledger()


# ---- the process


def main() -> None:
    """Run the spider of the request on standard input."""
    die_with_parent()
    restrict_proc_access()
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what C libraries print must not look like a report
    request = REQUEST_JSON.validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        report = run(request, pipe)
    except SystemExit as error:  # of the spider's code
        report = RunReport("failed", error=f"the spider called sys.exit: {error}"[:500])
        pipe.write(_format_report(report))
        os._exit(1)  # the run was not closed, and its threads would keep the process
    pipe.write(_format_report(report))


def _format_report(report: RunReport) -> bytes:
    return REPORT_PREFIX + REPORT_JSON.dump_json(report) + b"\n"


def run(request: RunRequest, pipe: BinaryIO) -> RunReport:
    """Run the spider and return the report. Results of a test run are written to `pipe`."""
    source = request.source
    try:
        settings = configuration.load()
        configure_spider_log(None if request.log_file is None else Path(request.log_file), settings.log_level)
        user = load_user_settings(settings, continuous=False)
        _limit_memory(source.spider_limits.memory_mb)
        spider_class = load_spider(settings, source)
        check_arguments(spider_class, source)
        with open_context(settings, upgrade=False) as context:
            enqueue = make_enqueue(settings)

            def make_sink(run: SpiderRun) -> Sink:
                if request.test:
                    return PrintingSink(pipe)
                return StoringSink(
                    context, run.calls, enqueue, lambda: run.output.counts, source=source.name, on_removal=lambda: run.end(REASON_REMOVED)
                )

            return _run_spider(SpiderRun(context, source, make_sink, is_test=request.test), spider_class, settings, user)
    except ConfigError as error:
        if error.__cause__ is not None:
            log.error("%s", error, exc_info=error.__cause__)
        return RunReport("failed", error=str(error), is_permanent=True)
    except NewsmillError as error:
        return RunReport("failed", error=str(error))
    except MemoryError:
        limit = source.spider_limits.memory_mb
        return RunReport(REASON_MEMORY, error=f"the run needed more than {limit} MB; spider_limits.memory_mb raises the limit")


def _run_spider(run: SpiderRun, spider_class: type[scrapy.Spider], settings: Settings, user: dict[str, Any]) -> RunReport:
    values = ScrapySettings(default_spider_settings(settings, user))
    spider_class.update_settings(values)
    fixed = fixed_spider_settings(settings, values)
    for name in list_ignored_settings(values, fixed):
        log.warning("%s: Newsmill decides this setting; the spider's value has no effect", name)
    values = ScrapySettings(default_spider_settings(settings, user))
    values.setdict(fixed, priority="cmdline")
    process = AsyncCrawlerProcess(values)
    logging.getLogger("scrapy").setLevel(logging.NOTSET)
    crawler = process.create_crawler(spider_class)
    run.connect(crawler)
    task = process.crawl(crawler, **run.source.spider_args)
    process.start(install_signal_handlers=False)
    if task.done() and not task.cancelled() and (problem := task.exception()) is not None:
        log.error("the spider failed", exc_info=problem)
        return RunReport("failed", error=f"the spider failed: {type(problem).__name__}: {problem}"[:500])
    return replace(run.report(), hint=find_start_hint(spider_class))


def _limit_memory(megabytes: int) -> None:
    """Limit the address space to what is mapped now and `megabytes` more. Linux only.

    The hard limit stays, because the browser reserves 1 TB of it: crawler/browser/bare_node.sh lifts the limit for its processes, which
    crawler/browser/handler.py watches.
    """
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = mapped + (megabytes << 20)
        hard_limit = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()

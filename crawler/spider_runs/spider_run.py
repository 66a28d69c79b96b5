"""One run of a source's spider inside Scrapy, up to the end that a limit, a signal or the spider sets."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scrapy import signals
from scrapy.crawler import Crawler
from twisted.python.failure import Failure

from crawler.fetching.downloader import Downloader
from crawler.fetching.middleware_download import MiddlewareDownload
from crawler.fetching.robots import product_name
from crawler.politeness.publisher_orders import LEASE_CHECKS, ORDER_LOOKUPS
from crawler.politeness.throttle import StopSignal
from crawler.spider_runs.run_report import RunReport
from crawler.spider_runs.spider_hosts import SpiderHosts
from crawler.spider_runs.spider_middleware import FAILED, HOSTS, RobotsDownload, has_spider_middleware
from crawler.spider_runs.spider_output import Sink, SpiderOutput
from crawler.spider_runs.storing_sink import StoringSink
from crawler.state.ledger_calls import LEASE_SECONDS, LedgerCalls
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.model import Source
from newsmill.network.address_guard import Guard
from newsmill.text.sentences import Sentence

log = logging.getLogger(__name__)

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
            REASON_TIME: Sentence("the run took longer than {n:g} s; spider_limits.time raises the limit", n=limits.seconds),
            REASON_MEMORY: Sentence("the run needed more than {n} MB; spider_limits.memory_mb raises the limit", n=limits.memory_mb),
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

    def _opened(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end, REASON_STOPPED)
        loop.call_later(self.source.spider_limits.seconds, self.end, REASON_TIME)
        self._tasks = [loop.create_task(self._keep(self.hosts.maintain()))]
        if isinstance(self.sink, StoringSink):
            self._tasks.append(loop.create_task(self._keep(self.sink.maintain())))
        if not has_spider_middleware(self.crawler):
            self.problem = Sentence(
                "SpiderMiddleware was removed from DOWNLOADER_MIDDLEWARES; robots.txt and throttle apply to every spider"
            )
            self.end("no middleware")

    async def _keep(self, maintenance: Any) -> None:
        """Run a maintenance loop. It may only end by being cancelled: without it the run would go on unleased."""
        with self._reporting_errors():
            await maintenance

    @contextmanager
    def _reporting_errors(self, describe: Callable[[str], str] = str, *, ends: bool = True) -> Iterator[None]:
        """Have the report name an error, and end the run. The traceback of one that is not expected, a bug, goes into the log."""
        try:
            yield
        except Exception as error:  # the border to Scrapy, which goes on after an error and reports success
            is_expected = isinstance(error, NewsmillError | OSError)
            if not is_expected:
                log.exception("Newsmill has failed")
            if self.problem is None:
                self.problem = describe(str(error) if is_expected else f"Newsmill has failed: {type(error).__name__}: {error}"[:300])
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
        with self._reporting_errors(lambda error: Sentence("the last pages were not stored: {error}", error=error), ends=False):
            await self.sink.flush()  # before the tasks end: cancelled in the middle of a batch, maintain() would lose it
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.stop.event.set()
        await self.hosts.close()
        self.calls.close_ledger()

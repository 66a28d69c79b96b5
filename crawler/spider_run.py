"""One run of a source's spider, in a process of its own: `python -m crawler.spider_run`, started by a crawler or `newsmill sources test`.

The request is the first line of standard input. The run ends when that pipe closes, because then its parent has ended. The report is the
last line of standard output. A bug, a crash or a limit of the spider ends this process and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import scrapy
from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings as ScrapySettings
from twisted.python.failure import Failure

from crawler.crawl_setup import LEASE_SECONDS, product_name
from crawler.crawl_state import LedgerCalls
from crawler.downloader import Downloader
from crawler.middlewares import FAILED, HOSTS, MiddlewareDownload, RobotsDownload, has_spider_middleware
from crawler.publisher_orders import ORDER_LOOKUPS
from crawler.spider_hosts import SpiderHosts
from crawler.spider_loader import check_arguments, load_spider
from crawler.spider_output import PrintingSink, Sink, SpiderOutput, StoringSink
from crawler.spider_process import REPORT_JSON, REPORT_PREFIX, REQUEST_JSON, RunReport, RunRequest
from crawler.throttle import StopSignal
from crawler.user_settings import default_spider_settings, fixed_spider_settings, list_ignored_settings, load_user_settings
from newsmill import settings as configuration
from newsmill.address_guard import Guard
from newsmill.context import AppContext, open_context
from newsmill.exceptions import ConfigError, NewsmillError, ServiceError
from newsmill.model import Source
from newsmill.sandbox.child import die_with_parent, restrict_proc_access
from newsmill.settings import Settings
from newsmill.spider_logs import configure_spider_log
from newsmill.submission import make_enqueue

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
        self.callback_errors = 0
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
        self.sink = self.make_sink(self)
        limits = self.source.spider_limits
        self.output = SpiderOutput(
            self.sink, self.source.name, max_items=limits.pages, clock=self.calls.now, on_limit=lambda: self.end(REASON_PAGES)
        )
        crawler.signals.connect(self._opened, signal=signals.spider_opened)
        crawler.signals.connect(self._item_scraped, signal=signals.item_scraped)
        crawler.signals.connect(self._callback_failed, signal=signals.spider_error)
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
            callback_errors=self.callback_errors,
            first_error=self.first_error,
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
        try:
            await maintenance
        except (ServiceError, OSError) as error:
            self.problem = str(error)
            self.end("failed")

    async def _item_scraped(self, item: Any) -> None:
        try:
            await self.output.take(item)
        except NewsmillError as error:
            self.problem = str(error)
            self.end("failed")

    def _callback_failed(self, failure: Failure) -> None:
        if isinstance(failure.value, MemoryError):
            self.end(REASON_MEMORY)
            return
        self.callback_errors += 1
        if self.first_error is None:
            self.first_error = f"{failure.type.__name__ if failure.type else 'error'}: {failure.getErrorMessage()}"[:300]

    async def _closed(self) -> None:
        try:
            await self.sink.flush()  # before the tasks end: cancelled in the middle of a batch, maintain() would lose it
        except ServiceError as error:
            self.problem = f"the last pages were not stored: {error}"
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
    report = run(request, pipe)
    pipe.write(REPORT_PREFIX + REPORT_JSON.dump_json(report) + b"\n")


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
    return run.report()


def _limit_memory(megabytes: int) -> None:
    """Limit the address space to what is mapped now and `megabytes` more. Linux only.

    The hard limit stays, because the browser reserves 1 TB of it: crawler/bare_node.sh lifts the limit for its processes, which
    crawler/browser.py watches.
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

"""One crawl inside Scrapy: of `newsmill crawler`, which calls `run`, and of `scrapy crawl news`.

A CrawlSetup builds the frontier from settings and context. NewsSpider runs it: start() runs the frontier, spider_closed ends it, and the
engine downloads. The first SIGTERM or Ctrl-C stops the process cleanly, a second one at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider, signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.http import Response
from scrapy.settings import BaseSettings

from crawler.browser.renderer import RENDER_JOB
from crawler.fetching.downloader import make_downloader
from crawler.fetching.robots import product_name
from crawler.frontier.frontier import DocumentLimit, Frontier, FrontierOptions
from crawler.politeness.publisher_orders import LEASE_CHECKS, ORDER_LOOKUPS
from crawler.politeness.throttle import StopRequestedError, StopSignal
from crawler.state.crawl_state import CrawlLimits
from crawler.state.ledger_calls import LEASE_SECONDS
from crawler.user_settings.components import check_components_started
from crawler.user_settings.merge import crawl_settings, exit_with_message, load_user_settings
from crawler.user_settings.protection import check_protection
from newsmill import settings as configuration
from newsmill.context import AppContext, data_folder, make_heartbeat, open_context, open_queue, open_redis, unknown_source
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.logs.spider_log import spider_log
from newsmill.network.contact import check_contact
from newsmill.sources.config_file import read_sources
from newsmill.storage.processes import Heartbeat

if TYPE_CHECKING:  # redis and RQ cost 0.2 s of CPU, which `scrapy list` and `scrapy shell` need not spend
    from newsmill.queue.queue import Queue

log = logging.getLogger(__name__)

MAX_HOSTS = 64  # fetched from at once
NO_HIGH_WATER = 1_000_000  # segments: a crawl that ends would wait for workers that may not run
# Settings of crawler/project.py that have Scrapy's default in the continuous crawl: the throttle and robots.txt are Newsmill's.
PROJECT_DEFAULTS = {"DOWNLOAD_DELAY": 0, "ROBOTSTXT_OBEY": False}


@dataclass(frozen=True, slots=True)
class CrawlSetup:
    """What a crawl is built from: `values` are the Scrapy settings; `source`, `max_pages` and `ends_when_idle` are the frontier's."""

    context: AppContext
    enqueue: Callable[[str], bool]
    heartbeat: Heartbeat
    values: Mapping[str, Any]
    has_middlewares: bool
    hosts: int = MAX_HOSTS
    lease_seconds: float = LEASE_SECONDS
    source: str | None = None
    max_pages: int | None = None
    document_limit: DocumentLimit | None = None
    ends_when_idle: bool = False

    def make_frontier(self, download: Callable[..., Any], stop: StopSignal) -> Frontier:
        """The frontier that downloads through the engine's `download`."""
        settings = self.context.settings
        limits = CrawlLimits(
            agent=product_name(settings.agent),
            lease_seconds=self.lease_seconds,
            max_backlog=NO_HIGH_WATER if self.ends_when_idle else settings.high_water,
            source=self.source,
            max_pages=self.max_pages,
        )
        options = FrontierOptions(
            self.hosts,
            self.heartbeat.beat,
            spool=data_folder(settings) / "spool",
            document_limit=self.document_limit,
            ends_when_idle=self.ends_when_idle,
            find_spider_log=partial(spider_log, settings),
        )
        downloader = make_downloader(download, self.values, has_middlewares=self.has_middlewares)
        context = self.context
        return Frontier(context.ledger, context.archive, self.enqueue, downloader, context.now, stop, limits, options)


def make_enqueue(queue: Queue) -> Callable[[str], bool]:
    """A function that enqueues a saved segment and returns whether it could. The scheduler enqueues the others."""
    outage = OutageLog(log, "Redis answers again")

    def enqueue(segment_id: str) -> bool:
        try:
            queue.enqueue(segment_id)
        except ServiceError as error:
            outage.report_failure(error, f"segment {segment_id} is saved but not enqueued; the scheduler enqueues it and those that follow")
            return False
        outage.report_success()
        return True

    return enqueue


class NewsSpider(Spider):
    """Has no callbacks and no scheduler: the frontier decides what is fetched.

    `scrapy crawl news -a source=NAME -a limit=PAGES` fetches what is due of one source, or without `source` of all.
    """

    name = "news"

    def __init__(self, setup: CrawlSetup, resources: ExitStack | None = None, **kwargs: Any) -> None:
        """`resources` are closed at the end."""
        super().__init__(**kwargs)
        self.setup = setup
        self.resources = resources or ExitStack()
        self.frontier: Frontier | None = None
        self.stop = StopSignal()
        self.closing: asyncio.Future[None] | None = None
        self.has_run = False  # until a signal or the end of what is due, and not until a bug

    @classmethod
    def update_settings(cls, settings: BaseSettings) -> None:
        """In the Scrapy project, use the settings of `newsmill crawler`."""
        super().update_settings(settings)
        if settings.getbool("NEWSMILL_PROJECT"):
            with exit_with_message():
                own = configuration.load()
                values = {**PROJECT_DEFAULTS, **crawl_settings(own, load_user_settings(own)), "LOG_INSTALL_ROOT_HANDLER": True}
                settings.setdict(values, priority="spider")

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> NewsSpider:
        if "setup" not in kwargs:
            with exit_with_message():
                resources = ExitStack()
                setup = open_source_crawl(kwargs.pop("source", None), _parse_limit(kwargs.pop("limit", None)))
                kwargs |= {"setup": resources.enter_context(setup), "resources": resources}
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.closed_by_engine, signal=signals.spider_closed)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Run the frontier for the process's whole life: until it ends, Scrapy does not close the spider as idle. SIGTERM cancels it."""
        with exit_with_message():
            check_protection(self.crawler.settings, self.setup.values)
        self.frontier = self.setup.make_frontier(self._download, self.stop)
        ORDER_LOOKUPS[self.crawler] = self.frontier.state.find_order
        LEASE_CHECKS[self.crawler] = self.frontier.host_leases.may_request
        gc.freeze()  # 200,000 objects of libraries live as long as the process: scanning them costs a quarter of the event loop's CPU
        try:
            await self.frontier.run()
            self.has_run = True
        except asyncio.CancelledError:
            self.has_run = True
            raise
        finally:
            self._close()
        yield  # makes start() the generator that Scrapy expects; it yields no requests

    async def closed_by_engine(self) -> None:
        """Wait for the frontier to close: nothing is in flight. Scrapy may call this before the cancelled start() has run on."""
        closing = self._close()
        if closing is not None:
            await closing
        if self.setup.ends_when_idle and self.frontier is not None:
            pages = self.frontier.state.requested_pages
            self.logger.info(
                "%d article URLs requested; `newsmill worker` extracts the archived pages, `newsmill up` runs everything", pages
            )
        self.resources.close()

    def _close(self) -> asyncio.Future[None] | None:
        self.stop.event.set()
        if self.closing is None and self.frontier is not None:
            self.closing = asyncio.ensure_future(self.frontier.close())
        return self.closing

    async def _download(self, request: Request) -> Response:
        """Refuse a request while the engine stops, because it ends with its last request. Raises StopRequestedError."""
        engine = self.crawler.engine
        if engine is None or not engine.running:
            raise StopRequestedError
        if RENDER_JOB in request.meta:  # past the middlewares
            return await engine.downloader.handlers.download_request_async(request)
        return await engine.download_async(request)


def run(
    context: AppContext,
    *,
    hosts: int = MAX_HOSTS,
    lease_seconds: float = LEASE_SECONDS,
    sources: tuple[str, ...] = (),
    documents: int | None = None,
) -> int:
    """Crawl until a signal. 0: stopped cleanly; 1: a bug ended the crawl.

    With `documents`, no page is requested that could give the `sources` together more documents than that.
    Raises ServiceError when Redis cannot be used at the start, ConfigError for a wrong Scrapy setting of the user and for
    a contact on an example domain.
    """
    settings = context.settings
    check_contact(settings, [url for source in context.ledger.sources.list_all() for url in source.plan_urls])
    user = load_user_settings(settings)
    values = crawl_settings(settings, user)
    heartbeat = make_heartbeat(context, "crawler")
    limit = None if documents is None else DocumentLimit(sources, documents, context.documents.count_of)
    with open_redis(settings) as redis, closing(open_queue(settings, redis.url)) as queue:
        setup = CrawlSetup(
            context,
            make_enqueue(queue),
            heartbeat,
            values,
            bool(user),
            hosts=hosts,
            lease_seconds=lease_seconds,
            document_limit=limit,
        )
        process = AsyncCrawlerProcess(values)
        logging.getLogger("scrapy").setLevel(logging.ERROR)  # its warnings are about single responses, which have outcomes
        if user:
            logging.getLogger("scrapy.middleware").setLevel(logging.INFO)  # what is enabled, and what disabled itself
        crawler = process.create_crawler(NewsSpider)
        task = process.crawl(crawler, setup=setup)
        process.start()
        heartbeat.stop()
    if user:
        check_components_started(task)
    return 0 if isinstance(crawler.spider, NewsSpider) and crawler.spider.has_run else 1


@contextmanager
def open_source_crawl(source: str | None, max_pages: int | None) -> Iterator[CrawlSetup]:
    """The crawl of one source (None: of all), from the environment, with its listings due now. It ends when nothing of it is due.

    Sources of sources.toml are read first. Raises NewsmillError with the remedy for an unknown source and for a wrong setting.
    """
    settings = configuration.load()
    user = load_user_settings(settings)
    with open_context(settings, create=True) as context:
        known = [] if settings.sources_file is None else read_sources(settings.sources_file)
        for planned in known:
            context.ledger.sources.put(planned, now=context.now())
        followed = context.ledger.sources.list_all()
        check_contact(settings, [url for planned in followed for url in planned.plan_urls])
        names = [planned.name for planned in followed]
        if source is not None and source not in names:
            raise unknown_source(context, source)
        for name in names if source is None else [source]:
            context.ledger.sources.make_listings_due(name, now=context.now())
        heartbeat = make_heartbeat(context, "crawler")
        with open_redis(settings) as redis, closing(open_queue(settings, redis.url)) as queue:
            yield CrawlSetup(
                context,
                make_enqueue(queue),
                heartbeat,
                crawl_settings(settings, user),
                bool(user),
                source=source,
                max_pages=max_pages,
                ends_when_idle=True,
            )
        heartbeat.stop()


def _parse_limit(value: str | None) -> int | None:
    """The spider argument `limit`. Raises ConfigError."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ConfigError(f"-a limit: expected a whole number of pages, 1 or more, not {value[:80]!r}")
    return int(value)

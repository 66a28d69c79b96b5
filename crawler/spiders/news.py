"""The spider that runs the frontier inside Scrapy: start() runs it, spider_closed ends it, and the engine downloads."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.settings import BaseSettings

from crawler.crawl_setup import CrawlSetup, open_source_crawl
from crawler.frontier import Frontier
from crawler.renderer import RENDER_JOB
from crawler.settings import check_protection, crawl_settings, exit_with_message, load_user_settings
from crawler.throttle import ORDER_LOOKUPS, StopRequestedError, StopSignal
from newsmill import settings as configuration
from newsmill.exceptions import ConfigError

# Settings of crawler/project.py that have Scrapy's default in the continuous crawl: the throttle and robots.txt are Newsmill's.
PROJECT_DEFAULTS = {"DOWNLOAD_DELAY": 0, "ROBOTSTXT_OBEY": False}


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


def _parse_limit(value: str | None) -> int | None:
    """The spider argument `limit`. Raises ConfigError."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ConfigError(f"-a limit: expected a whole number of pages, 1 or more, not {value[:80]!r}")
    return int(value)

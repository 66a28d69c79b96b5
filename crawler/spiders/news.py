"""The spider that runs the frontier inside Scrapy: start() runs it, spider_closed ends it, and the engine downloads."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawler.frontier import Frontier
from crawler.throttle import StopRequestedError, StopSignal


class NewsSpider(Spider):
    """Has no callbacks and no scheduler: the frontier decides what is fetched."""

    name = "newsmill"

    def __init__(self, make_crawl: Callable[[Callable[[Request], Any], StopSignal], Frontier], **kwargs: Any) -> None:
        """`make_crawl(download, stop)` builds the frontier inside the running event loop."""
        super().__init__(**kwargs)
        self.make_crawl = make_crawl
        self.frontier: Frontier | None = None
        self.stop = StopSignal()
        self.closing: asyncio.Future[None] | None = None
        self.broken = False  # a bug ended the frontier

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> NewsSpider:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.closed_by_engine, signal=signals.spider_closed)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Run the frontier for the process's whole life: until it ends, Scrapy does not close the spider as idle. SIGTERM cancels it."""
        self.frontier = self.make_crawl(self._download, self.stop)
        gc.freeze()  # 200,000 objects of libraries live as long as the process: scanning them costs a quarter of the event loop's CPU
        has_ended = False
        try:
            await self.frontier.run()
            has_ended = True
        except asyncio.CancelledError:
            has_ended = True
            raise
        finally:
            self.broken = not has_ended
            self._close()
        yield  # makes start() the generator that Scrapy expects; it yields no requests

    async def closed_by_engine(self) -> None:
        """Wait for the frontier to close: nothing is in flight. Scrapy may call this before the cancelled start() has run on."""
        closing = self._close()
        if closing is not None:
            await closing

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
        return await engine.download_async(request)

"""Where Scrapy and the crawl meet: start() runs the crawl, spider_closed ends it, and the engine downloads. No callbacks, no scheduler."""

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
    """`make_crawl(download, stop)` builds the crawl inside the running loop."""

    name = "newsmill"

    def __init__(self, make_crawl: Callable[[Callable[[Request], Any], StopSignal], Frontier], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.make_crawl = make_crawl
        self.crawl: Frontier | None = None
        self.stop = StopSignal()
        self.closing: asyncio.Future[None] | None = None
        self.broken = False  # the crawl ended by a bug, not by a wish

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> NewsSpider:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.closed_by_engine, signal=signals.spider_closed)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Runs for the crawler's whole life: while it has not ended Scrapy never thinks the spider idle. SIGTERM cancels it."""
        self.crawl = self.make_crawl(self._download, self.stop)
        gc.freeze()  # 200,000 objects of libraries that stay for ever need not be looked through again: a quarter of the loop's CPU
        ended = False
        try:
            await self.crawl.run()
            ended = True
        except asyncio.CancelledError:
            ended = True
            raise
        finally:
            self.broken = not ended
            self._close()
        yield  # never reached with a value: it makes start() the generator Scrapy wants

    async def closed_by_engine(self) -> None:
        """The engine has nothing in flight. It may get here before the cancelled start() has had its turn."""
        closing = self._close()
        if closing is not None:
            await closing

    def _close(self) -> asyncio.Future[None] | None:
        self.stop.event.set()
        if self.closing is None and self.crawl is not None:
            self.closing = asyncio.ensure_future(self.crawl.close())
        return self.closing

    async def _download(self, request: Request) -> Response:
        """An engine that is stopping ends with its last request, and must not be given another."""
        engine = self.crawler.engine
        if engine is None or not engine.running:
            raise StopRequestedError
        return await engine.download_async(request)

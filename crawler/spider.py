"""Where Scrapy and the crawl meet: start() runs the crawl, spider_closed ends it, and the engine downloads. No callbacks, no scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawler.crawl import Crawl
from crawler.manners import Stop


class NewsSpider(Spider):
    """`make_crawl(download, stop)` builds the crawl inside the running loop."""

    name = "newsmill"

    def __init__(self, make_crawl: Callable[[Callable[[Request], Any], Stop], Crawl], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.make_crawl = make_crawl
        self.crawl: Crawl | None = None
        self.broken = False  # the crawl ended by a bug, not by a wish

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> NewsSpider:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.closed_by_engine, signal=signals.spider_closed)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Runs for the crawler's whole life: while it has not ended Scrapy never thinks the spider idle. SIGTERM cancels it."""
        stop = Stop()
        self.crawl = self.make_crawl(self._downloader(stop), stop)
        try:
            await self.crawl.run()
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.broken = True
            raise
        finally:
            # From here on nothing new is asked for: the engine ends with its last request, and must not be given another.
            self.closing = asyncio.ensure_future(self.crawl.close())
        yield  # never reached with a value: it makes start() the generator Scrapy wants

    async def closed_by_engine(self) -> None:
        await self.closing

    def _downloader(self, stop: Stop) -> Callable[[Request], Any]:
        async def download(request: Request) -> Response:
            stop.check()
            return await self.crawler.engine.download_async(request)

        return download

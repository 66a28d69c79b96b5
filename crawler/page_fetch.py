"""Fetches one URL as the crawler does, for `newsmill extract URL`: guarded, within the limits, and only where robots.txt allows it.

`python -m crawler.page_fetch URL` prints one JSON object: url, content_type, content_encoding and body (base64), or outcome and detail.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from scrapy import Spider
from scrapy.crawler import AsyncCrawlerProcess

from crawler.crawl_setup import product_name
from crawler.downloader import Downloader, FetchRequest
from crawler.response_policy import RetryAt, decide_response
from crawler.robots import fetch_robots
from crawler.settings import SETTINGS, make_settings
from crawler.throttle import HostThrottle, StopSignal
from newsmill import settings as configuration
from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.exceptions import UrlError
from newsmill.model import Kind, Outcome, OutcomeRecord, Page

DELAY_SECONDS = 1.0  # between robots.txt and the page, as for a source without a delay of its own


class PageFetchSpider(Spider):
    """Fetches robots.txt and the page, each once. `result` is the page or the outcome."""

    name = "page_fetch"

    def __init__(self, url: str, guard: Guard, agent: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url, self.guard, self.agent = url, guard, agent
        self.stop = StopSignal()
        self.throttles: dict[str, HostThrottle] = {}
        self.result: Page | OutcomeRecord = OutcomeRecord(Outcome.CONNECTION, "the fetch was interrupted")

    async def start(self) -> AsyncIterator[Any]:
        engine = self.crawler.engine
        assert engine is not None
        downloader = Downloader(engine.download_async, self.guard, self.agent)
        self.result = await self._fetch(downloader)
        return
        yield  # makes start() the generator that Scrapy expects; it yields no requests

    async def _fetch(self, downloader: Downloader) -> Page | OutcomeRecord:
        if (refusal := await self._find_refusal(downloader, self.url)) is not None:
            return refusal
        await self._throttle(self.url).acquire()
        response = await downloader.fetch(FetchRequest(self.url), lambda _, target: self._find_refusal(downloader, target))
        if isinstance(response, OutcomeRecord):
            return response
        decision = decide_response(response, Kind.PAGE, 0, datetime.now(UTC))
        if isinstance(decision, RetryAt):
            return decision.failure or OutcomeRecord(Outcome.HTTP_ERROR, decision.detail)
        return response if decision is None else decision

    async def _find_refusal(self, downloader: Downloader, url: str) -> OutcomeRecord | None:
        throttle = self._throttle(url)
        if throttle.robots is None:
            robots = await fetch_robots(downloader, throttle, url, lambda host: self._throttle_of_host(host))
            if robots.refusal is not None:
                return robots.refusal
        throttle.set_delay(DELAY_SECONDS)
        return None if throttle.decide(url).is_allowed else OutcomeRecord(Outcome.ROBOTS_DISALLOWED)

    def _throttle(self, url: str) -> HostThrottle:
        return self._throttle_of_host(urls.get_host(url))

    def _throttle_of_host(self, host: str) -> HostThrottle:
        return self.throttles.setdefault(host, HostThrottle(host, product_name(self.agent), self.stop))


def fetch(url: str) -> Page | OutcomeRecord:
    """The page or the outcome, with the settings of the environment. Runs Scrapy's reactor, so a process calls it once."""
    try:
        normal = urls.normalize(url)
    except UrlError as error:
        return OutcomeRecord(Outcome.BAD_URL, str(error))
    settings = configuration.load()
    logging.getLogger("scrapy").setLevel(logging.ERROR)
    networks = tuple(map(str, settings.allow_nets))
    process = AsyncCrawlerProcess(make_settings(SETTINGS, settings.agent, networks))
    crawler = process.create_crawler(PageFetchSpider)
    process.crawl(crawler, url=normal, guard=Guard.from_networks(networks), agent=settings.agent)
    process.start()
    assert isinstance(crawler.spider, PageFetchSpider)
    return crawler.spider.result


def main() -> None:
    """Print the result for the URL of the command line."""
    found = fetch(sys.argv[1])
    if isinstance(found, OutcomeRecord):
        result: dict[str, Any] = {"outcome": found.outcome, "detail": found.detail}
    else:
        result = {
            "url": found.url,
            "content_type": found.header("Content-Type"),
            "content_encoding": found.header("Content-Encoding"),
            "body": base64.b64encode(found.body).decode(),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Fetches one URL as the crawler does, for `newsmill extract URL` and `newsmill add`: guarded, within the limits, obeying robots.txt.

`python -m crawler.page_fetch URL` prints one JSON object: url, content_type, content_encoding and body (base64), or outcome and detail.
With `--links` it reads the page as a homepage and prints its feeds, sitemaps and the numbers of its sections and articles.
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
from crawler.listings import ListingParser, ParseRequest, own_sites
from crawler.request_signer import signing_values
from crawler.response_policy import RetryAt, decide_response
from crawler.robots import fetch_robots
from crawler.settings import SETTINGS, make_settings
from crawler.throttle import HostThrottle, StopSignal
from newsmill import settings as configuration
from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.exceptions import DecodeError, ListingError, UrlError
from newsmill.model import Kind, Outcome, OutcomeRecord, Page

DELAY_SECONDS = 1.0  # between robots.txt and the page, as for a source without a delay of its own


class PageFetchSpider(Spider):
    """Fetches robots.txt and the page, each once. `result` is the page or the outcome."""

    name = "page_fetch"

    def __init__(self, url: str, guard: Guard, agent: str, reads_links: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url, self.guard, self.agent, self.reads_links = url, guard, agent, reads_links
        self.links: dict[str, Any] = {}
        self.stop = StopSignal()
        self.throttles: dict[str, HostThrottle] = {}
        self.result: Page | OutcomeRecord = OutcomeRecord(Outcome.CONNECTION, "the fetch was interrupted")

    async def start(self) -> AsyncIterator[Any]:
        engine = self.crawler.engine
        assert engine is not None
        downloader = Downloader(engine.download_async, self.guard, self.agent)
        self.result = await self._fetch(downloader)
        if self.reads_links and isinstance(self.result, Page):
            await self._read_links(self.result)
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

    async def _read_links(self, page: Page) -> None:
        """Read the page as a homepage. A page that cannot be read becomes the outcome."""
        request = ParseRequest(
            kind=Kind.HOMEPAGE,
            listed_at=self.url,
            url=page.url,
            source=None,
            sites=own_sites(None, page.url),
            now=page.fetched_at,
            content_type=page.header("Content-Type"),
            content_encoding=page.header("Content-Encoding"),
        )
        robots = self._throttle(page.url).robots
        listings = [] if robots is None else [(Kind.SITEMAP, url) for url in robots.sitemaps]
        articles, parser = 0, ListingParser()
        try:
            async for links in parser.read(request, page.body):
                listings += [(link.kind, link.url) for link in links.listings]
                articles += len(links.pages)
        except ListingError as error:
            self.result = OutcomeRecord(Outcome.BAD_LISTING, str(error))
        except DecodeError as error:
            self.result = OutcomeRecord(Outcome(error.outcome), str(error))
        finally:
            await parser.close()
        unique = list(dict.fromkeys(listings))
        self.links = {
            "feeds": [url for kind, url in unique if kind is Kind.FEED],
            "sitemaps": [url for kind, url in unique if kind is Kind.SITEMAP],
            "sections": sum(kind is Kind.SECTION for kind, _ in unique),
            "articles": articles,
        }

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


def fetch(url: str, *, reads_links: bool = False) -> dict[str, Any]:
    """What `main` prints, with the settings of the environment. Runs Scrapy's reactor, so a process calls it once."""
    try:
        normal = urls.normalize(url)
    except UrlError as error:
        return {"outcome": Outcome.BAD_URL, "detail": str(error)}
    settings = configuration.load()
    logging.getLogger("scrapy").setLevel(logging.ERROR)
    networks = tuple(map(str, settings.allow_nets))
    process = AsyncCrawlerProcess(make_settings(SETTINGS, settings.agent, networks, signing=signing_values(settings)))
    crawler = process.create_crawler(PageFetchSpider)
    process.crawl(crawler, url=normal, guard=Guard.from_networks(networks), agent=settings.agent, reads_links=reads_links)
    process.start()
    assert isinstance(crawler.spider, PageFetchSpider)
    return _to_record(crawler.spider)


def _to_record(spider: PageFetchSpider) -> dict[str, Any]:
    found = spider.result
    if isinstance(found, OutcomeRecord):
        return {"outcome": found.outcome, "detail": found.detail}
    if spider.reads_links:
        return spider.links
    return {
        "url": found.url,
        "content_type": found.header("Content-Type"),
        "content_encoding": found.header("Content-Encoding"),
        "body": base64.b64encode(found.body).decode(),
    }


def main() -> None:
    """Print the result for the URL of the command line."""
    print(json.dumps(fetch(sys.argv[1], reads_links="--links" in sys.argv[2:])))


if __name__ == "__main__":
    main()

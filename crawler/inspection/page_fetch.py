"""Fetches one URL as the crawler does, for `newsmill extract URL`: guarded, within the limits, obeying robots.txt.

The user's Scrapy settings hold, because a site may be reachable through their proxy only.

`python -m crawler.inspection.page_fetch URL` prints one JSON object: url, content_type, content_encoding and body (base64), or outcome
and detail. `crawler.inspection.inspection_process` fetches the pages of a site in the same way.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from scrapy import Spider
from scrapy.crawler import AsyncCrawlerProcess, Crawler

from crawler.fetching.downloader import PAGE_ACCEPT, Downloader, FetchRequest, make_downloader
from crawler.fetching.robots import RobotsResponse, fetch_robots, product_name
from crawler.frontier.fetch_task import ACCEPT
from crawler.politeness.publisher_orders import ORDER_LOOKUPS, FindOrder, wait_for_turn
from crawler.politeness.response_policy import RetryAt, decide_response
from crawler.politeness.throttle import HostThrottle, StopSignal
from crawler.settings import MAX_BODY_BYTES
from crawler.user_settings.components import check_components_started
from crawler.user_settings.merge import crawl_settings, exit_with_message, load_user_settings
from crawler.user_settings.protection import check_protection
from newsmill import settings as configuration
from newsmill.context import has_store, open_context
from newsmill.discovery.sitemaps import MAX_SITEMAP_BYTES
from newsmill.exceptions import UrlError
from newsmill.model import Kind, Outcome, OutcomeRecord, Page
from newsmill.network.contact import check_contact
from newsmill.settings import Settings
from newsmill.storage.publishers import PublisherOrder
from newsmill.text import urls
from newsmill.text.sentences import Sentence

DELAY_SECONDS = 1.0  # between robots.txt and the page, as for a source without a delay of its own
MAX_WAIT_SECONDS = 10.0  # for a Retry-After; after a longer one, the host gets no further request


async def find_no_order(_: str) -> PublisherOrder | None:
    """The order of a host where nobody can give one."""
    return None


class PoliteFetcher:
    """Fetches pages one after the other as the crawler does: guarded, within the limits, at the pace of each host, obeying robots.txt."""

    def __init__(self, downloader: Downloader, agent: str, delay: float = DELAY_SECONDS, *, find_order: FindOrder = find_no_order) -> None:
        """`delay`: seconds between two requests to a host; a longer Crawl-delay, or one that its owner wants, overrides it."""
        self._downloader, self._agent, self._delay, self._find_order = downloader, agent, delay, find_order
        self._stop = StopSignal()
        self._throttles: dict[str, HostThrottle] = {}
        self._closed: dict[str, OutcomeRecord] = {}  # hosts with a Retry-After above MAX_WAIT_SECONDS, and their response
        self.robots: dict[str, RobotsResponse] = {}  # by host
        self.requests = 0  # redirects are not counted

    async def fetch(self, url: str, kind: Kind = Kind.PAGE) -> Page | OutcomeRecord:
        """The page, or the outcome that says why there is none. A status that the crawler would retry later is an outcome.

        After a Retry-After of some seconds, the URL is requested once more.
        """
        found = await self._fetch_once(url, kind)
        if isinstance(found, RetryAt) and found.host_until is not None:
            found = await self._fetch_once(url, kind)
        return found.failure or OutcomeRecord(Outcome.HTTP_ERROR, found.detail) if isinstance(found, RetryAt) else found

    async def _fetch_once(self, url: str, kind: Kind) -> Page | OutcomeRecord | RetryAt:
        if (refusal := await self._wait_for_turn(url)) is not None:
            return refusal
        self.requests += 1
        max_body = MAX_SITEMAP_BYTES if kind is Kind.SITEMAP else MAX_BODY_BYTES
        request = FetchRequest(url, ACCEPT.get(kind, PAGE_ACCEPT), max_body=max_body)
        response = await self._downloader.fetch(request, lambda _, target: self._wait_for_turn(target))
        self.get_throttle(url).mark_response()
        if isinstance(response, OutcomeRecord):
            return response
        now = datetime.now(UTC)
        decision = decide_response(response, kind, 0, now)
        if isinstance(decision, RetryAt) and decision.host_until is not None:
            self._pause(self.get_throttle(response.url), response.status, (decision.host_until - now).total_seconds())
        return response if decision is None else decision

    def _pause(self, throttle: HostThrottle, status: int, seconds: float) -> None:
        """Obey a Retry-After."""
        throttle.pause(seconds)
        if seconds > MAX_WAIT_SECONDS:
            self._closed[throttle.host] = OutcomeRecord(
                Outcome.HTTP_ERROR, Sentence("HTTP {status}, Retry-After {n:.0f} s", status=status, n=seconds)
            )

    async def _wait_for_turn(self, url: str) -> OutcomeRecord | None:
        """Wait until the URL may be requested; an outcome if it may not be."""
        return await self._find_refusal(url) or await wait_for_turn(self.get_throttle(url), self._find_order)

    async def _find_refusal(self, url: str) -> OutcomeRecord | None:
        throttle = self.get_throttle(url)
        if (refusal := self._closed.get(throttle.host)) is not None:
            return refusal
        if throttle.host not in self.robots:
            self.requests += 1
            self.robots[throttle.host] = await fetch_robots(self._downloader, throttle, url, self._throttle_of_host, self._find_order)
        if (refusal := self.robots[throttle.host].refusal) is not None:
            return refusal
        throttle.set_delay(self._delay)
        return None if throttle.decide(url).is_allowed else OutcomeRecord(Outcome.ROBOTS_DISALLOWED)

    def get_throttle(self, url: str) -> HostThrottle:
        """The throttle of the URL's host, with its robots.txt after the first fetch."""
        return self._throttle_of_host(urls.get_host(url))

    def _throttle_of_host(self, host: str) -> HostThrottle:
        return self._throttles.setdefault(host, HostThrottle(host, product_name(self._agent), self._stop))


class PageFetchSpider(Spider):
    """Fetches robots.txt and the page, each once. `result` is the page or the outcome."""

    name = "page_fetch"

    def __init__(self, url: str, values: Mapping[str, Any], has_middlewares: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url, self.values, self.has_middlewares = url, values, has_middlewares
        self.result: Page | OutcomeRecord = OutcomeRecord(Outcome.CONNECTION, Sentence("the fetch was interrupted"))

    async def start(self) -> AsyncIterator[Any]:
        self.result = await make_fetcher(self).fetch(self.url)
        return
        yield  # makes start() the generator that Scrapy expects; it yields no requests


class FetchingSpider(Protocol):
    """A spider that fetches through the engine, and yields no requests."""

    crawler: Crawler
    values: Mapping[str, Any]  # the Scrapy settings that its process was started with
    has_middlewares: bool


def make_fetcher(spider: FetchingSpider, delay: float = DELAY_SECONDS) -> PoliteFetcher:
    """The fetcher of a running spider."""
    engine = spider.crawler.engine
    assert engine is not None
    with exit_with_message():
        check_protection(spider.crawler.settings, spider.values)
    downloader = make_downloader(engine.download_async, spider.values, has_middlewares=spider.has_middlewares)
    return PoliteFetcher(downloader, spider.values["USER_AGENT"], delay, find_order=ORDER_LOOKUPS[spider.crawler])


@contextmanager
def open_order_lookup(settings: Settings) -> Iterator[FindOrder]:
    """The orders in the store of `settings`, for a process that fetches a few pages. Without a store, no host has one.

    Raises NewsmillError if the store cannot be read: then nothing may be fetched.
    """
    if not has_store(settings):
        yield find_no_order
        return
    with open_context(settings, upgrade=False) as context:

        async def find_order(host: str) -> PublisherOrder | None:
            return await asyncio.to_thread(context.ledger.publishers.order, host)

        yield find_order


SpiderType = TypeVar("SpiderType", bound=Spider)


def run_spider(spider_class: type[SpiderType], url: str, **arguments: Any) -> SpiderType:
    """The spider after its run, with the settings of the environment. Runs Scrapy's reactor, so a process calls it once.

    The spider's arguments are `url`, `arguments`, `values` and `has_middlewares`. Raises ConfigError for a wrong Scrapy setting of the user
    and for a contact on an example domain.
    """
    settings = configuration.load()
    check_contact(settings, [url])
    user = load_user_settings(settings)
    values = crawl_settings(settings, user)
    logging.getLogger("scrapy").setLevel(logging.ERROR)
    process = AsyncCrawlerProcess(values)
    crawler = process.create_crawler(spider_class)
    with open_order_lookup(settings) as find_order:
        ORDER_LOOKUPS[crawler] = find_order
        task = process.crawl(crawler, url=url, values=values, has_middlewares=bool(user), **arguments)
        process.start()
    if user:
        check_components_started(task)
    assert isinstance(crawler.spider, spider_class)
    return crawler.spider


def fetch(url: str) -> dict[str, Any]:
    """What `main` prints, with the settings of the environment. Runs Scrapy's reactor, so a process calls it once."""
    try:
        normal = urls.normalize(url)
    except UrlError as error:
        return {"outcome": Outcome.BAD_URL, "detail": str(error)}
    found = run_spider(PageFetchSpider, url=normal).result
    if isinstance(found, OutcomeRecord):
        return {"outcome": found.outcome, "detail": found.detail}
    return {
        "url": found.url,
        "content_type": found.header("Content-Type"),
        "content_encoding": found.header("Content-Encoding"),
        "body": base64.b64encode(found.body).decode(),
    }


def main() -> None:
    """Print the result for the URL of the command line."""
    with exit_with_message():
        print(json.dumps(fetch(sys.argv[1])))


if __name__ == "__main__":
    main()

"""The downloader middleware of runs: robots.txt, lease and throttle apply to every request of a spider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self
from weakref import WeakKeyDictionary

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.python import global_object_name

from crawler.fetching.failures import describe_error
from crawler.politeness.response_policy import RequestOutcomeError
from crawler.politeness.throttle import LeaseLostError, StopRequestedError
from crawler.spider_runs.spider_hosts import SpiderHost, SpiderHosts
from newsmill.discovery.retry_after import RETRY_AFTER_STATUSES, parse_retry_after
from newsmill.model import OutcomeRecord

HOST = "newsmill_host"  # in Request.meta, while the request is in flight
IS_ROBOTS = "newsmill_robots"  # in Request.meta of a robots.txt, which has no robots.txt and takes its own turn
SKIP_KNOWN = "skip_known"  # in Request.meta: do not send the request if the archive has a page of its URL
FAILED = "newsmill/failed/"  # of Scrapy's statistics: attempts without a response, by the import path of their error
HOSTS: WeakKeyDictionary[Crawler, SpiderHosts] = WeakKeyDictionary()  # the hosts of each run, because settings hold no objects


class SpiderMiddleware:
    """Applies robots.txt, the lease and the throttle of each host."""

    def __init__(self, hosts: SpiderHosts, inc_value: Callable[[str], None]) -> None:
        self.hosts = hosts
        self.count = inc_value

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(HOSTS[crawler], crawler.stats.inc_value)

    async def process_request(self, request: Request) -> None:
        """Wait for the host's turn. Raises RequestOutcomeError, an IgnoreRequest, for a URL that may not be fetched."""
        if request.meta.get(IS_ROBOTS):
            return
        request.meta.pop(HOST, None)
        if request.meta.get(SKIP_KNOWN) and await self.hosts.is_known(request.url):
            self.count("newsmill/skipped")
            raise IgnoreRequest("the archive has a page of this URL")
        try:
            entered = await self.hosts.enter(request.url)
        except StopRequestedError:
            raise IgnoreRequest("the run ends") from None
        if isinstance(entered, OutcomeRecord):
            self.count(f"newsmill/refused/{entered.outcome}")
            raise RequestOutcomeError(entered)
        request.meta[HOST] = entered

    async def process_response(self, request: Request, response: Response) -> Response:
        """End the request. Raises RequestOutcomeError for a response that the guard or the limit of headers refuses."""
        host: SpiderHost | None = request.meta.pop(HOST, None)
        if host is None:
            return response
        self.hosts.leave(host)
        if response.status == 429 or response.status >= 500:
            retry_after = response.headers.get(b"Retry-After") if response.status in RETRY_AFTER_STATUSES else None
            wait = None if retry_after is None else parse_retry_after(retry_after.decode("latin-1"), self.hosts.calls.now())
            await self.hosts.record_failure(host, wait, is_rate_limit=response.status == 429)
        else:
            host.throttle.record_success()
        refusal = self.hosts.downloader.find_response_refusal(response)
        if refusal is not None:
            self.count(f"newsmill/refused/{refusal.outcome}")
            raise RequestOutcomeError(refusal)
        return response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """End the request. One that was not sent because the lease had ended is made again."""
        host: SpiderHost | None = request.meta.pop(HOST, None)
        if host is not None:
            self.hosts.leave(host)
            if isinstance(exception, LeaseLostError):
                return request.replace(dont_filter=True)
            if isinstance(exception, RequestOutcomeError):  # of the download handler
                self.count(f"newsmill/refused/{exception.record.outcome}")
            if not isinstance(exception, IgnoreRequest):
                self.count(FAILED + global_object_name(type(exception)))
                self.hosts.first_failure = self.hosts.first_failure or describe_error(exception)
                await self.hosts.record_failure(host, None)
        return None


ROBOTS_META = {"dont_redirect": True, "dont_retry": True, "handle_httpstatus_all": True, "allow_offsite": True, IS_ROBOTS: True}


class RobotsDownload:
    """A download of a robots.txt through the engine: without the middlewares that would retry it or follow its redirects."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    async def __call__(self, request: Request) -> Response:
        request.meta.update(ROBOTS_META)
        engine: Any = self.crawler.engine
        response: Response = await engine.download_async(request)
        return response


def has_spider_middleware(crawler: Crawler) -> bool:
    """Whether every request of a running crawler passes SpiderMiddleware: the user's settings could have removed it."""
    return any(isinstance(middleware, SpiderMiddleware) for middleware in crawler.engine.downloader.middleware.middlewares)

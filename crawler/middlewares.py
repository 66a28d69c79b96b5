"""Downloader middlewares: the download through those of the user, and the one nearest to the network, for spiders.

Every request of a spider, retries and redirects included, waits for its host in SpiderMiddleware. The IP address guard and the limits of
headers and bodies are in the resolver and the download handler, which no setting changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self
from weakref import WeakKeyDictionary

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response
from scrapy.utils.python import global_object_name

from crawler.downloader import DOWNLOAD_ERRORS, MAX_ERROR_CHARACTERS, Downloader
from crawler.renderer import PLAYWRIGHT, RenderingError
from crawler.response_policy import RequestOutcomeError
from crawler.settings import MAX_BODY_BYTES
from crawler.spider_hosts import SpiderHost, SpiderHosts
from crawler.throttle import StopRequestedError
from newsmill.address_guard import Guard
from newsmill.discovery.robots import RETRY_AFTER_STATUSES, parse_retry_after
from newsmill.model import Outcome, OutcomeRecord

log = logging.getLogger(__name__)

# Raised by the downloader itself. A ValueError could be a middleware's.
OWN_ERRORS = (StopRequestedError, RequestOutcomeError, RenderingError, *(error for error in DOWNLOAD_ERRORS if error is not ValueError))
HOST = "newsmill_host"  # in Request.meta, while the request is in flight
IS_ROBOTS = "newsmill_robots"  # in Request.meta of a robots.txt, which has no robots.txt and takes its own turn
SKIP_KNOWN = "skip_known"  # in Request.meta: do not send the request if the archive has a page of its URL
FAILED = "newsmill/failed/"  # of Scrapy's statistics: attempts without a response, by the import path of their error
HOSTS: WeakKeyDictionary[Crawler, SpiderHosts] = WeakKeyDictionary()  # the hosts of each run, because settings hold no objects


# ---- middlewares of the user ----------------------------------------------------------------------------------------------------


class MiddlewareDownload:
    """A download through middlewares of the user: their refusals and failures become outcomes, and the crawl goes on."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]]) -> None:
        self.download = download

    async def __call__(self, request: Request) -> Response:
        """The response. Raises RequestOutcomeError for what a middleware did, and the errors of the downloader.

        A middleware can send a request again without end, so the deadline is one for all of them.
        """
        request.headers.pop("User-Agent", None)  # as in Scrapy, where a middleware sets it if no other has
        seconds, max_body = request.meta.get("download_timeout"), request.meta.get("download_maxsize")
        try:
            async with asyncio.timeout(seconds):
                response = await self.download(request)
        except OWN_ERRORS:
            raise
        except TimeoutError as error:
            raise DownloadTimeoutError(f"longer than {seconds} seconds") from error
        except IgnoreRequest as error:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware refused it: {_describe_error(error)}")) from error
        except Exception as error:  # code of the user: no error in it may end the crawl
            log.warning("a middleware failed on %s", request.url, exc_info=error)
            raise RequestOutcomeError(OutcomeRecord(Outcome.MIDDLEWARE_ERROR, _describe_error(error))) from error
        if PLAYWRIGHT in request.meta:
            return response  # of the browser, which has limits of its own
        if response.url != request.url:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware fetched {response.url[:MAX_ERROR_CHARACTERS]} instead"))
        if max_body and len(response.body) > max_body:
            raise RequestOutcomeError(OutcomeRecord(Outcome.TOO_LARGE, f"a middleware returned {len(response.body):,} bytes"))
        return response


def make_downloader(download: Callable[..., Any], values: Mapping[str, Any], *, has_middlewares: bool) -> Downloader:
    """The downloader for an engine with the Scrapy settings `values`. `has_middlewares`: they load middlewares of the user."""
    max_body = int(values["DOWNLOAD_MAXSIZE"])
    return Downloader(
        MiddlewareDownload(download) if has_middlewares else download,
        Guard.from_networks(values["NEWSMILL_ALLOW_NETS"]),
        values["USER_AGENT"],
        max_body=max_body if max_body < MAX_BODY_BYTES else None,
        max_seconds=float(values["DOWNLOAD_TIMEOUT"]),
        has_middlewares=has_middlewares,
        render=download,
    )


# ---- spiders --------------------------------------------------------------------------------------------------------------------


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

    async def process_exception(self, request: Request, exception: Exception) -> None:
        """End the request."""
        host: SpiderHost | None = request.meta.pop(HOST, None)
        if host is not None:
            self.hosts.leave(host)
            if isinstance(exception, RequestOutcomeError):  # of the download handler
                self.count(f"newsmill/refused/{exception.record.outcome}")
            if not isinstance(exception, IgnoreRequest):
                self.count(FAILED + global_object_name(type(exception)))
                self.hosts.first_failure = self.hosts.first_failure or _describe_error(exception)
                await self.hosts.record_failure(host, None)


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


def _describe_error(error: Exception) -> str:
    """The class and the beginning of the message of an error of code that is not ours."""
    text = str(error)[:MAX_ERROR_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

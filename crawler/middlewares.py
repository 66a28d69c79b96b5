"""What the continuous crawl needs where the operator has Scrapy middlewares of their own; nothing of it is used without them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from scrapy import Request, Spider
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.exceptions import DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response
from scrapy.http.cookies import CookieJar

from crawler.downloader import DOWNLOAD_ERRORS, MAX_ERROR_CHARACTERS
from crawler.request_errors import RequestOutcomeError
from crawler.throttle import StopRequestedError
from newsmill.model import Outcome, OutcomeRecord

log = logging.getLogger(__name__)

MAX_COOKIE_JARS = 10_000  # in memory; a URL without a source has a jar for its host
MAX_COOKIES = 300  # of one source or host; browsers keep 180 of one site
MAX_COOKIE_BYTES = 4096  # of one cookie's name and value (RFC 6265 section 6.1)

# Raised by the downloader itself. A ValueError could be a middleware's.
OWN_ERRORS = (StopRequestedError, RequestOutcomeError, *(error for error in DOWNLOAD_ERRORS if error is not ValueError))


class MiddlewareDownload:
    """A download through middlewares of the operator: their refusals and failures become outcomes, and the crawl goes on."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]]) -> None:
        self.download = download

    async def __call__(self, request: Request) -> Response:
        """The response. Raises RequestOutcomeError for what a middleware did, and the errors of the downloader.

        A middleware can send a request again without end, so the deadline is one for all of them.
        """
        request.headers.pop("User-Agent", None)  # as in Scrapy, where a middleware sets it if no other has
        seconds, max_body = request.meta["download_timeout"], request.meta["download_maxsize"]
        try:
            async with asyncio.timeout(seconds):
                response = await self.download(request)
        except OWN_ERRORS:
            raise
        except TimeoutError as error:
            raise DownloadTimeoutError(f"longer than {seconds} seconds") from error
        except IgnoreRequest as error:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware refused it: {_describe(error)}")) from error
        except Exception as error:  # code of the operator: no error in it may end the crawl
            log.warning("a middleware failed on %s", request.url, exc_info=error)
            raise RequestOutcomeError(OutcomeRecord(Outcome.MIDDLEWARE_ERROR, _describe(error))) from error
        if response.url != request.url:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware fetched {response.url[:MAX_ERROR_CHARACTERS]} instead"))
        if len(response.body) > max_body:
            raise RequestOutcomeError(OutcomeRecord(Outcome.TOO_LARGE, f"a middleware returned {len(response.body):,} bytes"))
        return response


def _describe(error: Exception) -> str:
    text = str(error)[:MAX_ERROR_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class BoundedCookiesMiddleware(CookiesMiddleware):
    """Scrapy's middleware for cookies with bounds of memory: a server can set cookies without end."""

    def process_request(self, request: Request, spider: Spider | None = None) -> Request | Response | None:
        if len(self.jars) > MAX_COOKIE_JARS:
            of_hosts = [key for key in self.jars if str(key).startswith("host ")]
            for key in of_hosts[: len(of_hosts) // 2 + 1]:
                del self.jars[key]
        return super().process_request(request)

    def process_response(self, request: Request, response: Response, spider: Spider | None = None) -> Request | Response:
        result = super().process_response(request, response)
        jar = self.jars[request.meta.get("cookiejar")]
        cookies = list(jar)
        if len(cookies) > MAX_COOKIES:
            jar.clear()
        elif any(len(cookie.name) + len(cookie.value or "") > MAX_COOKIE_BYTES for cookie in cookies):
            _drop_large_cookies(jar)
        return result


def _drop_large_cookies(jar: CookieJar) -> None:
    for cookie in list(jar):
        if len(cookie.name) + len(cookie.value or "") > MAX_COOKIE_BYTES:
            jar.clear(cookie.domain, cookie.path, cookie.name)

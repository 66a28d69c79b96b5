"""The download through Scrapy middlewares of the user, where there are any."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response

from crawler.downloader import DOWNLOAD_ERRORS, MAX_ERROR_CHARACTERS
from crawler.renderer import PLAYWRIGHT, RenderingError
from crawler.request_errors import RequestOutcomeError
from crawler.throttle import StopRequestedError
from newsmill.model import Outcome, OutcomeRecord

log = logging.getLogger(__name__)

# Raised by the downloader itself. A ValueError could be a middleware's.
OWN_ERRORS = (StopRequestedError, RequestOutcomeError, RenderingError, *(error for error in DOWNLOAD_ERRORS if error is not ValueError))


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
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware refused it: {describe_error(error)}")) from error
        except Exception as error:  # code of the user: no error in it may end the crawl
            log.warning("a middleware failed on %s", request.url, exc_info=error)
            raise RequestOutcomeError(OutcomeRecord(Outcome.MIDDLEWARE_ERROR, describe_error(error))) from error
        if PLAYWRIGHT in request.meta:
            return response  # of the browser, which has limits of its own
        if response.url != request.url:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware fetched {response.url[:MAX_ERROR_CHARACTERS]} instead"))
        if max_body and len(response.body) > max_body:
            raise RequestOutcomeError(OutcomeRecord(Outcome.TOO_LARGE, f"a middleware returned {len(response.body):,} bytes"))
        return response


def describe_error(error: Exception) -> str:
    """The class and the beginning of the message of an error of code that is not ours."""
    text = str(error)[:MAX_ERROR_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

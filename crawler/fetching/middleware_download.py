"""A download through the user's middlewares, in which their refusals and failures become outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response

from crawler.browser.renderer import PLAYWRIGHT, RenderingError
from crawler.fetching.failures import DOWNLOAD_ERRORS, MAX_ERROR_CHARACTERS, describe_error
from crawler.politeness.response_policy import RequestOutcomeError
from crawler.politeness.throttle import StopRequestedError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence

log = logging.getLogger(__name__)

# Raised by the downloader itself. A ValueError could be a middleware's.
OWN_ERRORS = (StopRequestedError, RequestOutcomeError, RenderingError, *(error for error in DOWNLOAD_ERRORS if error is not ValueError))


class MiddlewareDownload:
    """A download through middlewares of the user: their refusals and failures become outcomes, and the crawl goes on."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]]) -> None:
        self.download = download
        self.has_warned_of_agent = False

    async def __call__(self, request: Request) -> Response:
        """The response. Raises RequestOutcomeError for what a middleware did, and the errors of the downloader.

        A middleware can send a request again without end, so the deadline is one for all of them.
        """
        agent = request.headers.pop("User-Agent", None)  # as in Scrapy, where a middleware sets it if no other has
        seconds, max_body = request.meta.get("download_timeout"), request.meta.get("download_maxsize")
        try:
            async with asyncio.timeout(seconds):
                response = await self.download(request)
        except OWN_ERRORS:
            raise
        except TimeoutError as error:
            raise DownloadTimeoutError(f"longer than {seconds} seconds") from error
        except IgnoreRequest as error:
            raise RequestOutcomeError(
                OutcomeRecord(Outcome.DENIED, Sentence("a middleware refused it: {error}", error=describe_error(error)))
            ) from error
        except Exception as error:  # code of the user: no error in it may end the crawl
            log.warning("a middleware failed on %s", request.url, exc_info=error)
            raise RequestOutcomeError(OutcomeRecord(Outcome.MIDDLEWARE_ERROR, describe_error(error))) from error
        if request.url.endswith("/robots.txt"):
            self._warn_of_changed_agent(agent, response.request or request)
        if PLAYWRIGHT in request.meta:
            return response  # of the browser, which has limits of its own
        if response.url != request.url:
            raise RequestOutcomeError(
                OutcomeRecord(Outcome.DENIED, Sentence("a middleware fetched {url} instead", url=response.url[:MAX_ERROR_CHARACTERS]))
            )
        if max_body and len(response.body) > max_body:
            raise RequestOutcomeError(OutcomeRecord(Outcome.TOO_LARGE, Sentence("a middleware returned {n:,} bytes", n=len(response.body))))
        return response

    def _warn_of_changed_agent(self, agent: list[bytes] | None, request: Request) -> None:
        """Log once that a middleware changed the User-Agent of a robots.txt, whose rules are chosen by Newsmill's."""
        sent = request.headers.getlist("User-Agent")
        if agent and sent != agent and not self.has_warned_of_agent:
            self.has_warned_of_agent = True
            log.warning(
                "a middleware sends the User-Agent %.200r for %s, but the rules for %r are obeyed; remove it, or set NEWSMILL_USER_AGENT",
                b", ".join(sent).decode("latin-1"),
                request.url,
                b", ".join(agent).decode("latin-1"),
            )

"""Renders fetched pages in a browser, for sources that ask for it. Nothing of the browser is imported before the first page.

`crawler.network.download_handler.CappedHandler` hands the request to `crawler.browser.handler`. No middleware sees it:
it fetches nothing, because the page has been fetched, and a cache would answer it with the response.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace

from scrapy import Request
from scrapy.exceptions import NotSupported
from scrapy.http import Response

from crawler.politeness.response_policy import RequestOutcomeError
from newsmill.model import LeasedUrl, Page, Render, Source
from newsmill.network.address_guard import Guard
from newsmill.text.sentences import cut_sentence

log = logging.getLogger(__name__)

PLAYWRIGHT = "playwright"  # scrapy-playwright's key of Request.meta: a true value asks for the browser
RENDER_JOB = "newsmill_render"  # key of Request.meta: a RenderJob
MAX_FAILURE_CHARACTERS = 300
HTML_TYPES = frozenset({"", "text/html", "application/xhtml+xml"})
SAMPLE_RATE = 20  # of a source whose pages are all rendered, one page in so many is tried without a browser first


def needs_rendering(page: Page, leased_url: LeasedUrl, source: Source, script_sources: Collection[str]) -> bool:
    """Whether to render a page that was fetched. `script_sources`: sources whose last pages all had their text only in a browser."""
    if source.render is Render.NEVER:
        return False
    media_type = (page.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type not in HTML_TYPES:
        return False
    is_sample = zlib.crc32(leased_url.url.encode()) % SAMPLE_RATE == 0
    return source.render is Render.ALWAYS or leased_url.is_rendering_wanted or (source.name in script_sources and not is_sample)


class RenderingError(Exception):
    """Raised when a page gives no DOM."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    """A fetched page to render, and what it may reach on the network."""

    page: Page
    guard: Guard
    user_agent: str
    language: str | None


class Renderer:
    """Renders one page of a source at a time, in the browser context of that source: sources share no cookies."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]], guard: Guard, user_agent: str) -> None:
        self._download = download
        self._guard = guard
        self._user_agent = user_agent
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._is_unavailable_logged = False

    async def render(self, page: Page, source: Source) -> Page:
        """The page with its rendered DOM, or with the reason why there is none."""
        job = RenderJob(page, self._guard_of(page), self._user_agent, source.language)
        request = Request(page.url, meta={PLAYWRIGHT: True, "playwright_context": f"source {source.name}", RENDER_JOB: job})
        async with self._locks[source.name]:
            try:
                response = await self._download(request)
            except NotSupported as error:
                if not self._is_unavailable_logged:
                    log.error("source %s asks for rendering: %s", source.name, error)
                self._is_unavailable_logged = True
                return replace(page, rendering_failure=cut_sentence(str(error), MAX_FAILURE_CHARACTERS))
            except (RenderingError, RequestOutcomeError) as error:  # the latter: of a middleware of the user
                return replace(page, rendering_failure=cut_sentence(str(error), MAX_FAILURE_CHARACTERS))
        return replace(page, rendered=response.body)

    def _guard_of(self, page: Page) -> Guard:
        """Only a page from a private IP address reaches the private networks that the user allows to the crawler."""
        is_private = page.ip is not None and Guard().find_refusal(page.ip) is not None
        return self._guard if is_private else Guard()

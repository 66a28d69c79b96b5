"""The download handler that every request of every spider reaches last."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError, NotSupported
from scrapy.http import Response

from crawler.browser.renderer import PLAYWRIGHT, RENDER_JOB
from crawler.network.certificates import VerifyingContextFactory
from crawler.network.header_limit import CappedFactory
from crawler.network.proxy_connections import ProxyClient
from crawler.network.request_signer import RequestSigner
from crawler.politeness.publisher_orders import STOPPED_BY_OWNER, is_stopped_by_owner
from crawler.politeness.response_policy import RequestOutcomeError
from newsmill.discovery.sitemaps import MAX_SITEMAP_BYTES
from newsmill.network.address_guard import REFUSED_HOSTS
from newsmill.version import install_hint


class CappedHandler(HTTP11DownloadHandler):
    """Scrapy's download handler with CappedFactory, a limit of bodies that no middleware raises, and checked proxies.

    Requests with `meta["playwright"]` go to the browser, which starts with the first.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        pool: Any = self._pool
        pool._factory = partial(CappedFactory, crawler=crawler)
        self._contextFactory: Any = VerifyingContextFactory.from_crawler(crawler)
        self._proxy_client = ProxyClient(crawler, self._pool, self._contextFactory)
        self._signer = RequestSigner(crawler.settings)

    async def download_request(self, request: Request) -> Response:
        """The response: directly, through the proxy that a middleware named in `request.meta`, or from the browser.

        Every request of every spider and middleware ends here, so the stop of a host's owner and the signature cannot be passed by.
        Raises RequestOutcomeError for a host that its owner has stopped.
        """
        if RENDER_JOB not in request.meta and await is_stopped_by_owner(self._crawler, request.url):  # a job's page was fetched already
            raise RequestOutcomeError(STOPPED_BY_OWNER)
        if request.meta.get(PLAYWRIGHT):
            return await _find_browser_handler(self._crawler).download_request(request)  # type: ignore[no-any-return]
        self._signer.sign(request)
        max_size = request.meta.get("download_maxsize")
        if max_size is not None and not 0 < max_size <= MAX_SITEMAP_BYTES:
            request.meta["download_maxsize"] = self._default_maxsize
        if request.meta.get("proxy"):
            return await self._proxy_client.download(request)
        try:
            return await super().download_request(request)
        except CannotResolveHostError:
            refusal = REFUSED_HOSTS.get(urlsplit(request.url).hostname or "")
            if refusal is None:
                raise
            raise CannotResolveHostError(refusal) from None

    async def close(self) -> None:
        await super().close()
        if (handler := _BROWSER_HANDLERS.pop(self._crawler, None)) is not None:
            await handler.close()


_BROWSER_HANDLERS: dict[Crawler, Any] = {}  # one browser for http and https, which have a CappedHandler each


def _find_browser_handler(crawler: Crawler) -> Any:
    """The crawler's BrowserHandler, made with its first request. Raises NotSupported without the extra `render`."""
    if crawler not in _BROWSER_HANDLERS:
        try:
            from crawler.browser.handler import BrowserHandler  # loads Playwright, which few crawlers need
        except ImportError as error:
            raise NotSupported(f"the extra is not installed ({error}): {install_hint('render')}") from error
        _BROWSER_HANDLERS[crawler] = BrowserHandler(crawler)
    return _BROWSER_HANDLERS[crawler]

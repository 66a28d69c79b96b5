"""Downloads through the HTTP proxy that a middleware names."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import Response
from scrapy.utils._download_handlers import wrap_twisted_exceptions
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.web.client import HTTPConnectionPool

from crawler.network.proxy_connections import RoutedAgent
from crawler.network.proxy_route import ProxyError, find_route
from newsmill.network.address_guard import Guard


class ProxyClient:
    """Downloads through proxies, on the connection pool and with the limits of a download handler."""

    def __init__(self, crawler: Crawler, pool: HTTPConnectionPool, context_factory: Any) -> None:
        settings = crawler.settings
        self.guard = Guard.from_networks(settings.getlist("NEWSMILL_ALLOW_NETS"))
        self.resolves_names = settings.getbool("NEWSMILL_PROXY_RESOLVES_NAMES")
        self.max_seconds = settings.getfloat("DOWNLOAD_TIMEOUT")
        self._agent_arguments = {
            "contextFactory": context_factory,
            "bindAddress": settings.get("DOWNLOAD_BIND_ADDRESS"),
            "pool": pool,
            "maxsize": settings.getint("DOWNLOAD_MAXSIZE"),
            "warnsize": settings.getint("DOWNLOAD_WARNSIZE"),
            "crawler": crawler,
        }

    async def download(self, request: Request) -> Response:
        """The response. Raises RequestOutcomeError for a target that the guard refuses, ProxyError, and what Scrapy's handler raises."""
        try:
            async with asyncio.timeout(request.meta.get("download_timeout") or self.max_seconds):
                route = await find_route(request, self.guard, self.resolves_names)
        except TimeoutError:
            raise DownloadTimeoutError("name lookup") from None
        agent = RoutedAgent(route, **self._agent_arguments)
        try:
            with wrap_twisted_exceptions():
                response = await maybe_deferred_to_future(agent.download_request(request))
        except TunnelError as error:
            raise ProxyError(str(error)) from error
        return response.replace(ip_address=None if route.target_ip is None else ip_address(route.target_ip))

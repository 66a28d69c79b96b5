"""Downloads through the HTTP proxy that a middleware names: a tunnel to the checked IP address of a target, or a proxy that resolves names.

They extend classes that are private to Scrapy 2.19: pyproject pins Scrapy to a minor version, and tests fetch through real proxies.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import (
    TunnelError,
    _BindAddressAgent,
    _ScrapyAgent,
    _ScrapyProxyAgent,
    _tunnel_request_data,
    _TunnelingAgent,
    _TunnelingTCP4ClientEndpoint,
)
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import Response
from scrapy.utils._download_handlers import normalize_bind_address, wrap_twisted_exceptions
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.python import to_unicode
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool

from crawler.network.proxy_route import ProxyError, Route, find_route
from newsmill.network.address_guard import Guard

MAX_TUNNEL_ANSWER_BYTES = 64 * 1024  # of a proxy's answer to CONNECT; an honest one has some hundred


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


class RoutedAgent(_ScrapyAgent):
    """Scrapy's agent for one request, with the connections of a route in place of those it would make itself."""

    def __init__(self, route: Route, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._route = route

    def _get_agent(self, request: Request, timeout: float) -> _BindAddressAgent:
        from twisted.internet import reactor  # an earlier import would install a reactor

        arguments: dict[str, Any] = {
            "reactor": reactor,
            "contextFactory": self._contextFactory,
            "connectTimeout": timeout,
            "bindAddress": normalize_bind_address(request.meta.get("bindaddress") or self._bindAddress),
            "pool": self._pool,
        }
        if self._route.target_ip is None and request.url.startswith("http:"):
            if self._route.authorization is not None:
                request.headers[b"Proxy-Authorization"] = self._route.authorization
            return ForwardingAgent(self._route, **arguments)
        return TunnelAgent(self._route, **arguments)


class ForwardingAgent(_ScrapyProxyAgent):
    """Sends http requests with names to the proxy, over a connection to its checked IP address."""

    def __init__(self, route: Route, **arguments: Any) -> None:
        super().__init__(proxyURI=f"http://{_bracket(route.proxy_ip)}:{route.proxy_port}".encode(), **arguments)
        self._route = route

    def _getEndpoint(self, uri: Any) -> TCP4ClientEndpoint:  # noqa: N802 (Twisted's name)
        factory = self._endpointFactory
        return ProxyEndpoint(self._reactor, self._route.proxy_ip, self._route.proxy_port, factory._connectTimeout, factory._bindAddress)


class TunnelAgent(_TunnelingAgent):
    """Reaches one target through a tunnel to its checked IP address."""

    def __init__(self, route: Route, **arguments: Any) -> None:
        super().__init__(proxyConf=(route.proxy_ip, route.proxy_port, route.authorization), **arguments)
        self._route = route

    def _getEndpoint(self, uri: Any) -> TunnelEndpoint:  # noqa: N802 (Twisted's name)
        return TunnelEndpoint(
            self._route,
            uri.scheme == b"https",
            reactor=self._reactor,
            host=uri.host,
            port=uri.port,
            proxyConf=self._proxyConf,
            contextFactory=self._contextFactory,
            timeout=self._endpointFactory._connectTimeout,
            bindAddress=self._endpointFactory._bindAddress,
        )

    def _requestWithEndpoint(self, key: Any, *arguments: Any, **keywords: Any) -> Any:  # noqa: N802 (Twisted's name)
        """Keep a connection for the same target IP address only: the next lookup of the name may give another one."""
        return super()._requestWithEndpoint((*key, self._route.target_ip), *arguments, **keywords)


class ProxyEndpoint(TCP4ClientEndpoint):
    """A TCP connection to an IP address of either version, whose failure is the proxy's."""

    def connect(self, factory: Any) -> Any:
        return super().connect(factory).addErrback(_blame_proxy)


class TunnelEndpoint(_TunnelingTCP4ClientEndpoint):
    """Scrapy's tunnel, to the checked IP address of the target, without TLS inside for http, and closed when the request is cancelled."""

    def __init__(self, route: Route, is_tls: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._target = _bracket(to_unicode(self._tunneledHost) if route.target_ip is None else route.target_ip)
        self._is_tls = is_tls
        self._tunnelReadyDeferred = Deferred(self._abort)

    def requestTunnel(self, protocol: Any) -> Any:  # noqa: N802 (Scrapy's name)
        self._protocol = protocol
        if self._tunnelReadyDeferred.called:  # cancelled while the connection was made
            self._abort()
            return protocol
        protocol.transport.write(_tunnel_request_data(self._target, self._tunneledPort, self._proxyAuthHeader))
        self._protocolDataReceived = protocol.dataReceived
        protocol.dataReceived = self.processProxyResponse
        return protocol

    def processProxyResponse(self, data: bytes) -> None:  # noqa: N802 (Scrapy's name)
        ready = self._tunnelReadyDeferred
        if ready.called:
            self._abort()
        elif len(self._connectBuffer) + len(data) > MAX_TUNNEL_ANSWER_BYTES:
            self._abort()
            ready.errback(TunnelError(f"the proxy answered with more than {MAX_TUNNEL_ANSWER_BYTES} bytes"))
        elif not self._is_tls and self._is_open(data):
            self._protocol.dataReceived = self._protocolDataReceived  # type: ignore[method-assign]
            ready.callback(self._protocol)
        else:
            super().processProxyResponse(data)

    def _is_open(self, data: bytes) -> bool:
        answer = bytes(self._connectBuffer + data)
        status = self._responseMatcher.match(answer)
        return b"\r\n\r\n" in answer and status is not None and status["status"] == b"200"

    def connectFailed(self, reason: Any) -> None:  # noqa: N802 (Scrapy's name)
        if not self._tunnelReadyDeferred.called:
            failure = Failure(ProxyError(_describe(reason)))  # type: ignore[no-untyped-call]
            self._tunnelReadyDeferred.errback(failure if reason.check(ConnectError) else reason)

    def _abort(self, _: Any = None) -> None:
        protocol = getattr(self, "_protocol", None)
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abortConnection()


def _blame_proxy(reason: Any) -> Any:
    """A connection that cannot be made is the proxy's failure, not the target's."""
    if reason.check(ConnectError):
        raise ProxyError(_describe(reason))
    return reason


def _describe(reason: Any) -> str:
    return f"no connection to the proxy: {reason.value}"


def _bracket(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip

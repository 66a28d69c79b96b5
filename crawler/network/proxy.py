"""Requests through an HTTP proxy that a middleware names: the IP address guard checks the proxy and the target as it does without a proxy.

A proxy resolves the names that it is sent, so a name could lead it into a private network. Newsmill resolves the target itself and opens a
tunnel (CONNECT) to the checked IP address, for http too: RFC 9112 section 3.2.2 makes a proxy replace the Host header by the request
target, and a target with an IP address would lose the name of the site. Inside the tunnel, TLS and Host have the name.
With NEWSMILL_PROXY_RESOLVES_NAMES the proxy gets names, as Scrapy sends them, and checks them itself.

ProxyClient extends classes that are private to Scrapy 2.19: pyproject pins Scrapy to a minor version, and tests fetch through real proxies.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

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
from scrapy.exceptions import CannotResolveHostError, DownloadTimeoutError
from scrapy.http import Response
from scrapy.utils._download_handlers import normalize_bind_address, wrap_twisted_exceptions
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.python import to_unicode
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool

from crawler.politeness.response_policy import RequestOutcomeError
from newsmill.address_guard import REFUSED_HOSTS, REMEDY, WEB_PORTS, Guard, is_answer_of_name_server
from newsmill.model import Outcome, OutcomeRecord

WEB_PORT = 443  # with which the guard judges only the IP address of a proxy: a proxy may listen on any port
MAX_TUNNEL_ANSWER_BYTES = 64 * 1024  # of a proxy's answer to CONNECT; an honest one has some hundred


# ---- routes ---------------------------------------------------------------------------------------------------------------------


class ProxyError(Exception):
    """Raised when a proxy cannot be used or reached, or refuses a tunnel. Not for failures of the target."""


@dataclass(frozen=True, slots=True)
class Route:
    """The checked way to a target: the proxy's IP address and port, its credentials, and the target's IP address (None: the proxy's
    business)."""

    proxy_ip: str
    proxy_port: int
    authorization: bytes | None
    target_ip: str | None


async def find_route(request: Request, guard: Guard, resolves_names: bool) -> Route:
    """The checked route that `request.meta["proxy"]` asks for. Raises RequestOutcomeError, ProxyError and CannotResolveHostError."""
    target = urlsplit(request.url)
    host, port = target.hostname or "", target.port or (443 if target.scheme == "https" else 80)
    if resolves_names:
        refusal = find_name_refusal(guard, host, port)
        if refusal is not None:
            raise RequestOutcomeError(OutcomeRecord(Outcome.SSRF_BLOCKED, refusal))
        target_ip = None
    else:
        target_ip = await _resolve_target(guard, host, port)
    return await _make_route(request, guard, target_ip)


def find_name_refusal(guard: Guard, host: str, port: int) -> str | None:
    """The reason not to send this host to a proxy that resolves names: a private IP address, the proxy's own machine, or a port."""
    try:
        return guard.find_refusal(str(ip_address(host)), port)
    except ValueError:
        pass
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return f"{host} is the proxy's own machine"
    return None if port in WEB_PORTS else f"port {port} is not 80 or 443"


async def _resolve_target(guard: Guard, host: str, port: int) -> str:
    ips = await resolve(host, port)
    allowed = [ip for ip in ips if guard.find_refusal(ip, port) is None]
    if allowed:
        return min(allowed, key=lambda ip: ":" in ip)  # IPv4 first: many proxies have no IPv6
    refusal = REFUSED_HOSTS.get(host.rstrip(".")) or (guard.find_refusal(ips[0], port) if ips else None)
    if refusal is not None:
        raise RequestOutcomeError(make_refusal_outcome(host, refusal))
    raise CannotResolveHostError(f"DNS lookup failed: no results for hostname lookup: {host}")


def make_refusal_outcome(host: str, refusal: str) -> OutcomeRecord:
    """The outcome of a URL whose host the guard refuses. It is tried again if the next answer of a name server may be another one."""
    return OutcomeRecord(Outcome.SSRF_BLOCKED, refusal, may_pass=is_answer_of_name_server(host, refusal))


async def _make_route(request: Request, guard: Guard, target_ip: str | None) -> Route:
    proxy = str(request.meta["proxy"])
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, parts, port = None, urlsplit(""), 0
    if host is None or parts.scheme != "http":
        raise ProxyError(f"only proxies such as http://proxy.example.org:3128 can be used, not one with the scheme {parts.scheme!r}")
    ips = [ip for ip in await resolve(host, WEB_PORT) if guard.find_refusal(ip) is None]
    if not ips:
        refusal = REFUSED_HOSTS.get(host.rstrip("."))
        raise ProxyError(f"the proxy {host} has no IP address" if refusal is None else f"the proxy {refusal}; {REMEDY}")
    authorization = request.headers.get(b"Proxy-Authorization")
    if authorization is None and parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + b64encode(credentials.encode())
    return Route(ips[0], port, authorization, target_ip)


async def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a name, or of an IP address in any spelling, through the reactor's resolver; empty if there is none."""
    from twisted.internet import reactor  # an earlier import would install a reactor

    receiver = AddressReceiver()
    reactor.nameResolver.resolveHostName(receiver, host, portNumber=port)
    return await receiver.ips


class AddressReceiver:
    """Collects what a name resolver finds."""

    def __init__(self) -> None:
        self.ips: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._found: list[str] = []

    def resolutionBegan(self, resolution: Any) -> None:  # noqa: N802 (Twisted's name)
        """A lookup cannot be stopped; its result is dropped."""

    def addressResolved(self, address: Any) -> None:  # noqa: N802 (Twisted's name)
        self._found.append(str(address.host))

    def resolutionComplete(self) -> None:  # noqa: N802 (Twisted's name)
        if not self.ips.done():
            self.ips.set_result(self._found)


# ---- downloads ------------------------------------------------------------------------------------------------------------------


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


# ---- connections


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

"""The checked way to a target through a proxy: the IP address guard checks the proxy and the target as it does without a proxy.

A proxy resolves the names that it is sent, so a name could lead it into a private network. Newsmill resolves the target itself and opens a
tunnel (CONNECT) to the checked IP address, for http too: RFC 9112 section 3.2.2 makes a proxy replace the Host header by the request
target, and a target with an IP address would lose the name of the site. Inside the tunnel, TLS and Host have the name.
With NEWSMILL_PROXY_RESOLVES_NAMES the proxy gets names, as Scrapy sends them, and checks them itself.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from scrapy import Request
from scrapy.exceptions import CannotResolveHostError

from crawler.politeness.response_policy import RequestOutcomeError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.network.address_guard import REFUSED_HOSTS, WEB_PORTS, Guard, is_answer_of_name_server
from newsmill.text.sentences import Sentence

WEB_PORT = 443  # with which the guard judges only the IP address of a proxy: a proxy may listen on any port


class ProxyError(Exception):
    """Raised when a proxy cannot be used or reached, or refuses a tunnel. Not for failures of the target."""


@dataclass(frozen=True, slots=True)
class Route:
    """The checked way to a target: the proxy's IP address and port, its credentials, and the target's IP address (None: the proxy's)."""

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
        return Sentence("{host} is the proxy's own machine", host=host)
    return None if port in WEB_PORTS else Sentence("port {port} is not 80 or 443", port=port)


async def _resolve_target(guard: Guard, host: str, port: int) -> str:
    ips = await resolve(host, port)
    allowed = [ip for ip in ips if guard.find_refusal(ip, port) is None]
    if allowed:
        return min(allowed, key=lambda ip: ":" in ip)  # IPv4 first: many proxies have no IPv6
    refusal = REFUSED_HOSTS.get(host.rstrip(".")) or (guard.find_refusal(ips[0], port) if ips else None)
    if refusal is not None:
        raise RequestOutcomeError(make_refusal_outcome(host, refusal))
    raise CannotResolveHostError(Sentence("DNS lookup failed: no results for hostname lookup: {host}", host=host))


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
        raise ProxyError(
            Sentence(
                "only proxies such as http://proxy.example.org:3128 can be used, not one with the scheme {name}", name=repr(parts.scheme)
            )
        )
    ips = [ip for ip in await resolve(host, WEB_PORT) if guard.find_refusal(ip) is None]
    if not ips:
        refusal = REFUSED_HOSTS.get(host.rstrip("."))
        if refusal is None:
            raise ProxyError(Sentence("the proxy {host} has no IP address", host=host))
        raise ProxyError(Sentence("the proxy {refusal}", refusal=refusal))
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

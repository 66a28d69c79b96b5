"""Protection against SSRF: no connection to a private network. The IP address decides, never its spelling in a URL.

`getaddrinfo` sees host names and IP literals alike (`2130706433`, `0x7f.1` and `①②⑦.⓪.⓪.①` too). The guarded one returns the
IP addresses that are connected to, so a rebinding name server gets no second lookup. The crawler
(crawler/network/guarded_resolver.py) and the other clients (guarded_connection.py) connect through it. tests/attacks/test_ways_out.py
lists every module that reaches the network, and what guards it.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Self

from newsmill.text.sentences import Sentence

IPNetwork = IPv4Network | IPv6Network

WEB_PORTS = frozenset({80, 443})  # a "web page" on 22, 25, 6379 or 5432 is an attempt to reach another service through the crawler

# Networks that `is_global` lets through although they lead to a host's own network, or nowhere.
FORBIDDEN_NETWORKS = tuple(
    ip_network(net)
    for net in (
        "192.0.0.0/24",  # IETF protocol assignments; `is_global` differs between Python 3.11 and 3.13
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # on Azure, every machine's own host with its secrets
        "2001::/23",  # IETF protocol assignments, with Teredo, which carries any IPv4 host
        "2002::/16",  # 6to4, which carries any IPv4 host
        "2001:db8::/32",
        "3fff::/20",  # documentation; unknown to Python 3.11
    )
)
# All IPv6 that IANA assigns: without NAT64 (64:ff9b::), v4-mapped, v4-compatible and site-local IP addresses.
IPV6_UNICAST = IPv6Network("2000::/3")

# Host name → reason, for names with refused IP addresses only. It distinguishes `ssrf_blocked` from `dns`: both appear as "cannot resolve".
# A hostile wildcard domain has any number of such names; only the names of requests in flight are looked up here.
REFUSED_HOSTS: OrderedDict[str, str] = OrderedDict()
MAX_REFUSED_HOSTS = 10_000  # the oldest is dropped
NOT_PUBLIC = "is not a public IP address"


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule: globally routable unicast on ports 80 and 443, or any IP address and port in an allowed network."""

    allow_nets: tuple[IPNetwork, ...] = ()
    ports: frozenset[int] = WEB_PORTS

    @classmethod
    def from_networks(cls, nets: Iterable[str]) -> Self:
        """A guard that allows these networks, e.g. "127.0.0.0/8" (NEWSMILL_ALLOW_NETS). Raises ValueError for an invalid network."""
        return cls(tuple(ip_network(net) for net in nets))

    def find_refusal(self, ip_text: str, port: int | None = None) -> str | None:
        """The reason not to connect to this IP address and port; None if both are allowed. A port of None is not checked."""
        try:
            ip = ip_address(ip_text.partition("%")[0])  # "fe80::1%eth0" names an interface after the IP address
        except ValueError:
            return Sentence("{ip} is not an IP address", ip=ip_text)
        if any(ip in net for net in self.allow_nets):
            return None
        if not is_public(ip):
            return Sentence("{ip} is not a public IP address; NEWSMILL_ALLOW_NETS={ip} permits it", ip=ip)
        if port is not None and port not in self.ports:
            return Sentence("port {port} is not 80 or 443; NEWSMILL_ALLOW_NETS={ip} permits all ports of {ip}", port=port, ip=ip)
        return None


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether the IP address is globally routable unicast."""
    if not ip.is_global or ip.is_multicast or (ip.version == 6 and ip not in IPV6_UNICAST):
        return False
    return not any(ip in net for net in FORBIDDEN_NETWORKS)


def is_answer_of_name_server(host: str, refusal: str) -> bool:
    """Whether a host is refused for the answer of a name server, which may change, and not for its URL.

    Log-in pages of networks and filters answer every name with a private IP address for some time.

    >>> refusal = Guard().find_refusal("10.0.0.1")
    >>> is_answer_of_name_server("paper.example", refusal), is_answer_of_name_server("10.0.0.1", refusal)
    (True, False)
    """
    return NOT_PUBLIC in refusal and not refusal.startswith(host)


def make_guarded_getaddrinfo(guard: Guard, lookup: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A `getaddrinfo` that leaves out every IP address the guard refuses. A name without an allowed IP address does not resolve.

    Each answer is checked alone, so a name with one public and one private IP address is reached at the public one only.
    `lookup` replaces socket.getaddrinfo in tests.
    """

    def getaddrinfo(host: str, port: int, *rest: Any) -> list[Any]:
        try:
            answers = (lookup or socket.getaddrinfo)(host, port, *rest)
        except UnicodeError as e:  # labels too long or empty; Twisted waits forever after any other error
            raise socket.gaierror(str(e)) from e
        refusals = [guard.find_refusal(str(answer[4][0]), int(answer[4][1])) for answer in answers]
        kept = [answer for answer, refusal in zip(answers, refusals, strict=True) if refusal is None]
        if answers and not kept:
            REFUSED_HOSTS[host.rstrip(".")] = next(refusal for refusal in refusals if refusal is not None)
            if len(REFUSED_HOSTS) > MAX_REFUSED_HOSTS:
                REFUSED_HOSTS.popitem(last=False)
        else:
            REFUSED_HOSTS.pop(host.rstrip("."), None)
        return kept

    return getaddrinfo

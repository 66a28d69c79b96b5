"""Keeps us out of private networks: every address is judged where the connection is made, never by its spelling in a URL.

`getaddrinfo` sees host names and address literals alike (`2130706433`, `0x7f.1` and `①②⑦.⓪.⓪.①` too), and what it returns through `guarded`
is what is connected to, so there is no second lookup that a rebinding name server could answer differently. The crawler (crawler/resolver.py)
and the web hooks (newsmill/web) both connect through it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Self

IPNetwork = IPv4Network | IPv6Network

WEB_PORTS = frozenset({80, 443})  # a "web page" on 22, 25, 6379 or 5432 is an attempt to talk to another service through us

# What `is_global` lets through although it leads to somebody else's inside, or to nobody (RELIABILITY A3).
FORBIDDEN_NETWORKS = tuple(
    ip_network(net)
    for net in (
        "192.0.0.0/24",  # IETF protocol assignments; Python's answer for parts of it changed between 3.11 and 3.13
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # on every machine of Azure the way to its own host, with that one's secrets
        "2001::/23",  # IETF protocol assignments, with Teredo, which carries any IPv4 address
        "2002::/16",  # 6to4, which carries any IPv4 address
        "2001:db8::/32",
        "3fff::/20",  # documentation; unknown to Python 3.11
    )
)
IPV6_UNICAST = IPv6Network(
    "2000::/3"
)  # all of the IPv6 that IANA gives out: leaves out NAT64 (64:ff9b::), v4-mapped, v4-compatible, site-local

# Names whose every answer was refused, with the reason: tells `ssrf_blocked` from `dns`, which both surface as "cannot resolve".
# One process has one resolver, and the set of such names is as small as the number of attacks seen.
REFUSED_HOSTS: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule: globally routable unicast on ports 80 and 443, or anything in the operator's allowed networks."""

    allow_nets: tuple[IPNetwork, ...] = ()

    @classmethod
    def from_networks(cls, nets: Iterable[str]) -> Self:
        """From NEWSMILL_ALLOW_NETS' values, e.g. "127.0.0.0/8". Raises ValueError for what is no network."""
        return cls(tuple(ip_network(net) for net in nets))

    def find_refusal(self, address: str, port: int | None = None) -> str | None:
        """Why this address must not be connected to, or None when it may be. A port of None is not judged."""
        try:
            ip = ip_address(address.partition("%")[0])  # "fe80::1%eth0" names an interface after the address
        except ValueError:
            return f"{address} is no IP address"
        if any(ip in net for net in self.allow_nets):
            return None
        if not _public(ip):
            return f"{address} is not a public address"
        if port is not None and port not in WEB_PORTS:
            return f"port {port} is not 80 or 443"
        return None


def _public(ip: IPv4Address | IPv6Address) -> bool:
    if not ip.is_global or ip.is_multicast or (ip.version == 6 and ip not in IPV6_UNICAST):
        return False
    return not any(ip in net for net in FORBIDDEN_NETWORKS)


def make_guarded_getaddrinfo(guard: Guard, lookup: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A `getaddrinfo` that leaves out every address the guard refuses; a name with none left does not resolve.

    Each answer is judged alone, so a name with one public and one private address is reached at the public one only.
    `lookup` stands for socket.getaddrinfo in tests.
    """

    def getaddrinfo(host: str, port: int, *rest: Any) -> list[Any]:
        try:
            answers = (lookup or socket.getaddrinfo)(host, port, *rest)
        except UnicodeError as e:  # labels too long or empty; Twisted waits for ever on anything but gaierror
            raise socket.gaierror(str(e)) from e
        refusals = [guard.find_refusal(str(answer[4][0]), int(answer[4][1])) for answer in answers]
        kept = [answer for answer, refusal in zip(answers, refusals, strict=True) if refusal is None]
        if answers and not kept:
            REFUSED_HOSTS[host.rstrip(".")] = next(refusal for refusal in refusals if refusal is not None)
        else:
            REFUSED_HOSTS.pop(host.rstrip("."), None)
        return kept

    return getaddrinfo

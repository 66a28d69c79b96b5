"""Scrapy's name resolver under the guard of newsmill/address_guard.py: what it returns is what Twisted connects to."""

from __future__ import annotations

from typing import Any, Self

from newsmill.address_guard import Guard, make_guarded_getaddrinfo


class GuardedResolver:
    """Scrapy's TWISTED_DNS_RESOLVER: IPv4 and IPv6, judged by the guard, without Scrapy's cache (it never forgets an address).

    The download deadline is the time limit of a lookup; the system's resolver is the cache.
    """

    def __init__(self, reactor: Any, guard: Guard) -> None:
        self.reactor = reactor
        self.guard = guard

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        return cls(reactor, Guard.from_networks(crawler.settings.getlist("NEWSMILL_ALLOW_NETS")))

    def install_on_reactor(self) -> None:
        from twisted.internet._resolver import GAIResolver  # importing it earlier would install a reactor

        self.reactor.installNameResolver(GAIResolver(self.reactor, getaddrinfo=make_guarded_getaddrinfo(self.guard)))

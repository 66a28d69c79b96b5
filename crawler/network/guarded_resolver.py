"""The name resolver that returns only IP addresses which the guard allows."""

from __future__ import annotations

from typing import Any, Self

from newsmill.network.address_guard import Guard, make_guarded_getaddrinfo


class GuardedResolver:
    """Scrapy's TWISTED_DNS_RESOLVER for IPv4 and IPv6 with the guard: Twisted connects only to the IP addresses that it returns.

    It lacks Scrapy's cache, which never forgets an IP address: the system's resolver is the cache. The download's deadline limits a lookup.
    """

    def __init__(self, reactor: Any, guard: Guard) -> None:
        self.reactor = reactor
        self.guard = guard

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        return cls(reactor, Guard.from_networks(crawler.settings.getlist("NEWSMILL_ALLOW_NETS")))

    def install_on_reactor(self) -> None:
        from twisted.internet._resolver import GAIResolver  # an earlier import would install a reactor

        self.reactor.installNameResolver(GAIResolver(self.reactor, getaddrinfo=make_guarded_getaddrinfo(self.guard)))

"""The hosts that a crawler holds, each with its lease and its throttle."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta

from crawler.politeness.throttle import HostThrottle
from crawler.state.crawl_state import CrawlState
from newsmill.storage.ledger import HostLease

CRASH_PAUSE = timedelta(minutes=10)  # of a host that shows a bug of the crawler
MAX_HOSTS_IN_MEMORY = 10_000  # hosts whose throttle stays in memory
LARGE_ROBOTS_CHARACTERS = 65_536  # of one robots.txt; 99 of 100 honest ones are shorter
MAX_ROBOTS_CHARACTERS = 4_000_000  # of all robots.txt in memory; the worst file takes 32 bytes of memory per character


class HostLeases:
    """Leases, renews and borrows hosts in the ledger, and keeps their throttles. A redirect borrows a host; a HostWorker leases one."""

    def __init__(self, state: CrawlState) -> None:
        self.state = state
        self.leased: set[str] = set()
        self.borrowed: Counter[str] = Counter()  # by the number of fetch tasks that use the host
        self._throttles: dict[str, HostThrottle] = {}

    def __contains__(self, host: str) -> bool:
        return host in self.leased or host in self.borrowed

    def throttle(self, host: str) -> HostThrottle:
        """The throttle of a host, which may be leased, borrowed or neither."""
        if host not in self._throttles:
            if len(self._throttles) >= MAX_HOSTS_IN_MEMORY:
                self._throttles = {name: throttle for name, throttle in self._throttles.items() if name in self}
            self._throttles[host] = HostThrottle(host, self.state.agent, self.state.stop)
        return self._throttles[host]

    def unleased_throttle(self, host: str) -> HostThrottle:
        """The throttle of a host that the robots.txt of another one redirects to, which needs no lease."""
        throttle = self.throttle(host)
        if host not in self:
            throttle.held_until = math.inf
        return throttle

    async def lease(self, limit: int, *, spiders: bool = False) -> list[HostLease]:
        """Lease up to `limit` hosts with due URLs, or with `spiders` due runs. After a jump of the clock, a host may be leased already."""
        state = self.state
        owner, seconds, source = state.owner, state.lease_seconds, state.only_source
        leases, until = await state.call_leasing(
            lambda now: state.ledger.hosts.lease(owner, limit=limit, seconds=seconds, now=now, source=source, spiders=spiders)
        )
        self.leased |= {lease.host for lease in leases}
        for lease in leases:
            self.throttle(lease.host).held_until = until
        return leases

    def forget(self, host: str) -> None:
        """The worker of a leased host has ended and given the host back."""
        self.leased.discard(host)
        self._end_hold(host)

    async def renew(self) -> set[str]:
        """Renew all leases. Returns the leased hosts that another crawler holds by now."""
        state, held = self.state, {*self.leased, *self.borrowed}
        if not held:
            return set()
        renewed, until = await state.call_leasing(
            lambda now: state.ledger.hosts.renew(state.owner, held, seconds=state.lease_seconds, now=now)
        )
        for host in renewed:
            if host in self:  # else it was given back meanwhile
                self.throttle(host).held_until = until
        return (held - renewed) & self.leased

    async def borrow(self, host: str) -> HostLease | None:
        """Hold a host that a redirect leads to, until `give_back`. None: another crawler holds it."""
        state, lease = self.state, None
        if host not in self:
            lease, until = await state.call_leasing(
                lambda now: state.ledger.hosts.lease_one(host, state.owner, seconds=state.lease_seconds, now=now)
            )
            if lease is not None:
                self.throttle(host).held_until = until
            if lease is None and host not in self:
                return None
        self.borrowed[host] += 1
        return lease or HostLease(host, 0)

    async def give_back(self, host: str) -> None:
        """End one borrowing. The last one releases the host, unless a worker has leased it meanwhile."""
        self.borrowed[host] -= 1
        if self.borrowed[host] > 0:
            return
        del self.borrowed[host]
        if host not in self.leased:
            state, throttle = self.state, self.throttle(host)
            wait, failures = timedelta(seconds=throttle.seconds_until_free), throttle.failures
            self._end_hold(host)
            await state.call_ledger(
                lambda now: state.ledger.hosts.release(host, state.owner, now=now, next_fetch_at=now + wait, failures=failures)
            )

    def may_request(self, host: str) -> bool:
        """Whether the lease of a host goes on, if this process has one."""
        throttle = self._throttles.get(host)
        return throttle is None or throttle.is_held

    def _end_hold(self, host: str) -> None:
        """Let no request to the host be sent that Scrapy may still have for a task that was cancelled."""
        if host not in self and host in self._throttles:
            self._throttles[host].held_until = 0.0
        self.drop_large_robots(host)

    def drop_large_robots(self, host: str) -> None:
        """Forget the large robots.txt of a host that is not held, if memory holds too many of them. The ledger keeps it."""
        throttle = self._throttles.get(host)
        if host in self or throttle is None or throttle.robots is None or throttle.robots.size <= LARGE_ROBOTS_CHARACTERS:
            return
        if sum(other.robots.size for other in self._throttles.values() if other.robots is not None) > MAX_ROBOTS_CHARACTERS:
            del self._throttles[host]

"""The hosts that a spider's run fetches from: each is leased in the ledger, so that no crawler fetches from it at the same time.

A lease is kept while the spider uses the host, at most MAX_HOST_SECONDS, so that the continuous crawl gets its turn. Every request of a
spider, retries and redirects included, waits for its host in SpiderMiddleware, the downloader middleware nearest to the network. The IP
address guard and the limits of headers and bodies are in the resolver and the download handler, which no setting changes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field
from datetime import timedelta

from crawler.fetching.downloader import Downloader
from crawler.fetching.robots import HOST_FAILURES, fetch_robots, restore_throttle
from crawler.politeness.publisher_orders import STOPPED_BY_OWNER, wait_for_turn
from crawler.politeness.throttle import FIRST_PAUSE_SECONDS, HostThrottle, LeaseLostError
from crawler.politeness.url_refusals import find_robots_refusal
from crawler.state.ledger_calls import LedgerCalls
from newsmill.exceptions import ServiceError, UrlError
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.storage.ledger import HostLease
from newsmill.text import urls

log = logging.getLogger(__name__)

MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.5, 2.0  # between two tries to lease a host that a crawler holds
TURN_SECONDS = 2.0  # for which a host is left to the crawlers after MAX_HOST_SECONDS
IDLE_SECONDS = 5.0  # after the last request; then the host is released
MAX_HOST_SECONDS = 300.0  # as a crawler's lease of one host
MAINTENANCE_SECONDS = 1.0  # between two looks at the leases
REFUSAL_SECONDS = 60.0  # for which a host whose robots.txt cannot be fetched is not contacted again


@dataclass(slots=True)
class SpiderHost:
    """One host of the run. Times are of time.monotonic()."""

    name: str
    throttle: HostThrottle
    slots: asyncio.Semaphore  # the source's concurrency
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while the host is leased or released, or its robots.txt is read
    is_leased: bool = False
    leased_at: float = 0.0
    waiting: int = 0  # requests that wait for their turn
    in_flight: int = 0
    last_used_at: float = 0.0
    refusal: OutcomeRecord | None = None  # of a robots.txt that could not be fetched
    robots_valid_until: float = 0.0  # until then a robots.txt that could not be fetched is not tried again


class SpiderHosts:
    """The leases, throttles and robots.txt rules of the hosts of one run."""

    def __init__(self, calls: LedgerCalls, downloader: Downloader, source: Source, *, agent: str, skips_known: bool = True) -> None:
        """`agent` is the product name that robots.txt rules are looked up by. Without `skips_known`, no URL counts as known."""
        self.calls = calls
        self.downloader = downloader
        self.source = source
        self.agent = agent
        self.skips_known = skips_known
        self.waited_seconds = 0.0  # for hosts that a crawler held
        self.first_failure: str | None = None  # of a request without a response
        self._hosts: dict[str, SpiderHost] = {}

    async def enter(self, url: str) -> SpiderHost | OutcomeRecord:
        """Wait for the turn of a request; an outcome if it may not be sent. Call `leave` after the response. Raises StopRequestedError."""
        try:
            host = self._find(urls.get_host(url))
        except UrlError as error:
            return OutcomeRecord(Outcome.BAD_URL, str(error))
        host.waiting += 1
        try:
            await host.slots.acquire()
            is_admitted = False
            try:
                refusal = await self._prepare(host, url)
                is_admitted = refusal is None
            finally:
                if is_admitted:
                    host.in_flight += 1
                else:
                    host.slots.release()
            return refusal or host
        finally:
            host.waiting -= 1

    async def is_known(self, url: str) -> bool:
        """Whether a spider need not fetch this URL: the archive has a page of it, or it is barred."""
        if not self.skips_known:
            return False
        try:
            key = urls.make_key(url)
        except UrlError:
            return False
        row = (await self.calls.call_ledger(lambda _: self.calls.ledger.submitted_pages.find_rows([key]))).get(key)
        return row is not None and (row.segment is not None or row.takedown is not None)

    def leave(self, host: SpiderHost) -> None:
        """The response is here, or the request has failed."""
        host.in_flight -= 1
        host.slots.release()
        host.last_used_at = time.monotonic()
        host.throttle.mark_response()

    async def record_failure(self, host: SpiderHost, retry_after: float | None, *, is_rate_limit: bool = False) -> None:
        """Count a failure of the host, and pause the host when a Retry-After (seconds) or many failures call for it."""
        pause = host.throttle.record_failure()
        seconds = retry_after if pause is None else max(pause.total_seconds(), retry_after or 0.0)
        if seconds is None and is_rate_limit:
            seconds = FIRST_PAUSE_SECONDS
        if seconds is not None:
            await self._pause(host, seconds)

    async def _pause(self, host: SpiderHost, seconds: float) -> None:
        host.throttle.pause(seconds)
        ledger, owner, failures = self.calls.ledger, self.calls.owner, host.throttle.failures
        wait = timedelta(seconds=seconds)
        await self.calls.call_ledger(lambda now: ledger.hosts.pause(host.name, owner, until=now + wait, failures=failures, now=now))

    async def maintain(self) -> None:
        """Renew the leases, and release hosts that the spider no longer uses, until the task is cancelled."""
        renewal_interval = self.calls.lease_seconds / 3
        renew_at = time.monotonic() + renewal_interval
        while True:
            await asyncio.sleep(min(MAINTENANCE_SECONDS, renewal_interval))
            if time.monotonic() >= renew_at:
                await self._renew()
                renew_at = time.monotonic() + renewal_interval
            for host in list(self._hosts.values()):
                if _is_idle(host) and not host.lock.locked():  # waiting for the lock of one host would delay the renewals of the others
                    async with host.lock:
                        await self._release(host)

    async def close(self) -> None:
        """Release all hosts. Nothing may be in flight."""
        for host in self._hosts.values():
            try:
                await self._release(host)
            except ServiceError as error:
                log.warning("host %s was not released: %s; its lease ends in %.0f s", host.name, error, self.calls.lease_seconds)

    def may_request(self, name: str) -> bool:
        """Whether the lease of a host goes on, if this run has one."""
        host = self._hosts.get(name)
        return host is None or host.throttle.is_held

    def _find(self, name: str) -> SpiderHost:
        if name not in self._hosts:
            throttle = HostThrottle(name, self.agent, self.calls.stop)
            self._hosts[name] = SpiderHost(name, throttle, asyncio.Semaphore(self.source.politeness.concurrency))
        return self._hosts[name]

    async def _prepare(self, host: SpiderHost, url: str) -> OutcomeRecord | None:
        async with host.lock:
            while True:
                if not await self._lease(host):
                    return STOPPED_BY_OWNER
                try:
                    refusal = await self._find_refusal(host, url)
                except LeaseLostError:  # before robots.txt
                    continue
                return refusal or await wait_for_turn(host.throttle, self.calls.find_order)

    async def _lease(self, host: SpiderHost) -> bool:
        """Hold the host. After MAX_HOST_SECONDS the crawlers get their turn first. False: its owner has stopped the crawler."""
        stop = self.calls.stop
        if host.is_leased and time.monotonic() - host.leased_at > MAX_HOST_SECONDS:
            while host.in_flight:
                await stop.sleep(0.1)
            await self._release(host)
            await stop.sleep(TURN_SECONDS)
        host.is_leased = host.is_leased and host.throttle.is_held
        began_at, poll = time.monotonic(), MIN_POLL_SECONDS
        while not host.is_leased:
            stop.check()
            lease = await self._try_lease(host)
            if lease is not None:
                host.is_leased, host.leased_at = True, time.monotonic()
                await restore_throttle(host.throttle, lease, self.calls.now())
                break
            order = await self.calls.find_order(host.name)
            if order is not None and order.is_stopped:
                return False
            await stop.sleep(poll)
            poll = min(poll * 2, MAX_POLL_SECONDS)
            self.waited_seconds += time.monotonic() - began_at
            began_at = time.monotonic()
        return True

    async def _try_lease(self, host: SpiderHost) -> HostLease | None:
        ledger, owner, seconds = self.calls.ledger, self.calls.owner, self.calls.lease_seconds
        lease, until = await self.calls.call_leasing(lambda now: ledger.hosts.lease_one(host.name, owner, seconds=seconds, now=now))
        if lease is not None:
            host.throttle.held_until = until
        return lease

    async def _find_refusal(self, host: SpiderHost, url: str) -> OutcomeRecord | None:
        """The outcome of a URL that robots.txt forbids, or may forbid, or whose host is stopped. Sets the delay of the host."""
        throttle = host.throttle
        throttle.set_delay(self.source.politeness.delay)  # for robots.txt too: the last owner may have sent a request a moment ago
        if not throttle.has_current_robots and host.robots_valid_until <= time.monotonic():
            response = await fetch_robots(self.downloader, throttle, url, lambda name: self._find(name).throttle, self.calls.find_order)
            if response.refusal == STOPPED_BY_OWNER:
                return STOPPED_BY_OWNER
            await self.calls.save_robots(throttle, response)
            is_obeyed = self.source.robots or (response.refusal is not None and response.refusal.outcome in HOST_FAILURES)
            host.refusal = response.refusal if is_obeyed else None
            if host.refusal is not None and response.retry_after > 0:
                await self._pause(host, response.retry_after)
            host.robots_valid_until = time.monotonic() + REFUSAL_SECONDS
        throttle.set_delay(self.source.politeness.delay)
        if host.refusal is not None and not throttle.has_current_robots:
            return host.refusal
        return find_robots_refusal(url, self.source, throttle)

    async def _release(self, host: SpiderHost) -> None:
        if not host.is_leased:
            return
        host.is_leased = False
        host.throttle.held_until = math.inf
        ledger, owner, failures = self.calls.ledger, self.calls.owner, host.throttle.failures
        wait = timedelta(seconds=host.throttle.seconds_until_free)
        await self.calls.call_ledger(
            lambda now: ledger.hosts.release(host.name, owner, now=now, next_fetch_at=now + wait, failures=failures)
        )

    async def _renew(self) -> None:
        """Renew the leases. A host that another process holds by now is leased again before its next request."""
        held = {host.name for host in self._hosts.values() if host.is_leased}
        if not held:
            return
        ledger, owner, seconds = self.calls.ledger, self.calls.owner, self.calls.lease_seconds
        renewed, until = await self.calls.call_leasing(lambda now: ledger.hosts.renew(owner, held, seconds=seconds, now=now))
        for name in renewed:
            if self._hosts[name].is_leased:  # else it was released meanwhile
                self._hosts[name].throttle.held_until = until
        for name in held - renewed:
            log.warning("lost the lease of host %s", name)
            self._hosts[name].is_leased = False


def _is_idle(host: SpiderHost) -> bool:
    return host.is_leased and not host.waiting and not host.in_flight and time.monotonic() - host.last_used_at > IDLE_SECONDS

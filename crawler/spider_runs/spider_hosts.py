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
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self
from weakref import WeakKeyDictionary

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.python import global_object_name

from crawler.fetching.downloader import Downloader, describe_error
from crawler.fetching.robots import HOST_FAILURES, fetch_robots, restore_throttle
from crawler.frontier.fetch_task import find_robots_refusal
from crawler.politeness.response_policy import RequestOutcomeError
from crawler.politeness.throttle import (
    FIRST_PAUSE_SECONDS,
    STOPPED_BY_OWNER,
    HostThrottle,
    LeaseLostError,
    StopRequestedError,
    wait_for_turn,
)
from crawler.state.crawl_state import LedgerCalls
from newsmill import urls
from newsmill.discovery.responses import RETRY_AFTER_STATUSES, parse_retry_after
from newsmill.exceptions import ServiceError, UrlError
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.storage.ledger import HostLease

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
        """Wait for the turn of a request for `url`. Returns the outcome of a URL that may not be requested.

        Call `leave` after the response. Raises StopRequestedError when the run ends.
        """
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
        row = (await self.calls.call_ledger(lambda _: self.calls.ledger.find_archived_rows([key]))).get(key)
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
        await self.calls.call_ledger(lambda now: ledger.pause_host(host.name, owner, until=now + wait, failures=failures, now=now))

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

    # ---- one host

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
        lease, until = await self.calls.call_leasing(lambda now: ledger.lease_host(host.name, owner, seconds=seconds, now=now))
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
            lambda now: ledger.release_host(host.name, owner, now=now, next_fetch_at=now + wait, failures=failures)
        )

    async def _renew(self) -> None:
        """Renew the leases. A host that another process holds by now is leased again before its next request."""
        held = {host.name for host in self._hosts.values() if host.is_leased}
        if not held:
            return
        ledger, owner, seconds = self.calls.ledger, self.calls.owner, self.calls.lease_seconds
        renewed, until = await self.calls.call_leasing(lambda now: ledger.renew_hosts(owner, held, seconds=seconds, now=now))
        for name in renewed:
            if self._hosts[name].is_leased:  # else it was released meanwhile
                self._hosts[name].throttle.held_until = until
        for name in held - renewed:
            log.warning("lost the lease of host %s", name)
            self._hosts[name].is_leased = False


def _is_idle(host: SpiderHost) -> bool:
    return host.is_leased and not host.waiting and not host.in_flight and time.monotonic() - host.last_used_at > IDLE_SECONDS


# ---- the middleware of spiders

HOST = "newsmill_host"  # in Request.meta, while the request is in flight
IS_ROBOTS = "newsmill_robots"  # in Request.meta of a robots.txt, which has no robots.txt and takes its own turn
SKIP_KNOWN = "skip_known"  # in Request.meta: do not send the request if the archive has a page of its URL
FAILED = "newsmill/failed/"  # of Scrapy's statistics: attempts without a response, by the import path of their error
HOSTS: WeakKeyDictionary[Crawler, SpiderHosts] = WeakKeyDictionary()  # the hosts of each run, because settings hold no objects


class SpiderMiddleware:
    """Applies robots.txt, the lease and the throttle of each host."""

    def __init__(self, hosts: SpiderHosts, inc_value: Callable[[str], None]) -> None:
        self.hosts = hosts
        self.count = inc_value

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(HOSTS[crawler], crawler.stats.inc_value)

    async def process_request(self, request: Request) -> None:
        """Wait for the host's turn. Raises RequestOutcomeError, an IgnoreRequest, for a URL that may not be fetched."""
        if request.meta.get(IS_ROBOTS):
            return
        request.meta.pop(HOST, None)
        if request.meta.get(SKIP_KNOWN) and await self.hosts.is_known(request.url):
            self.count("newsmill/skipped")
            raise IgnoreRequest("the archive has a page of this URL")
        try:
            entered = await self.hosts.enter(request.url)
        except StopRequestedError:
            raise IgnoreRequest("the run ends") from None
        if isinstance(entered, OutcomeRecord):
            self.count(f"newsmill/refused/{entered.outcome}")
            raise RequestOutcomeError(entered)
        request.meta[HOST] = entered

    async def process_response(self, request: Request, response: Response) -> Response:
        """End the request. Raises RequestOutcomeError for a response that the guard or the limit of headers refuses."""
        host: SpiderHost | None = request.meta.pop(HOST, None)
        if host is None:
            return response
        self.hosts.leave(host)
        if response.status == 429 or response.status >= 500:
            retry_after = response.headers.get(b"Retry-After") if response.status in RETRY_AFTER_STATUSES else None
            wait = None if retry_after is None else parse_retry_after(retry_after.decode("latin-1"), self.hosts.calls.now())
            await self.hosts.record_failure(host, wait, is_rate_limit=response.status == 429)
        else:
            host.throttle.record_success()
        refusal = self.hosts.downloader.find_response_refusal(response)
        if refusal is not None:
            self.count(f"newsmill/refused/{refusal.outcome}")
            raise RequestOutcomeError(refusal)
        return response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """End the request. One that was not sent because the lease had ended is made again."""
        host: SpiderHost | None = request.meta.pop(HOST, None)
        if host is not None:
            self.hosts.leave(host)
            if isinstance(exception, LeaseLostError):
                return request.replace(dont_filter=True)
            if isinstance(exception, RequestOutcomeError):  # of the download handler
                self.count(f"newsmill/refused/{exception.record.outcome}")
            if not isinstance(exception, IgnoreRequest):
                self.count(FAILED + global_object_name(type(exception)))
                self.hosts.first_failure = self.hosts.first_failure or describe_error(exception)
                await self.hosts.record_failure(host, None)
        return None


ROBOTS_META = {"dont_redirect": True, "dont_retry": True, "handle_httpstatus_all": True, "allow_offsite": True, IS_ROBOTS: True}


class RobotsDownload:
    """A download of a robots.txt through the engine: without the middlewares that would retry it or follow its redirects."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    async def __call__(self, request: Request) -> Response:
        request.meta.update(ROBOTS_META)
        engine: Any = self.crawler.engine
        response: Response = await engine.download_async(request)
        return response


def has_spider_middleware(crawler: Crawler) -> bool:
    """Whether every request of a running crawler passes SpiderMiddleware: the user's settings could have removed it."""
    return any(isinstance(middleware, SpiderMiddleware) for middleware in crawler.engine.downloader.middleware.middlewares)

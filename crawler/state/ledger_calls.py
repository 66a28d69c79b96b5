"""Calls the ledger from the event loop, again and again while the database is away."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from crawler.fetching.robots import RobotsResponse
from crawler.politeness.throttle import HostThrottle, StopRequestedError, StopSignal
from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.storage.ledger import Ledger
from newsmill.storage.owner_ids import make_owner_id
from newsmill.storage.publishers import PublisherOrder

T = TypeVar("T")
log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # after which another crawler takes over the hosts and URLs of a killed one
FIRST_RETRY_SECONDS = 0.5  # between two tries of a ledger call while the database is away; doubled each time
MAX_RETRY_SECONDS = 10.0
ORDER_SECONDS = 0.1  # for which the orders of owners are reused: all hosts share one query, where each request asks two or three times


class LedgerCalls:
    """The ledger, for the event loop's thread only, with the id that this process leases under."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime], stop: StopSignal, *, lease_seconds: float) -> None:
        """`clock` asks the database for the time."""
        self.ledger = ledger
        self.stop = stop
        self.lease_seconds = lease_seconds
        self.owner = make_owner_id()
        self._clock = clock
        self._last_time = datetime.now(UTC), time.monotonic()  # of the database, and when it was read
        self._outage = OutageLog(log, "the database answers again")
        self._ledger_thread = ThreadPoolExecutor(1, "sql")  # one thread, one connection
        self._orders: dict[str, PublisherOrder] = {}  # by host
        self._orders_read_at = -math.inf  # time.monotonic()
        self._orders_lock = asyncio.Lock()

    def close_ledger(self) -> None:
        """Wait for the ledger call that runs, and refuse others."""
        self._ledger_thread.shutdown()

    def now(self) -> datetime:
        """The time that all processes on this database agree on, extrapolated: the event loop never waits for the database."""
        database_time, read_at = self._last_time
        return database_time + timedelta(seconds=time.monotonic() - read_at)

    async def call_ledger(self, call: Callable[[datetime], T]) -> T:
        """Run `call(now)` in the ledger's thread, and again while the database is away: fences make every call safe to repeat.

        Raises ServiceError if the database is away while the process stops.
        """

        def call_with_time() -> T:
            read_at = time.monotonic()
            now = self._clock()
            self._last_time = now, read_at
            return call(now)

        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._ledger_thread, call_with_time)
                if wait > FIRST_RETRY_SECONDS:  # other calls, such as a heartbeat that is not due, may do without the database
                    self._outage.report_success()
                return result
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                self._outage.report_failure(e, "the crawler waits")
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_RETRY_SECONDS)

    async def call_leasing(self, call: Callable[[datetime], T]) -> tuple[T, float]:
        """As `call_ledger`, with the time.monotonic() at which leases end that the call takes or renews."""
        return await self.call_ledger(lambda now: (call(now), self._last_time[1] + self.lease_seconds))

    async def find_order(self, host: str) -> PublisherOrder | None:
        """The order of the owner of a host. Raises StopRequestedError if the database is away while the process stops."""
        asked_at = time.monotonic()
        async with self._orders_lock:
            if self._orders_read_at < asked_at - ORDER_SECONDS:
                read_at = time.monotonic()
                try:
                    orders = await self.call_ledger(lambda _: self.ledger.publishers.list_orders())
                except ServiceError:
                    raise StopRequestedError from None
                self._orders, self._orders_read_at = {order.host: order for order in orders}, read_at
        return self._orders.get(host)

    async def save_robots(self, throttle: HostThrottle, response: RobotsResponse) -> None:
        """Save a robots.txt with its host, for the next process that holds the host."""
        status, body = response.status, response.body
        delay = None if throttle.robots is None else throttle.robots.crawl_delay(throttle.agent)
        await self.call_ledger(
            lambda now: self.ledger.hosts.save_robots(throttle.host, self.owner, status=status, body=body, crawl_delay=delay, now=now)
        )

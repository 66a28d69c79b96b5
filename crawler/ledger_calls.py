"""Ledger calls of one asyncio process: in a thread of their own, with the time of the database, and again while the database is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from crawler.throttle import StopRequestedError, StopSignal
from newsmill.exceptions import ServiceError
from newsmill.storage.ledger import Ledger
from newsmill.storage.processes import make_owner_id
from newsmill.storage.publishers import PublisherOrder

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_RETRY_SECONDS = 0.5  # between two tries of a ledger call while the database is away; doubled each time
MAX_RETRY_SECONDS = 10.0


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
        self._ledger_thread = ThreadPoolExecutor(1, "sql")  # one thread, one connection

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
            now = self._clock()
            self._last_time = now, time.monotonic()
            return call(now)

        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._ledger_thread, call_with_time)
            except ServiceError as e:
                if self.stop.event.is_set():
                    raise
                log.warning("%s; the next try is in %.1f s", e, wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_RETRY_SECONDS)

    async def find_order(self, host: str) -> PublisherOrder | None:
        """The order of the owner of a host. Raises StopRequestedError if the database is away while the process stops."""
        try:
            return await self.call_ledger(lambda _: self.ledger.publisher_order(host))
        except ServiceError:
            raise StopRequestedError from None

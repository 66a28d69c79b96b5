"""The throttle of a host, which decides when the next request may be sent.

It follows robots.txt, the time between two requests, and pauses after failures.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from datetime import timedelta

from newsmill.discovery.robots import Decision, RobotsTxt

FAILURES_BEFORE_PAUSE = 3  # in a row: one broken page is not a broken host
FIRST_PAUSE_SECONDS = 30.0  # doubled with each further failure
MAX_PAUSE_SECONDS = 3600.0
# After that many failures in a row, a day of hourly probes, a host is probed once a day; after another 30 once in 30 days.
FAILURES_BEFORE_DAYS, FAILURES_BEFORE_MONTHS = 34, 64
RESPONSE_WEIGHT = 0.2  # of a response in the mean: the last ten have 90 % of it
CHARACTERS_PER_SEARCH = 25  # of a robots.txt that is read: 500 KiB take at most 0.4 s of CPU, and block the host for 10 s
SECONDS_PER_SEARCH = 0.0005  # that a pattern search blocks the host; a search takes at most 3 µs, so one host gets 0.6 % of a CPU
MAX_CPU_SHARE = 0.006  # of one CPU, for matching the URLs of one host with the patterns of a source


class StopRequestedError(Exception):
    """Raised in a task that waits while the crawler stops. The task gives back the rows it has leased."""


class LeaseLostError(StopRequestedError):
    """Raised in place of a request to a host whose lease has ended: another crawler may send requests to it by now."""


class StopSignal:
    """An event that the crawler should stop, and a sleep that it ends."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def check(self) -> None:
        """Raise StopRequestedError if the crawler should stop."""
        if self.event.is_set():
            raise StopRequestedError

    async def sleep(self, seconds: float) -> None:
        """Sleep; raises StopRequestedError as soon as the crawler should stop."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.event.wait()
        self.check()


class HostThrottle:
    """The throttle of one host in this process. Each request books its start time, one delay after the previous request."""

    def __init__(self, host: str, agent: str, stop: StopSignal) -> None:
        """`agent` is the product name that robots.txt rules are looked up by."""
        self.host = host
        self.agent = agent
        self.stop = stop
        self.robots: RobotsTxt | None = None
        self.robots_valid_until = 0.0  # time.monotonic()
        self.delay = 0.0  # seconds between the starts of two requests
        self.last_active_at = -MAX_PAUSE_SECONDS  # time.monotonic() of the last request's start or response
        self._requested_at: float | None = None  # time.monotonic(), until the response; of several at once, the last
        self.blocked_until = 0.0  # time.monotonic(); the CPU time that the host's rules and patterns cost
        self.paused_until = 0.0  # time.monotonic(); by `pause`
        self.failures = 0  # in a row
        self.response_seconds: float | None = None  # a mean of the responses, in which the newest weigh most
        self.held_until = math.inf  # time.monotonic() at which the lease of the host ends; infinite without a lease

    @property
    def is_held(self) -> bool:
        """Whether the lease of the host goes on. A process that was frozen finds it ended before it can ask the database."""
        return time.monotonic() < self.held_until

    @property
    def has_current_robots(self) -> bool:
        return self.robots_valid_until > time.monotonic()

    def decide(self, url: str) -> Decision:
        """Whether robots.txt allows the URL. The searches block this host, so that other hosts do not pay for them."""
        if self.robots is None:
            return Decision(True, 0)
        decision = self.robots.decide(url, self.agent)
        self._charge_searches(decision.searches)
        return decision

    def set_robots(self, robots: RobotsTxt, valid_for: timedelta) -> None:
        """Apply these rules for a time. The host is also charged for parsing them."""
        self.robots = robots
        self.robots_valid_until = time.monotonic() + valid_for.total_seconds()
        self._charge_searches(robots.size // CHARACTERS_PER_SEARCH)

    def set_delay(self, seconds: float) -> None:
        """Wait at least this long between requests, or longer when robots.txt has a Crawl-delay."""
        crawl_delay = self.robots.crawl_delay(self.agent) if self.robots is not None else None
        self.delay = max(seconds, crawl_delay or 0.0)

    async def acquire(self) -> None:
        """Wait until the next request may start. Raises StopRequestedError."""
        now = time.monotonic()
        self.last_active_at = start = now + self.seconds_until_free
        await self.stop.sleep(start - now)
        self.stop.check()
        self._requested_at = time.monotonic()

    def mark_response(self) -> None:
        """Start the delay now, when the response is here or has failed: a slow server or network gets its full pause too."""
        self.last_active_at = max(self.last_active_at, time.monotonic())
        if self._requested_at is not None:
            seconds, self._requested_at = time.monotonic() - self._requested_at, None
            mean = self.response_seconds
            self.response_seconds = seconds if mean is None else mean + RESPONSE_WEIGHT * (seconds - mean)

    @property
    def seconds_until_free(self) -> float:
        """Seconds until the next request may start."""
        return max(0.0, max(self.last_active_at + self.delay, self.blocked_until, self.paused_until) - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Send no request to the host for this time."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)

    @property
    def pause_seconds(self) -> float:
        """Seconds until the pause ends."""
        return max(0.0, self.paused_until - time.monotonic())

    def charge_cpu(self, seconds: float) -> None:
        """Block the host until this much CPU time is within its share."""
        self._block(seconds / MAX_CPU_SHARE)

    def _charge_searches(self, count: int) -> None:
        self._block(count * SECONDS_PER_SEARCH)

    def _block(self, seconds: float) -> None:
        self.blocked_until = max(self.blocked_until, time.monotonic()) + seconds

    def record_success(self) -> None:
        self.failures = 0

    def record_failure(self) -> timedelta | None:
        """Count a failure of the host. Returns the pause that it calls for, or None while there are few failures."""
        self.failures += 1
        if self.failures < FAILURES_BEFORE_PAUSE:
            return None
        if self.failures >= FAILURES_BEFORE_MONTHS:
            return timedelta(days=30)
        if self.failures >= FAILURES_BEFORE_DAYS:
            return timedelta(days=1)
        doubled = FIRST_PAUSE_SECONDS * 2 ** min(self.failures - FAILURES_BEFORE_PAUSE, 10)
        return timedelta(seconds=min(doubled, MAX_PAUSE_SECONDS))

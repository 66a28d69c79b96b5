"""How gently one host is asked: its robots.txt, the time between two requests, and the pauses it asked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta

from newsmill.discovery.robots import Decision, RobotsTxt

MAX_CRAWL_DELAY_SECONDS = 120.0  # seconds; more would be "never" for a site with news every hour. The longest any big site asks for is 60
FAILURES_BEFORE_PAUSE = 3  # failures in a row before the host is left alone: one broken page is not a broken host
FIRST_PAUSE_SECONDS = 30.0  # seconds, doubled with each further failure
MAX_PAUSE_SECONDS = 3600.0
CHARACTERS_PER_SEARCH = 25  # of a robots.txt; reading 500 KiB of it takes at most 0.4 s, and costs its host 10
SECONDS_PER_SEARCH = 0.0005  # that a host waits for matching its robots.txt; a search takes at most 3 µs, so one host gets 0.6 % of a CPU
MAX_CPU_SHARE = 0.006  # of a CPU that one host gets for matching its URLs with the patterns of a source


class StopRequestedError(Exception):
    """Raised when the crawler is asked to stop while something waits its turn; whoever holds rows gives them back."""


class StopSignal:
    """The wish to stop, and sleep that it ends."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def check(self) -> None:
        if self.event.is_set():
            raise StopRequestedError

    async def sleep(self, seconds: float) -> None:
        """Raises Stopping when the wish comes before the time is over."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.event.wait()
        self.check()


class HostThrottle:
    """Of one host, in this process. Requests take turns: each books its moment, a delay after what came before."""

    def __init__(self, host: str, agent: str, stop: StopSignal) -> None:
        self.host = host
        self.agent = agent  # our product name, as robots.txt would call us
        self.stop = stop
        self.robots: RobotsTxt | None = None
        self.robots_until = 0.0  # time.monotonic() until which they hold
        self.delay = 0.0  # seconds between the starts of two requests
        self.last_at = -MAX_PAUSE_SECONDS  # time.monotonic() when a request was let through or answered last
        self.matching_until = 0.0  # time.monotonic() when the work of matching rules is paid for
        self.failures = 0

    def decide(self, url: str) -> Decision:
        """Whether robots.txt allows the URL. The host itself waits for the work, so that no other host does."""
        if self.robots is None:
            return Decision(True, 0)
        decision = self.robots.decide(url, self.agent)
        self._pay(decision.searches)
        return decision

    def obey(self, robots: RobotsTxt, hold: timedelta) -> None:
        """Keep to these rules as long as they hold. Reading them was work too."""
        self.robots = robots
        self.robots_until = time.monotonic() + hold.total_seconds()
        self._pay(robots.size // CHARACTERS_PER_SEARCH)

    def pay(self, cpu_seconds: float) -> None:
        """Have the host wait for this much CPU time that its URLs cost."""
        self._wait(cpu_seconds / MAX_CPU_SHARE)

    def _pay(self, searches: int) -> None:
        self._wait(searches * SECONDS_PER_SEARCH)

    def _wait(self, seconds: float) -> None:
        self.matching_until = max(self.matching_until, time.monotonic()) + seconds

    def be_patient(self, delay: float) -> None:
        """Wait at least `delay` seconds between requests, more when robots.txt asks for it."""
        asked = self.robots.crawl_delay(self.agent) if self.robots is not None else None
        self.delay = max(delay, min(asked or 0.0, MAX_CRAWL_DELAY_SECONDS))

    async def turn(self) -> None:
        """Wait until the host may be asked again. Raises Stopping."""
        now = time.monotonic()
        # By the delay as it is known now, not as it was then.
        self.last_at = at = max(now, self.last_at + self.delay, self.matching_until)
        await self.stop.sleep(at - now)
        self.stop.check()

    def rest(self) -> None:
        """An answer has come, or none will: the delay counts from here, so that a slow server, or a slow way to it, gets its pause too."""
        self.last_at = max(self.last_at, time.monotonic())

    def failed(self) -> timedelta | None:
        """Count one failure that is the host's; how long to leave it alone, or None as long as it is tolerated."""
        self.failures += 1
        if self.failures < FAILURES_BEFORE_PAUSE:
            return None
        doubled = FIRST_PAUSE_SECONDS * 2 ** min(self.failures - FAILURES_BEFORE_PAUSE, 10)
        return timedelta(seconds=min(doubled, MAX_PAUSE_SECONDS))

    @property
    def first_pause(self) -> timedelta:
        """After a 429 that does not say how long."""
        return timedelta(seconds=FIRST_PAUSE_SECONDS)

    def answered(self) -> None:
        self.failures = 0

    @property
    def free_in(self) -> float:
        """Seconds until the next request may start."""
        return max(0.0, self.last_at + self.delay - time.monotonic(), self.matching_until - time.monotonic())

"""Starts one process or command of Newsmill on a simulated clock, which runs faster than the real one.

    NEWSMILL_SIMULATED_CLOCK="2026-11-02T06:00:00+00:00 1764331200.0 30" python benchmarks/simulated.py crawler|worker|scheduler|COMMAND …

The variable has the simulated time, the real time (Unix seconds) at which it was, and the speed. The processes get their clock through
`AppContext.now`. Three groups of times are treated separately, because they are not times of the world that is followed:

* Promises to a server stay in real seconds, because the live world counts them so: the delay between requests, Crawl-delay and Retry-After.
* Leases, heartbeats and the slack for clocks of other machines stay in real seconds, because they depend on the speed of this machine.
* Waits of the loops are shortened, because they would be `speed` times too long: the crawler's poll, its segment, the scheduler's pass.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

VARIABLE = "NEWSMILL_SIMULATED_CLOCK"
ROLES = ("crawler", "worker", "scheduler")
MIN_WAIT_SECONDS = 0.1  # of a shortened loop: a shorter one would use more CPU than it saves time


@dataclass(frozen=True, slots=True)
class SimulatedClock:
    """The time of a live world: `start` at the real time `real` (Unix seconds), and `speed` simulated seconds per second."""

    start: datetime
    real: float
    speed: float

    def __call__(self) -> datetime:
        return self.at(time.time())

    def at(self, real: float) -> datetime:
        """The simulated time at a real one (Unix seconds)."""
        return self.start + timedelta(seconds=(real - self.real) * self.speed)

    def to_variable(self) -> str:
        """The value of NEWSMILL_SIMULATED_CLOCK."""
        return f"{self.start.isoformat()} {self.real!r} {self.speed!r}"


def read_clock(text: str) -> SimulatedClock:
    """The clock of a value of NEWSMILL_SIMULATED_CLOCK."""
    start, real, speed = text.split()
    return SimulatedClock(datetime.fromisoformat(start), float(real), float(speed))


def install(clock: SimulatedClock) -> None:
    """Give this process the simulated clock wherever it does not come from an AppContext, and keep real times real."""
    from newsmill.cli import terminal
    from newsmill.storage import clock as storage_clock
    from newsmill.storage import processes
    from newsmill.storage.ledger import clock_repair
    from newsmill.storage.ledger.claims import Claims
    from newsmill.storage.ledger.deferred import DeferredPages
    from newsmill.storage.ledger.host_leases import Hosts
    from newsmill.storage.ledger.result_commits import Results
    from newsmill.storage.ledger.url_leases import UrlLeases

    terminal.now = clock
    storage_clock.read_clock = lambda _: clock()
    storage_clock.Clock.__call__ = lambda _: clock()
    for cls in (Hosts, UrlLeases, Claims, Results, DeferredPages):
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            if "seconds" in inspect.signature(method).parameters:
                setattr(cls, name, scale_seconds(method, clock.speed))
    for name in ("CLOCK_SLACK", "MAX_LEASE"):
        setattr(clock_repair, name, getattr(clock_repair, name) * clock.speed)
    for name in ("MAX_HEARTBEAT_AGE", "BEAT_INTERVAL"):
        setattr(processes, name, getattr(processes, name) * clock.speed)


def scale_seconds(method: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The method with its keyword `seconds` multiplied by `factor`."""

    @wraps(method)
    def scaled(*args: Any, seconds: float, **values: Any) -> Any:
        return method(*args, seconds=seconds * factor, **values)

    return scaled


def install_in_crawler(clock: SimulatedClock) -> None:
    """Keep Retry-After in real seconds, let robots.txt age by the simulated clock, and shorten the waits of the loops."""
    from crawler.frontier import frontier
    from crawler.politeness import response_policy
    from crawler.politeness.throttle import HostThrottle
    from crawler.segments import page_writer
    from crawler.state import crawl_state

    parse, set_robots = response_policy.parse_retry_after, HostThrottle.set_robots

    def parse_retry_after(value: str | None, now: datetime) -> float | None:
        seconds = parse(value, now)
        return None if seconds is None else seconds * clock.speed

    response_policy.parse_retry_after = parse_retry_after
    HostThrottle.set_robots = lambda self, robots, valid_for: set_robots(self, robots, valid_for / clock.speed)
    crawl_state.LedgerCalls.now = lambda _: clock()
    for module, name in (
        (frontier, "IDLE_POLL_SECONDS"),
        (frontier, "BUSY_POLL_SECONDS"),
        (page_writer, "MAX_SEGMENT_SECONDS"),
    ):
        setattr(module, name, max(MIN_WAIT_SECONDS, getattr(module, name) / clock.speed))


def run_role(role: str, clock: SimulatedClock) -> int:
    """Run a process as `newsmill crawler`, `worker` or `scheduler` does, until SIGTERM or the end of standard input."""
    import crawler.process
    import workers.scheduler
    import workers.worker
    from newsmill import context
    from newsmill.cli.processes.process_start import prepare

    settings = prepare(supervised=True)
    with context.open_context(settings, create=True) as app:
        app = replace(app, now=clock)
        if role == "crawler":
            install_in_crawler(clock)
            return crawler.process.run(app)
        if role == "worker":
            return workers.worker.run(app)
        return workers.scheduler.run(app, interval=max(MIN_WAIT_SECONDS, workers.scheduler.EMBEDDED_PASS_SECONDS / clock.speed))


def main() -> int:
    clock = read_clock(os.environ[VARIABLE])
    install(clock)
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        return run_role(sys.argv[1], clock)
    from newsmill.cli.main import main as newsmill

    return newsmill()


if __name__ == "__main__":
    sys.exit(main())

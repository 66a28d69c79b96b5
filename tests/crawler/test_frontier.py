"""Which hosts have a worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from crawler.frontier.frontier import Frontier, FrontierOptions
from crawler.frontier.host_worker import HostWorker
from crawler.politeness.throttle import StopSignal
from crawler.state.crawl_state import CrawlLimits

HOST = "paper.example"


def make_frontier() -> Frontier:
    """A frontier whose ledger nobody asks."""
    unused = cast("Any", SimpleNamespace(render=None, guard=None, user_agent="test"))
    limits, options = CrawlLimits("test", lease_seconds=60, max_backlog=1), FrontierOptions(1, unused)
    return Frontier(unused, unused, unused, unused, lambda: datetime.now(UTC), StopSignal(), limits, options)


class FakeWorker:
    """Ends when `may_end` is set; `at_end` is called when it ends, before anybody is told."""

    pages_in_progress = 0

    def __init__(self, at_end: Any = None) -> None:
        self.may_end, self.has_begun, self.at_end = asyncio.Event(), asyncio.Event(), at_end

    async def run(self) -> None:
        self.has_begun.set()
        await self.may_end.wait()
        if self.at_end is not None:
            asyncio.get_running_loop().call_soon(self.at_end)


def test_a_host_that_is_leased_again_as_its_worker_ends_gets_another_worker() -> None:
    """Else the lease is held for a minute by nobody."""

    async def run() -> None:
        frontier = make_frontier()
        start = frontier._start
        second = cast("HostWorker", FakeWorker())
        first = FakeWorker(lambda: start(HOST, second))
        start(HOST, cast("HostWorker", first))
        first.may_end.set()
        async with asyncio.timeout(5):
            await cast("Any", second).has_begun.wait()
        assert frontier.workers[HOST][0] is second
        third = FakeWorker()
        start(HOST, cast("HostWorker", third))  # a clock that jumped ended the lease of the second one, which is at work
        await asyncio.sleep(0)
        assert frontier.workers[HOST][0] is second and not third.has_begun.is_set()
        cast("Any", second).may_end.set()
        await frontier.close()
        assert frontier.workers == {}

    asyncio.run(run())

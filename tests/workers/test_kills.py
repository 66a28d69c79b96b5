"""Random kills for ten seconds: workers, their children, Redis, the scheduler, and FLUSHALL. Nothing lost, nothing stored twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from forked_process import ForkedProcess
from redis import RedisError
from services import eventually
from workers_world import WorkersWorld, descendants

from newsmill.exceptions import ServiceError

SEED = 20261125
PAGES = 8 * 25


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


class Site:
    """The processes that are killed, each started again as a supervisor would."""

    def __init__(self, world: WorkersWorld) -> None:
        self.world = world
        self.running: dict[str, ForkedProcess] = {}
        self.kills = 0

    def keep_running(self) -> None:
        for name in ("worker-1", "worker-2", "scheduler"):
            if name not in self.running or self.running[name].poll() is not None:
                role = name.partition("-")[0]
                values = {"lease_seconds": 4.0} if role == "worker" else {"interval": 0.5}
                self.running[name] = self.world.start(role, **values)

    def strike(self, chance: random.Random) -> None:
        """Kill one thing."""
        self.kills += 1
        match chance.choice(["worker-1", "worker-2", "scheduler", "child", "child", "redis", "flush"]):
            case "child":
                family = sorted(descendants(self.running[chance.choice(["worker-1", "worker-2"])].pid))
                if family:
                    _kill(chance.choice(family))
            case "redis":
                self._with_redis(lambda queue: _kill(int(queue.connection.info()["process_id"])))
            case "flush":
                self._with_redis(lambda queue: queue.connection.flushall())
            case name:
                self.running[name].kill()

    def _with_redis(self, do: object) -> None:
        try:
            queue = self.world.queue
        except ServiceError:
            return  # it is away just now
        try:
            do(queue)  # type: ignore[operator]
        except RedisError:
            pass
        finally:
            queue.close()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_nothing_is_lost_and_nothing_stored_twice_under_random_kills(world: WorkersWorld) -> None:
    for number in range(PAGES // 8):
        world.fetch(["slow 0.05"] * 8, host=f"site-{number}.example")
    site, chance = Site(world), random.Random(SEED)
    until = time.monotonic() + 10
    while time.monotonic() < until and world.outcomes()["stored"] < PAGES:
        site.keep_running()
        time.sleep(chance.uniform(0.3, 1.5))
        site.strike(chance)

    def finished() -> bool:
        site.keep_running()
        return world.ledger.progress.count().pending == 0

    assert eventually(finished, 220), f"{world.outcomes()}, {world.ledger.progress.count()} after {site.kills} kills"
    # Three kills from outside of the same page look like poison to the ledger; with this seed it does not happen.
    assert world.outcomes() == {"stored": PAGES}, f"after {site.kills} kills"
    assert len(world.stored()) == PAGES
    assert set(world.stored().values()) == {1}
    assert all(document.revision == 1 for document in world.documents.iterate())
    assert world.ledger.segments.list_pending(now=datetime.now(UTC) + timedelta(days=1), limit=1) == []

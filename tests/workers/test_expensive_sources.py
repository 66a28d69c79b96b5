"""Sources whose pages take much CPU time, and the ordinary sources beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from services import eventually
from workers_world import WorkersWorld

from newsmill.model import State
from newsmill.sandbox.child import Limits
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.ledger import Trace
from workers.cpu_budgets import MAX_UNKNOWN_BYTES
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(), "poison:obey") as box:
        yield box


def traces(world: WorkersWorld, host: str) -> list[Trace]:
    """The rows of a host, in the order of their URLs."""
    return sorted((trace for trace in world.ledger.traces.list_all() if trace.host == host), key=lambda trace: trace.url)


def test_pages_of_a_source_without_budget_are_deferred_unread(world: WorkersWorld, context: WorkerContext) -> None:
    extract_claimed_pages(context, world.fetch(["work 5", "work 5", "article a"], host="hostile.example"))
    extract_claimed_pages(context, world.fetch(["article b"], host="ordinary.example"))
    assert world.outcomes() == {"stored": 1}
    assert [(trace.state, trace.stage, trace.crashes) for trace in traces(world, "hostile.example")] == [
        (State.FETCHED, "first attempt", 1),
        (State.FETCHED, "over budget", 0),
        (State.FETCHED, "over budget", 0),
    ]
    assert context.has_deferred.is_set(), "the thread that reads them is woken"
    assert world.ledger.segments.list_pending(now=world.app.now(), limit=9) == []


def test_one_slow_page_does_not_delay_the_others_of_a_known_source(world: WorkersWorld, context: WorkerContext) -> None:
    extract_claimed_pages(context, world.fetch(["article a", "work 5", "article b"]))
    assert world.outcomes() == {"stored": 2}


def test_a_large_page_of_an_unknown_source_is_deferred_unread(world: WorkersWorld, context: WorkerContext) -> None:
    large = f"large {'x' * MAX_UNKNOWN_BYTES}"
    extract_claimed_pages(context, world.fetch([large, "article a"], host="unknown.example"))
    assert [(trace.stage, trace.crashes) for trace in traces(world, "unknown.example")] == [("over budget", 0)] * 2
    extract_claimed_pages(context, world.fetch(["article b", large], host="known.example"))
    assert world.outcomes() == {"stored": 1, "no_text": 1}


class TestProcesses:
    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        """Processes are slow to start; the job's own tests run on both databases."""
        return sqlite_url

    @pytest.mark.slow
    def test_ordinary_pages_queued_behind_expensive_ones_are_stored_before_them(self, world: WorkersWorld) -> None:
        """The pages of three hostile hosts are first in the queue, and more of them come while the ordinary ones wait."""
        queue = world.queue
        hostile, ordinary = [f"hostile-{n}.example" for n in range(3)], [f"ordinary-{n}.example" for n in range(3)]
        for host in hostile:
            queue.enqueue(world.fetch(["work 0.8"] * 3, host=host))
        for host in ordinary:
            queue.enqueue(world.fetch([f"article {host} {n}" for n in range(4)], host=host))
        for host in hostile:
            queue.enqueue(world.fetch_all({f"https://{host}/more-{n}": "work 0.8" for n in range(2)}))
        queue.close()
        for _ in range(2):
            world.start("worker", lease_seconds=60.0, limits={"wall": 120.0})
        assert eventually(lambda: sum(world.outcomes().values()) == 27, 240)
        assert world.outcomes() == {"stored": 12, "no_text": 15}, "every page that was deferred is read in the end"
        ended = sorted(world.ledger.traces.list_all(), key=lambda trace: str(trace.ended_at))
        ranks = [rank for rank, trace in enumerate(ended) if trace.host in ordinary]
        assert ranks[-1] < 12 + 6, "some pages ended beside them, and most after them"
        crashes = [trace.crashes for host in hostile for trace in traces(world, host)]
        assert sum(crashes) <= 2 * len(hostile), "each worker tried one page of each host at most; the others were never read beside jobs"

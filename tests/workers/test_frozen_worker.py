"""A worker that is frozen for longer than its leases stores nothing that another worker has taken over."""

from __future__ import annotations

import signal
import time

from services import eventually
from workers_world import WorkersWorld

LEASE_SECONDS = 1.5
PAGES = 10


def test_the_late_results_of_a_frozen_worker_are_refused(world: WorkersWorld) -> None:
    """It is frozen with results that it has not stored, and stores them at its end."""
    segment = world.fetch(["signed"] * PAGES)
    frozen = world.start("worker", lease_seconds=LEASE_SECONDS)
    world.queue.enqueue(segment)
    assert eventually(lambda: world.ledger.traces.list_all(limit=1)[0].claims == 1)
    time.sleep(0.3)  # it stores after a third of the lease
    frozen.freeze(world.environ["DATABASE_URL"])
    unstored = PAGES - world.outcomes()["stored"]
    time.sleep(LEASE_SECONDS)
    world.queue.enqueue(segment)
    assert world.start("worker", burst=True).wait() == 0
    frozen.terminate()
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait() == 0
    assert world.outcomes() == {"stored": PAGES}
    assert set(world.stored().values()) == {1}
    assert {document.revision for document in world.documents.iterate()} == {1}
    assert sum(trace.claims for trace in world.ledger.traces.list_all()) == PAGES + unstored

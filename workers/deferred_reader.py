"""A worker's second thread: reads deferred pages beside the worker's jobs, in a child process of low priority.

So a page that takes long delays no other page: the system gives the child the CPU time that is left. The source that used least CPU time
has the next turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.model import ClaimedPage
from newsmill.sandbox.child import Limits
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.ledger import WaitingOwner
from newsmill.storage.owner_ids import make_owner_id
from workers import jobs
from workers.jobs import MAX_BATCH_PAGES
from workers.process import WorkerContext

NICE = 10  # of the child: a tenth of the CPU time of an ordinary process on a busy core
WALL_FACTOR = 120  # an hour: on a busy machine the child waits for the CPU; its limit of CPU time stays
POLL_SECONDS = 5.0  # between two searches for pages of other workers, and for pages whose retry is due
KILL_SECONDS = 0.1  # between two kills of the child while the thread ends: it may just be starting another one
OLDEST_FIRST_TURNS = 4  # one of so many turns goes to the oldest page, so that no page waits for ever behind new sources


class DeferredReader:
    """The thread, as a context manager. It has a lease owner, a sandbox and caches of its own, and shares the CPU budgets."""

    def __init__(self, context: WorkerContext, limits: Limits, reader: str) -> None:
        limits = replace(limits, wall=limits.wall * WALL_FACTOR, nice=NICE)
        self.context = replace(
            context, sandbox=Sandbox(limits, reader), owner=make_owner_id(), stop=threading.Event(), heartbeat=None, profile_cache={}
        )
        self._turn = 0
        self._ends_when_idle = False
        self._thread = threading.Thread(target=self._run, name="deferred pages")

    def __enter__(self) -> DeferredReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread. A page in progress is released, and nothing is counted."""
        self.context.stop.set()
        self.context.has_deferred.set()
        while self._thread.is_alive():
            self.context.sandbox.child.kill()
            self._thread.join(KILL_SECONDS)

    def finish(self) -> None:
        """Wait until no deferred page can be read now, then end the thread."""
        self._ends_when_idle = True
        self.context.has_deferred.set()
        self._thread.join()

    def check_alive(self) -> None:
        """Raises NewsmillError when an error has ended the thread."""
        if not self._thread.is_alive():
            raise NewsmillError("the thread that reads deferred pages has ended; see its own message above")

    def _run(self) -> None:
        context = self.context
        try:
            while not context.stop.is_set():
                context.has_deferred.clear()
                if self._try_turn():
                    continue
                if self._ends_when_idle:
                    return
                context.sandbox.close()  # its memory is needed seldom
                context.has_deferred.wait(POLL_SECONDS)
        finally:
            context.sandbox.close()

    def _try_turn(self) -> bool:
        """Read the deferred pages whose turn it is; whether there were any."""
        try:
            claims = self._claim()
            if claims:
                jobs.read_deferred(self.context, claims)
        except ServiceError as error:  # deferred pages can wait
            self.context.report_failed_pages(error)
            return False
        return bool(claims)

    def _claim(self) -> list[ClaimedPage]:
        context, deferred = self.context, self.context.app.ledger.deferred
        self._turn += 1
        for owner in order_turns(deferred.list_waiting(now=context.app.now()), context.cpu_budgets.balance, self._turn):
            claims = deferred.claim(owner, context.owner, limit=MAX_BATCH_PAGES, seconds=context.lease_seconds, now=context.app.now())
            if claims:
                return claims
        return []


def order_turns(waiting: Sequence[WaitingOwner], balance: Callable[[str], float], turn: int) -> list[WaitingOwner]:
    """The owner with the largest budget first. Each OLDEST_FIRST_TURNS-th turn, the one whose page was found first."""
    if turn % OLDEST_FIRST_TURNS == 0:
        return sorted(waiting, key=lambda owner: owner.first_id)
    return sorted(waiting, key=lambda owner: (-balance(owner.name), owner.first_id))

"""Watches one source while it is crawled: says when nothing is left to do, and shows how far it is."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import Bar, eta, rate
from newsmill.cli.terminal import now

if TYPE_CHECKING:
    from newsmill.cli.stack import RedisPlace, Store
    from newsmill.cli.supervisor import Supervisor
    from newsmill.keep.ledger import Progress

LOOK_EVERY = 0.25  # seconds between two looks at the ledger
PATIENCE = timedelta(
    seconds=45
)  # work that comes due within it is waited for (Retry-After, a crawl delay); later work is left for `newsmill up`
STILL = 3  # looks in a row that must find nothing to do: a row is owed by nobody only for the moment between two commits


class Watch:
    """One source under way. `until_idle` returns when it is through, when `limit` is reached, or when somebody asked to stop."""

    def __init__(self, store: Store, source: str, redis: RedisPlace, limit: int | None) -> None:
        self.store, self.source, self.redis, self.limit = store, source, redis, limit
        self.before = store.ledger.progress(source)
        self.bar = Bar(source)
        self._interrupt = Interrupt()

    def __enter__(self) -> Watch:
        self._interrupt.__enter__()
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)
        self._interrupt.__exit__(kind, error, trace)

    def until_idle(self, supervisor: Supervisor) -> bool:
        """Look again and again; True when it ended because somebody asked to stop."""
        began, still = time.monotonic(), 0
        while still < STILL and not self._enough():
            if self._interrupt.wait(LOOK_EVERY):
                self.bar.say("stopping; pages in hand are finished first …")
                return True
            supervisor.watch()
            self.redis.ensure()
            waiting = self.store.ledger.waiting(self.source, until=now() + PATIENCE)
            still = still + 1 if waiting.soon == 0 else 0
            self._show(time.monotonic() - began)
        return False

    def _enough(self) -> bool:
        return self.limit is not None and stored(self.store.ledger.progress(self.source)) - stored(self.before) >= self.limit

    def _show(self, seconds: float) -> None:
        progress = self.store.ledger.progress(self.source)
        done = ended(progress)
        new = done - ended(self.before)
        fetched = progress.pages - open_pages(progress)
        words = f"{progress.pages:,} pages found, {fetched:,} fetched, {stored(progress):,} stored, {rate(new, seconds)}"
        left = eta(progress.pages - done, new, seconds)
        self.bar.update(done, progress.pages or None, f"{words}, {left}" if left else words)


def stored(progress: Progress) -> int:
    """Pages that became a document."""
    from newsmill.model import Outcome

    return progress.outcomes.get(Outcome.STORED, 0)


def ended(progress: Progress) -> int:
    """Pages that have ended, one way or another."""
    return sum(progress.outcomes.values())


def open_pages(progress: Progress) -> int:
    """Pages that nobody has fetched yet."""
    from newsmill.model import State

    return progress.states.get(State.DUE, 0) + progress.states.get(State.FETCHING, 0)

"""Watches sources while they are crawled: says when nothing is left to do, and shows how far they are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import Bar, eta, rate
from newsmill.cli.terminal import now

if TYPE_CHECKING:
    from newsmill.cli.stack import RedisPlace, Store
    from newsmill.cli.supervisor import Supervisor
    from newsmill.keep.ledger import Progress, Waiting

Key = TypeVar("Key")

LOOK_EVERY = 0.25  # seconds between two looks at the ledger, or
LOOK_SHARE = 25  # times as long as a look takes: with many sources, watching must not cost more than 4 % of a core
PATIENCE = timedelta(
    seconds=45
)  # work that comes due within it is waited for (Retry-After, a crawl delay); later work is left for `newsmill up`
LEARNING = 60.0  # seconds that site profiles, and the documents cleaned again by them, are waited for at the end
STILL = 3  # looks in a row that must find nothing to do: a row is owed by nobody only for the moment between two commits


class Watch:
    """Sources under way. `until_idle` returns when they are through, when `limit` is reached, or when somebody asked to stop."""

    def __init__(self, store: Store, sources: Sequence[str], redis: RedisPlace, limit: int | None) -> None:
        self.store, self.sources, self.redis, self.limit = store, sources, redis, limit
        self.before = progress_of(store, sources)
        self.bar = Bar(sources[0] if len(sources) == 1 else f"{len(sources)} sources")
        self._interrupt = Interrupt()
        self._quiet_at: float | None = None  # since when nothing but profiles is under way

    def __enter__(self) -> Watch:
        self._interrupt.__enter__()
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)
        self._interrupt.__exit__(kind, error, trace)

    def until_idle(self, supervisor: Supervisor) -> bool:
        """Look again and again; True when it ended because somebody asked to stop."""
        began, still, took, before = time.monotonic(), 0, 0.0, self.before
        while still < STILL and not self._enough(before):
            if self._interrupt.wait(max(LOOK_EVERY, took * LOOK_SHARE)):
                self.bar.say("stopping; pages in hand are finished first …")
                return True
            looked = time.thread_time()
            supervisor.watch()
            self.redis.ensure()
            progress = progress_of(self.store, self.sources)
            still = 0 if progress != before or self._goes_on() else still + 1  # what moves need not be counted
            self._show(progress, time.monotonic() - began)
            took, before = time.thread_time() - looked, progress
        return False

    def _goes_on(self) -> bool:
        """Whether there is work left, or a site is being learnt; the latter is not waited for without end."""
        if waiting_of(self.store, self.sources, now() + PATIENCE).soon > 0:
            self._quiet_at = None
            return True
        self._quiet_at = self._quiet_at or time.monotonic()
        return time.monotonic() - self._quiet_at < LEARNING and self._learns()

    def _learns(self) -> bool:
        """Whether a site of these sources is to be learnt, or has documents that will be cleaned again."""
        from newsmill.read.profile import is_due

        profiles = self.store.profiles
        return any(profiles.is_under_way(site, is_due) for site in profiles.of_sources(self.sources))

    def _enough(self, progress: Progress) -> bool:
        return self.limit is not None and stored(progress) - stored(self.before) >= self.limit

    def _show(self, progress: Progress, seconds: float) -> None:
        done = ended(progress)
        new = done - ended(self.before)
        fetched = progress.pages - open_pages(progress)
        words = f"{progress.pages:,} pages found, {fetched:,} fetched, {stored(progress):,} stored, {rate(new, seconds)}"
        left = eta(progress.pages - done, new, seconds)
        self.bar.update(done, progress.pages or None, f"{words}, {left}" if left else words)


def progress_of(store: Store, sources: Sequence[str]) -> Progress:
    """Where several sources stand together."""
    from newsmill.keep.ledger import Progress

    each = [store.ledger.progress(source) for source in sources]
    return Progress(
        pages=sum(progress.pages for progress in each),
        states=_sum(progress.states for progress in each),
        outcomes=_sum(progress.outcomes for progress in each),
        listings=_sum(progress.listings for progress in each),
    )


def waiting_of(store: Store, sources: Sequence[str], until: datetime) -> Waiting:
    """How much of several sources can go on by `until`, and how much only later."""
    from newsmill.keep.ledger import Waiting

    each = [store.ledger.waiting(source, until=until) for source in sources]
    times = [waiting.next_at for waiting in each if waiting.next_at is not None]
    return Waiting(sum(waiting.soon for waiting in each), sum(waiting.later for waiting in each), min(times, default=None))


def _sum(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    total: Counter[Key] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


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

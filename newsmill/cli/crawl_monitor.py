"""Watches sources while they are crawled: says when nothing is left to do, shows how far they are, and gives up when nothing moves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from newsmill.cli.context import Disk, RedisPlace, Store
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import Bar, eta, rate
from newsmill.cli.supervisor import Supervisor
from newsmill.cli.terminal import now
from newsmill.cli.totals import ended, open_pages, progress_of, stored, waiting_of
from newsmill.exceptions import NewsmillError
from newsmill.extraction.site_profile.apply_profile import is_due
from newsmill.storage.ledger import Progress

LOOK_EVERY = 0.25  # seconds between two looks at the ledger
LOOK_SHARE = 50  # a look may cost a fiftieth of one core: with many open rows it is not cheap
PATIENCE = timedelta(
    seconds=45
)  # work due within it is waited for (Retry-After, a crawl delay); what is due later is left for `newsmill up`
STILL = 3  # looks in a row that must find nothing to do: a row is owed by nobody only for the moment between two commits
LEARNING = 60.0  # seconds that site profiles, and the documents they have cleaned again, are waited for when all else is done
STALLED = 300.0  # seconds without any movement: above every deadline, lease and clamped delay there is
WINDOW = 30.0  # seconds over which the pace is measured; from the start on, the first minute would always look hopeless


class Watch:
    """Sources under way. `until_idle` returns when they are through, when `limit` is reached, or when somebody asked to stop."""

    def __init__(self, store: Store, sources: Sequence[str], redis: RedisPlace, disk: Disk, limit: int | None, learn: bool = True) -> None:
        self.store, self.sources, self.redis, self.disk, self.limit = store, sources, redis, disk, limit
        self.learn = learn  # wait for sites to be learnt
        self.before = progress_of(store, sources)
        self.bar = Bar(sources[0] if len(sources) == 1 else f"{len(sources)} sources")
        self._interrupt = Interrupt()
        self._pace = deque([(time.monotonic(), ended(self.before))])

    def __enter__(self) -> Watch:
        self._interrupt.__enter__()
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)
        self._interrupt.__exit__(kind, error, trace)

    def until_idle(self, supervisor: Supervisor) -> bool:
        """Look again and again; True when it ended because somebody asked to stop. Raises NewsmillError when nothing moves any more."""
        seen, moved, still, took = self.before, time.monotonic(), 0, 0.0
        while still < STILL and not self._enough(seen):
            if self._interrupt.wait(max(LOOK_EVERY, took * LOOK_SHARE)):
                self.bar.say("stopping; pages in hand are finished first …")
                return True
            looked = time.thread_time()
            supervisor.watch()
            self.redis.ensure()
            self.disk.check()
            progress = progress_of(self.store, self.sources)
            if progress != seen:
                seen, moved, still = progress, time.monotonic(), 0
            elif waiting_of(self.store, self.sources, now() + PATIENCE).soon == 0:
                still = 0 if time.monotonic() - moved < LEARNING and self._learns() else still + 1
            elif time.monotonic() - moved > STALLED:
                raise NewsmillError(f"nothing has moved for {STALLED / 60:.0f} minutes; {supervisor.complaint()}")
            self._show(progress)
            took = time.thread_time() - looked
        return False

    def _learns(self) -> bool:
        """Whether a site of these sources is to be learnt, or has documents that will be cleaned again."""
        profiles = self.store.profiles
        return self.learn and any(profiles.is_under_way(site, is_due) for site in profiles.of_sources(self.sources))

    def _enough(self, progress: Progress) -> bool:
        return self.limit is not None and stored(progress) - stored(self.before) >= self.limit

    def _show(self, progress: Progress) -> None:
        done = ended(progress)
        self._pace.append((time.monotonic(), done))
        while len(self._pace) > 2 and self._pace[-1][0] - self._pace[0][0] > WINDOW:
            self._pace.popleft()
        seconds, new = (last - first for first, last in zip(self._pace[0], self._pace[-1], strict=True))
        fetched = progress.pages - open_pages(progress)
        words = f"{progress.pages:,} pages found, {fetched:,} fetched, {stored(progress):,} stored, {rate(int(new), seconds)}"
        left = eta(progress.pages - done, int(new), seconds)
        self.bar.update(done, progress.pages or None, f"{words}, {left}" if left else words)

"""One leased host, fetched politely by one task until nothing is due, its budget is used up, or it asks for a pause."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from crawler.fetch_task import FetchTask, RetryAt, decide_failure, refusal
from crawler.robots import fetch_robots, known, restore_robots
from crawler.throttle import HostThrottle, StopRequestedError
from newsmill.exceptions import ServiceError
from newsmill.model import LeasedUrl, Outcome, OutcomeRecord, Politeness
from newsmill.storage.ledger import Ended, HostLease, Postponed

if TYPE_CHECKING:
    from crawler.frontier import Frontier

log = logging.getLogger(__name__)

MAX_BATCH_ROWS = 32  # rows leased at a time: one segment's worth
MAX_BATCH_SECONDS = 30.0  # of waiting at the host's delay that a batch may hold: a killed crawler keeps them for a lease's time
MAX_HOST_ROWS = 500  # then the host goes back, so that more hosts than we serve at once all get their turn
MAX_HOST_SECONDS = 300.0
REFUSED_BATCH_ROWS = 500  # rows postponed or ended at a time where nothing may be fetched
CRASH_PAUSE = timedelta(minutes=10)  # a bug of ours must not hammer the host that shows it


class HostWorker:
    """Our turn at one host, from lease to release."""

    def __init__(self, crawl: Frontier, lease: HostLease) -> None:
        self.crawl = crawl
        self.lease = lease
        self.host = lease.host
        self.throttle: HostThrottle = crawl.held.throttle(lease.host)
        self.lost = False  # the lease is somebody else's: stop at once, write nothing
        self.waiting: deque[LeasedUrl] = deque()
        self.in_hand: dict[int, LeasedUrl] = {}
        self.pause: RetryAt | None = None
        self.done = 0

    async def run(self) -> None:
        """Fetch what is due. Whatever happens, rows not concluded and the host go back to the ledger."""
        sane = False
        self.throttle.failures = max(self.throttle.failures, self.lease.failures)
        try:
            await self._fetch_all()
            sane = True
        except (StopRequestedError, asyncio.CancelledError):
            sane = True
            raise
        finally:
            if not self.lost:
                await self._give_back(sane)

    async def _fetch_all(self) -> None:
        began = time.monotonic()
        await restore_robots(self.throttle, self.lease, self.crawl.now())
        while self.pause is None and self.done < MAX_HOST_ROWS and time.monotonic() - began < MAX_HOST_SECONDS:
            await self.crawl.room()
            rows = await self._lease(self._batch_size())
            if not rows:
                return
            if not known(self.throttle) and not await self._learn_robots(rows):
                return
            self.done += len(rows)
            await self._work_off(await self._without_refused(rows))

    def _batch_size(self) -> int:
        return MAX_BATCH_ROWS if self.throttle.delay <= 0 else max(1, min(MAX_BATCH_ROWS, int(MAX_BATCH_SECONDS / self.throttle.delay)))

    async def _lease(self, limit: int) -> list[LeasedUrl]:
        crawl = self.crawl
        rows = await crawl.sql(
            lambda now: crawl.ledger.lease_urls(self.host, crawl.owner, limit=limit, seconds=crawl.lease_seconds, now=now)
        )
        self.waiting.extend(rows)
        await crawl.know_sources(rows)
        return rows

    # ---- robots

    async def _learn_robots(self, rows: list[LeasedUrl]) -> bool:
        """Read robots.txt; False when nothing may be fetched: then all due rows of the host are postponed, or end."""
        crawl = self.crawl
        answer = await fetch_robots(crawl.fetcher, self.throttle, rows[0].url, crawl.held.throttle)
        await crawl.held.save_robots(self.throttle, answer)
        if answer.refusal is not None:
            await self._put_off(answer.refusal)
            return False
        return True

    async def _put_off(self, why: OutcomeRecord) -> None:
        """Nothing of this host may be fetched now: neither these rows nor the rest of what is due."""
        self.throttle.failed()
        while rows := list(self.waiting):
            now = self.crawl.now()
            ended, postponed = [], []
            for owed in rows:
                verdict = decide_failure(why, owed.attempts, now)
                if isinstance(verdict, OutcomeRecord):
                    ended.append(Ended(owed.id, owed.fence, verdict, owed.etag, owed.last_modified))
                else:
                    postponed.append(Postponed(owed.id, owed.fence, verdict.at, verdict.detail))
                    self._ask_pause(RetryAt(verdict.at, verdict.detail, verdict.at))
            await self._write_off(ended, postponed)
            self.waiting.clear()
            await self._lease(REFUSED_BATCH_ROWS)

    async def _write_off(self, ended: list[Ended], postponed: list[Postponed]) -> None:
        ledger = self.crawl.ledger
        if ended:
            await self.crawl.sql(lambda now: ledger.end(ended, now=now))
        if postponed:
            await self.crawl.sql(lambda now: ledger.postpone(postponed, now=now))

    # ---- rows

    async def _without_refused(self, rows: list[LeasedUrl]) -> list[LeasedUrl]:
        """The rows that may be asked for; the others end together, in one commit. A batch without any takes the time of one request."""
        ended = []
        for owed in rows:
            ending = refusal(owed, self.crawl.source_of(owed), self.throttle)
            if ending is not None:
                ended.append(Ended(owed.id, owed.fence, ending))
            await asyncio.sleep(0)  # one URL may take milliseconds to match
        await self._write_off(ended, [])
        gone = {row.id for row in ended}
        self.waiting = deque(owed for owed in rows if owed.id not in gone)
        if not self.waiting:
            await self.throttle.turn()
        return list(self.waiting)

    async def _work_off(self, rows: list[LeasedUrl]) -> None:
        wishes = [self.crawl.politeness_of(owed) for owed in rows] or [Politeness()]
        self.throttle.be_patient(max(wish.delay for wish in wishes))  # of several sources on one host the gentlest counts
        hands = min(wish.concurrency for wish in wishes)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(hands, len(rows))):
                group.create_task(self._hand())
        self.crawl.stop.check()

    async def _hand(self) -> None:
        """Fetch one row after the other until none waits, the host asks for a pause, or we are to stop."""
        while self.waiting and self.pause is None:
            owed = self.waiting.popleft()
            self.in_hand[owed.id] = owed
            try:
                await self.crawl.room()  # asked per page: 64 hosts with a batch each in hand would run far past the mark
                pause = await FetchTask(self.crawl, owed, self.throttle).run()
            except StopRequestedError:
                self.waiting.appendleft(self.in_hand.pop(owed.id))
                return
            del self.in_hand[owed.id]
            if pause is not None:
                self._ask_pause(pause)
                await self._save_pause()

    async def _save_pause(self) -> None:
        """At once: until the other hands are done a crash would forget it, and the next crawler would ask again."""
        until, failures = self.pause.host_until if self.pause is not None else None, self.throttle.failures
        if until is not None:
            await self.crawl.sql(lambda now: self.crawl.ledger.pause_host(self.host, self.crawl.owner, until=until, failures=failures))

    def _ask_pause(self, later: RetryAt) -> None:
        """Of several pauses, asked for in parallel, the longest holds: never too early."""
        if self.pause is None or (self.pause.host_until or later.at) < (later.host_until or later.at):
            self.pause = later

    # ---- the end

    async def _give_back(self, sane: bool) -> None:
        crawl, now = self.crawl, self.crawl.now()
        rest = [*self.waiting, *(self.in_hand.values() if sane else ())]
        until = self.pause.host_until if self.pause is not None else now + timedelta(seconds=self.throttle.free_in)
        try:
            if not sane:
                until = now + CRASH_PAUSE
                await self._count_crash(now)
            if rest:
                await crawl.sql(lambda now: crawl.ledger.release_urls(rest, now=now))
            failures = self.throttle.failures
            await crawl.sql(lambda now: crawl.ledger.release_host(self.host, crawl.owner, now=now, next_fetch_at=until, failures=failures))
        except ServiceError as e:
            log.warning("%s could not be given back (%s); its lease ends by itself", self.host, e)

    async def _count_crash(self, now: datetime) -> None:
        """A bug of ours ended the visit: the rows in hand carry one more attempt, so that a poisonous address ends some day."""
        ended, postponed = [], []
        for owed in self.in_hand.values():
            why = OutcomeRecord(Outcome.CONNECTION, "the crawler failed on this address; see its log")
            verdict = decide_failure(why, owed.attempts, now)
            if isinstance(verdict, OutcomeRecord):
                ended.append(Ended(owed.id, owed.fence, verdict))
            else:
                postponed.append(Postponed(owed.id, owed.fence, verdict.at, verdict.detail))
        await self._write_off(ended, postponed)

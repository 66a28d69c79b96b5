"""One leased host: fetches its due URLs politely until nothing is due, its budget is used up, or it asks for a pause."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta

from crawler.fetching.robots import HOST_FAILURES, fetch_robots, restore_throttle
from crawler.frontier.failure_log import log_ended, log_host_failure
from crawler.frontier.fetch_task import FetchTask, make_outage_pause
from crawler.politeness.publisher_orders import STOPPED_BY_OWNER
from crawler.politeness.response_policy import RetryAt, decide_failure, make_stopped_pause
from crawler.politeness.throttle import HostThrottle, LeaseLostError, StopRequestedError
from crawler.politeness.url_refusals import find_refusal
from crawler.state.crawl_state import CrawlState
from crawler.state.host_leases import CRASH_PAUSE, HostLeases
from newsmill.exceptions import ServiceError
from newsmill.model import Kind, LeasedUrl, Outcome, OutcomeRecord, Politeness
from newsmill.storage.ledger import Ended, HostLease, Postponed
from newsmill.text.sentences import Sentence

log = logging.getLogger(__name__)

MAX_BATCH_ROWS = 32  # leased at a time: one segment's worth
MAX_BATCH_SECONDS = 30.0  # a batch may take at the host's delay: the rows of a killed crawler stay leased for `lease_seconds`
MAX_HOST_ROWS = 500  # then the host is released, so that every host gets its turn
MAX_HOST_SECONDS = 300.0
REFUSED_BATCH_ROWS = 500  # postponed or ended at a time where nothing may be fetched


class HostWorker:
    """The work on one host, from its lease to its release."""

    def __init__(self, state: CrawlState, host_leases: HostLeases, lease: HostLease) -> None:
        self.state = state
        self.host_leases = host_leases
        self.lease = lease
        self.host = lease.host
        self.throttle: HostThrottle = host_leases.throttle(lease.host)
        self.has_lost_lease = False  # another crawler holds the host: write nothing any more
        self._pending: deque[LeasedUrl] = deque()
        self._in_progress: dict[int, LeasedUrl] = {}
        self._pause: RetryAt | None = None
        self._robots_failure: OutcomeRecord | None = None  # of an unreachable robots.txt, where some sources need not obey it
        self._leased_rows = 0
        self._is_page_next = False  # after a listing

    async def run(self) -> None:
        """Fetch what is due. In every case, rows without a result and the host go back to the ledger."""
        has_crashed = True
        try:
            await self._fetch_all()
            has_crashed = False
        except (StopRequestedError, asyncio.CancelledError):
            has_crashed = False
            raise
        finally:
            if not self.has_lost_lease:
                await self._release(has_crashed)

    async def _fetch_all(self) -> None:
        started_at = time.monotonic()
        await restore_throttle(self.throttle, self.lease, self.state.now())
        while self._may_go_on and time.monotonic() - started_at < MAX_HOST_SECONDS:
            await self.state.wait_for_backlog()
            rows = await self._lease_batch()
            if not rows:
                return
            self._set_delay(rows)  # before robots.txt, for a host whose last owner may have sent a request a moment ago
            has_robots = self.throttle.has_current_robots or self._robots_failure is not None
            if not has_robots and not await self._fetch_robots(rows):
                return
            self._leased_rows += len(rows)
            await self._fetch_rows(await self._end_refused(rows))

    @property
    def pages_in_progress(self) -> int:
        """Article URLs that are being fetched, without revisits, which bring no further document."""
        return sum(leased_url.kind is Kind.PAGE and not leased_url.is_revisit for leased_url in self._in_progress.values())

    @property
    def _may_go_on(self) -> bool:
        return self._find_pause() is None and self._leased_rows < MAX_HOST_ROWS and not self.state.is_page_limit_reached

    def _batch_size(self) -> int:
        if self.throttle.delay <= 0:
            return MAX_BATCH_ROWS
        return max(1, min(MAX_BATCH_ROWS, int(MAX_BATCH_SECONDS / self.throttle.delay)))

    async def _lease_batch(self) -> list[LeasedUrl]:
        """The next rows: pages, or one listing. Between two listings a page is fetched, so that a site's first articles do not wait for all
        of its listings. After a homepage comes a feed, whose entries describe the articles."""
        rows = await self._lease_rows(1 if self._is_page_next else self._batch_size())
        if not rows or rows[0].kind is Kind.PAGE:
            self._is_page_next = False
            return rows
        if self._is_page_next and (pages := await self._lease_rows(1, pages_only=True)):
            self._is_page_next = False
            return await self._keep(pages, rows)
        self._is_page_next = rows[0].kind is not Kind.HOMEPAGE
        return await self._keep(rows[:1], rows[1:])

    async def _lease_rows(self, limit: int, *, pages_only: bool = False) -> list[LeasedUrl]:
        state = self.state
        rows = await state.call_ledger(
            lambda now: state.ledger.url_leases.lease(
                self.host, state.owner, limit=limit, seconds=state.lease_seconds, now=now, source=state.only_source, pages_only=pages_only
            )
        )
        self._pending.extend(rows)
        await state.read_missing_sources(rows)
        return rows

    async def _keep(self, rows: list[LeasedUrl], others: list[LeasedUrl]) -> list[LeasedUrl]:
        """The rows; the others are released, because a leased row keeps the rank and the hint that it had."""
        if others:
            await self.state.call_ledger(lambda now: self.state.ledger.url_leases.release(others, now=now))
        self._pending = deque(rows)
        return rows

    async def _fetch_robots(self, rows: list[LeasedUrl]) -> bool:
        """Fetch robots.txt. False: nothing may be fetched, and all due rows of the host are postponed or ended.

        If the owner of the host has stopped the crawler, its rows are released as they were.
        """
        response = await fetch_robots(
            self.state.downloader, self.throttle, rows[0].url, self.host_leases.unleased_throttle, self.state.find_order
        )
        if response.refusal == STOPPED_BY_OWNER:
            self._extend_pause(make_stopped_pause(self.state.now()))
            return False
        if response.status is not None:
            self.state.network.record_answer()
        elif response.refusal is not None:
            has_answered = self.throttle.failures == 0 and self.lease.robots_status is not None
            wait = self.state.network.record_failure(rows[0].url, response.refusal, has_answered=has_answered)
            if wait is not None:
                self._extend_pause(make_outage_pause(response.refusal, self.state.now() + wait))
                return False
        await self.state.save_robots(self.throttle, response)
        if response.refusal is None:
            return True
        if all(self.state.obeys_robots(row) for row in rows):
            self.throttle.pause(response.retry_after)
        if response.refusal.outcome not in HOST_FAILURES and not all(source.robots for source in self.state.sources.values()):
            self._robots_failure = response.refusal
            return True
        await self._refuse_all(response.refusal)
        return False

    async def _refuse_all(self, failure: OutcomeRecord) -> None:
        """Postpone or end the pending rows and everything else of this host that is due."""
        self.throttle.record_failure()
        while rows := list(self._pending):
            ended, postponed = _split_failed(rows, failure, self.state.now())
            for row in postponed:
                self._extend_pause(RetryAt(row.next_at, row.detail or "", row.next_at))
            await self._write(ended, postponed)
            self._pending.clear()
            await self._lease_rows(REFUSED_BATCH_ROWS)

    async def _end_refused(self, rows: list[LeasedUrl]) -> list[LeasedUrl]:
        """End the rows that may not be fetched, in one commit, and return the others. A batch without any takes the time of one request."""
        ended: list[Ended] = []
        postponed: list[Postponed] = []
        if self._robots_failure is not None:
            ended, postponed = _split_failed([row for row in rows if self.state.obeys_robots(row)], self._robots_failure, self.state.now())
            rows = [row for row in rows if not self.state.obeys_robots(row)]
        for leased_url in rows:
            refusal = find_refusal(leased_url, self.state.source_of(leased_url), self.throttle)
            if refusal is not None:
                ended.append(Ended(leased_url.id, leased_url.fence, refusal))
                log_ended(leased_url, refusal)
            await asyncio.sleep(0)  # one URL can take milliseconds to match
        await self._write(ended, postponed)
        ended_ids = {row.id for row in ended}
        self._pending = deque(leased_url for leased_url in rows if leased_url.id not in ended_ids)
        if not self._pending and self._find_pause() is None:
            await self.throttle.acquire()
        return list(self._pending)

    async def _fetch_rows(self, rows: list[LeasedUrl]) -> None:
        """Fetch the pending rows. If several sources have URLs on this host, the longest delay and the lowest concurrency apply."""
        concurrency = min((self.state.politeness_of(leased_url).concurrency for leased_url in rows), default=1)
        self._set_delay(rows)  # a Crawl-delay counts
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(rows))):
                group.create_task(self._fetch_pending())
        self.state.stop.check()
        if not self.throttle.is_held:
            raise LeaseLostError(f"the lease of {self.host} has ended")

    def _set_delay(self, rows: list[LeasedUrl]) -> None:
        """Apply the longest delay of the sources that have these URLs."""
        self.throttle.set_delay(max((self.state.politeness_of(leased_url).delay for leased_url in rows), default=Politeness().delay))

    async def _fetch_pending(self) -> None:
        """Fetch one row after the other until none is pending, the host asks for a pause, the crawler stops, or the lease ends."""
        while self._pending and self._find_pause() is None and not self.state.is_page_limit_reached:
            leased_url = self._pending.popleft()
            self.state.count_request(leased_url)
            self._in_progress[leased_url.id] = leased_url
            try:
                await self.state.wait_for_backlog()  # before each page: 64 hosts with a batch each would run far past the limit
                pause = await FetchTask(self.state, self.host_leases, leased_url, self.throttle).run()
            except StopRequestedError:
                self._pending.appendleft(self._in_progress.pop(leased_url.id))
                return
            del self._in_progress[leased_url.id]
            if pause is not None:
                self._extend_pause(pause)
                await self._save_pause()

    def _find_pause(self) -> RetryAt | None:
        """The pause of the host; None without one. A redirect of another host may have led to a page that calls for one."""
        if (seconds := self.throttle.pause_seconds) > 0:
            until = self.state.now() + timedelta(seconds=seconds)
            self._extend_pause(RetryAt(until, "paused", until))
        return self._pause

    def _extend_pause(self, pause: RetryAt) -> None:
        """Of several pauses the longest applies."""
        if self._pause is None or (self._pause.host_until or self._pause.at) < (pause.host_until or pause.at):
            self._pause = pause

    async def _save_pause(self) -> None:
        """Save the pause before the other requests end: after a crash, the next crawler must keep it."""
        until, failures = self._pause.host_until if self._pause is not None else None, self.throttle.failures
        if until is not None:
            await self.state.call_ledger(
                lambda now: self.state.ledger.hosts.pause(self.host, self.state.owner, until=until, failures=failures, now=now)
            )

    async def _write(self, ended: list[Ended], postponed: list[Postponed]) -> None:
        ledger = self.state.ledger
        if ended:
            await self.state.call_ledger(lambda now: ledger.url_endings.end(ended, now=now))
        if postponed:
            await self.state.call_ledger(lambda now: ledger.url_endings.postpone(postponed, now=now))

    async def _release(self, has_crashed: bool) -> None:
        state, now = self.state, self.state.now()
        rows = [*self._pending, *(() if has_crashed else self._in_progress.values())]
        pause = self._find_pause()
        until = pause.host_until if pause is not None else now + timedelta(seconds=self.throttle.seconds_until_free)
        try:
            if has_crashed:
                until = now + CRASH_PAUSE
                await self._count_crash(now)
            if rows:
                await state.call_ledger(lambda now: state.ledger.url_leases.release(rows, now=now))
            failures, seconds = self.throttle.failures, self.throttle.response_seconds
            await state.call_ledger(
                lambda now: state.ledger.hosts.release(
                    self.host, state.owner, now=now, next_fetch_at=until, failures=failures, response_seconds=seconds
                )
            )
        except ServiceError as e:
            log.warning("host %s was not released: %s; its lease ends in %.0f s", self.host, e, state.lease_seconds)

    async def _count_crash(self, now: datetime) -> None:
        """Count one more attempt of the rows in progress, so that a URL that crashes the crawler ends after some attempts."""
        crash = OutcomeRecord(Outcome.CONNECTION, Sentence("the crawler failed on this URL; see its log"))
        # Without validators: the crash may have come after a listing's first links, and a 304 would hide the others.
        rows = [replace(leased_url, etag=None, last_modified=None) for leased_url in self._in_progress.values()]
        await self._write(*_split_failed(rows, crash, now))


def _split_failed(rows: list[LeasedUrl], failure: OutcomeRecord, now: datetime) -> tuple[list[Ended], list[Postponed]]:
    """The rows that end with the failure, and those that are retried; the log names them. Rows keep their validators."""
    ended, postponed = [], []
    for leased_url in rows:
        decision = decide_failure(failure, leased_url.attempts, now, leased_url.kind)
        if isinstance(decision, OutcomeRecord):
            ended.append(Ended(leased_url.id, leased_url.fence, decision, leased_url.etag, leased_url.last_modified))
        else:
            postponed.append(Postponed(leased_url.id, leased_url.fence, decision.at, decision.detail, failure=decision.failure))
    log_host_failure(rows, failure, ended, postponed)
    return ended, postponed

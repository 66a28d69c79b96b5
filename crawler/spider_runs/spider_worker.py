"""Runs one source's spider when it is due: leased like a host, then ended with an outcome or postponed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from crawler.politeness.response_policy import RetryAt, decide_failure
from crawler.politeness.throttle import StopRequestedError
from crawler.spider_runs.run_outcome import CRASHED, STOPPED, describe_run
from crawler.spider_runs.run_report import RunReport, RunRequest
from crawler.spider_runs.spider_process import SpiderProcess
from crawler.state.crawl_state import CrawlState
from crawler.state.host_leases import CRASH_PAUSE
from newsmill.exceptions import ServiceError
from newsmill.model import LeasedUrl, Outcome, OutcomeRecord, Source
from newsmill.storage.ledger import Ended, HostLease, Postponed
from newsmill.storage.owner_ids import is_dead
from newsmill.text.sentences import Sentence

log = logging.getLogger(__name__)


class SpiderWorker:
    """The work on the leased pseudo-host of one source's spider: at most one run at a time, over all crawlers."""

    def __init__(self, state: CrawlState, lease: HostLease, find_log: Callable[[str], Path]) -> None:
        """`find_log` returns the log file of a source."""
        self.state = state
        self.host = lease.host
        self.find_log = find_log
        self.has_lost_lease = False  # another crawler holds the host: write nothing any more

    async def run(self) -> None:
        """Run what is due. In every case the row and the host go back to the ledger."""
        rows: list[LeasedUrl] = []
        has_crashed = True
        try:
            await self.state.wait_for_backlog()
            rows = await self._lease_rows()
            for leased_url in list(rows):
                if await self._run_spider(leased_url):
                    rows.remove(leased_url)
            has_crashed = False
        except (StopRequestedError, asyncio.CancelledError):
            has_crashed = False
            raise
        finally:
            if not self.has_lost_lease:
                await self._release(rows, self.state.now() + CRASH_PAUSE if has_crashed else None)

    async def _lease_rows(self) -> list[LeasedUrl]:
        state = self.state
        rows = await state.call_ledger(
            lambda now: state.ledger.url_leases.lease(self.host, state.owner, limit=1, seconds=state.lease_seconds, now=now)
        )
        if rows:
            await state.read_sources()  # the spider may be new
        return rows

    async def _run_spider(self, leased_url: LeasedUrl) -> bool:
        """Run the source's spider and record the result. False: the crawler stops, and the run has no result."""
        source = self.state.source_of(leased_url)
        if source is None or source.spider is None:
            await self._end(leased_url, OutcomeRecord(Outcome.DENIED, Sentence("the source has no spider")))
            return True
        report = await self._wait(source)
        has_ended_early = report.reason in (STOPPED, CRASHED)  # a run that had not opened its spider dies of the signal
        if has_ended_early and self.state.stop.event.is_set():
            return False
        await self._record(leased_url, report)
        return True

    async def _wait(self, source: Source) -> RunReport:
        log.info("the spider of source %s runs", source.name)
        process = await SpiderProcess.start(RunRequest(source, str(self.find_log(source.name))))
        waiting = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self.state.stop.event.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                process.stop()
            report = await waiting
        finally:
            stopping.cancel()
            waiting.cancel()
            await process.kill()
            await asyncio.gather(waiting, stopping, return_exceptions=True)
        await self._free_hosts(report)
        return report

    async def _free_hosts(self, report: RunReport) -> None:
        """End the leases of a run that crashed: it has not released its hosts."""
        if report.error is not None:
            ledger = self.state.ledger
            await self.state.call_ledger(lambda now: ledger.dead_leases.end(is_dead, now=now))

    @property
    def pages_in_progress(self) -> int:
        """Article URLs that are being fetched: a run has none, because it stores its pages itself."""
        return 0

    async def _record(self, leased_url: LeasedUrl, report: RunReport) -> None:
        outcome = describe_run(report)
        log.info("the spider of source %s has ended: %s: %s", leased_url.source, outcome.outcome, outcome.detail)
        if outcome.outcome is not Outcome.SPIDER_FAILED or report.is_permanent:
            await self._end(leased_url, outcome)
            return
        decision = decide_failure(outcome, leased_url.attempts, self.state.now(), leased_url.kind)
        match decision:
            case OutcomeRecord():
                await self._end(leased_url, decision)
            case RetryAt():
                row = Postponed(leased_url.id, leased_url.fence, decision.at, decision.detail, failure=decision.failure)
                await self.state.call_ledger(lambda now: self.state.ledger.url_endings.postpone([row], now=now))

    async def _end(self, leased_url: LeasedUrl, outcome: OutcomeRecord) -> None:
        ended = Ended(leased_url.id, leased_url.fence, outcome)
        await self.state.call_ledger(lambda now: self.state.ledger.url_endings.end([ended], now=now))

    async def _release(self, rows: list[LeasedUrl], until: datetime | None) -> None:
        state = self.state
        try:
            if rows:
                await state.call_ledger(lambda now: state.ledger.url_leases.release(rows, now=now))
            await state.call_ledger(lambda now: state.ledger.hosts.release(self.host, state.owner, now=now, next_fetch_at=until))
        except ServiceError as e:
            log.warning("spider %s was not released: %s; its lease ends in %.0f s", self.host, e, state.lease_seconds)

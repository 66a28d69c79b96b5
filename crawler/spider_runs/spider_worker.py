"""The runs of one source's spider: leased like a host, run in a process of its own, and ended with an outcome or postponed.

The process is `crawler.spider_runs.spider_run`. Its request and its report are JSON on the pipes.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from crawler.frontier.host_worker import CRASH_PAUSE
from crawler.politeness.response_policy import TRANSIENT_FAILURES, TRANSIENT_STATUSES, RetryAt, decide_failure
from crawler.politeness.throttle import StopRequestedError
from crawler.state.crawl_state import CrawlState
from newsmill.exceptions import ServiceError
from newsmill.model import OUTCOMES, LeasedUrl, Outcome, OutcomeRecord, Source
from newsmill.storage.ledger import Ended, HostLease, Postponed
from newsmill.storage.processes import is_dead

log = logging.getLogger(__name__)


# ---- the process of a run: its request and report, and how its parent starts and ends it ----------------------------------------

KILL_AFTER_SECONDS = 60.0  # over the spider's own limit: it has this time to start and to store its last pages
MAX_LINE_BYTES = 1 << 20
MAX_STDERR_BYTES = 4096  # kept, of its end


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run. In a `test` run nothing is stored: each page, link and article is printed as JSON."""

    source: Source
    log_file: str | None = None  # None: standard error
    test: bool = False


@dataclass(slots=True)
class OutputCounts:
    """What a spider has yielded."""

    pages: int = 0
    links: int = 0
    articles: int = 0
    ignored: int = 0  # items without url, title and text
    bad_links: int = 0
    unreadable_dates: int = 0
    queued_pages: int = 0  # pages and articles that are new or have changed
    known_pages: int = 0
    rejected_pages: int = 0
    new_links: int = 0
    lost: int = 0  # pages, links and articles of batches that could not be stored


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended. `error` is None for a run that reached its end, a signal or its limit of pages."""

    reason: str  # "finished", "pages", "stopped", or Scrapy's reason
    counts: OutputCounts = field(default_factory=OutputCounts)
    requests: int = 0
    skipped: int = 0  # requests for pages that the archive has
    refused: Mapping[str, int] = field(default_factory=dict)  # requests by the outcome that refused them
    bad_statuses: Mapping[int, int] = field(default_factory=dict)  # HTTP status → responses that reached no callback
    failed: int = 0  # requests without a response, after the retries
    first_failure: str | None = None
    dropped: int = 0  # items that a pipeline has dropped
    code_errors: int = 0  # exceptions of callbacks and pipelines
    first_error: str | None = None  # of these
    waited_seconds: float = 0.0  # for hosts that a crawler held
    error: str | None = None
    hint: str | None = None  # why the run may have found nothing
    is_permanent: bool = False  # the error lies in the source's settings or in the spider's module: no retry helps


REQUEST_JSON: TypeAdapter[RunRequest] = TypeAdapter(RunRequest)
REPORT_JSON: TypeAdapter[RunReport] = TypeAdapter(RunReport)
REPORT_PREFIX = b"report "  # of the last line on the pipe; the lines before it are the results of a test run


class SpiderProcess:
    """The process of one run."""

    def __init__(self, process: Process, seconds: float, *, prints_log: bool) -> None:
        self._process = process
        self._seconds = seconds
        self._prints_log = prints_log
        self._stderr = b""
        self._reader = asyncio.ensure_future(self._read_stderr())

    @classmethod
    async def start(cls, request: RunRequest) -> SpiderProcess:
        """Start a run. It has this process's environment: the user's spider is trusted like the configuration.

        `-P` keeps a folder named "crawler" in the working directory out of the import path; in its own session, Ctrl-C spares it.
        """
        command = (sys.executable, "-P", "-m", "crawler.spider_runs.spider_run")
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, env=os.environ, limit=MAX_LINE_BYTES
        )
        assert process.stdin is not None
        process.stdin.write(REQUEST_JSON.dump_json(request) + b"\n")
        with suppress(ConnectionError):  # it has crashed; `wait` reports it
            await process.stdin.drain()
        return cls(process, request.source.spider_limits.seconds, prints_log=request.log_file is None)

    async def lines(self) -> AsyncGenerator[bytes | RunReport, None]:
        """The results of a test run, then the report; the last item is always a report."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(self._seconds + KILL_AFTER_SECONDS):
                while line := await self._process.stdout.readline():
                    if line.startswith(REPORT_PREFIX):
                        await self._process.wait()
                        yield REPORT_JSON.validate_json(line.removeprefix(REPORT_PREFIX))
                        return
                    yield line
                await self._process.wait()
        except TimeoutError:
            yield RunReport(
                "time", error=f"the run did not end {KILL_AFTER_SECONDS:g} s after its limit of {self._seconds:g} s and was killed"
            )
        except (ValidationError, ValueError) as error:
            yield RunReport("failed", error=f"the run's report cannot be read: {error}"[:300])
        else:
            yield RunReport("crashed", error=await self._describe_crash())
        finally:
            await self.kill()

    async def wait(self) -> RunReport:
        """The report of the run; for a run without one, a report that says how its process ended."""
        report = RunReport("crashed")
        async for line in self.lines():
            if isinstance(line, RunReport):
                report = line
        return report

    def stop(self) -> None:
        """Ask the run to end: it stores its last pages and releases its hosts."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def kill(self) -> None:
        """Kill the run and what it has started, if it has not ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        with suppress(TimeoutError):  # a process that the run has left behind may hold the pipe open
            await asyncio.wait_for(asyncio.shield(self._reader), 1.0)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := await self._process.stderr.read(65536):
            self._stderr = (self._stderr + chunk)[-MAX_STDERR_BYTES:]
            if self._prints_log:
                print(decoder.decode(chunk), end="", file=sys.stderr, flush=True)

    async def _describe_crash(self) -> str:
        code = self._process.returncode or 0
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reader), 1.0)
        lines = self._stderr.decode("utf-8", "replace").strip().splitlines()
        last = f": {lines[-1][:300]}" if lines else ""
        if code == -signal.SIGKILL:
            return f"the run was killed; the machine may be out of memory{last}"
        return f"the run crashed ({f'signal {-code}' if code < 0 else f'exit code {code}'}){last}"


# ---- the worker -----------------------------------------------------------------------------------------------------------------

STOPPED, CRASHED = "stopped", "crashed"
REASONS = frozenset({"finished", "pages", STOPPED})  # of a run whose spider did not close itself


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
            lambda now: state.ledger.lease_urls(self.host, state.owner, limit=1, seconds=state.lease_seconds, now=now)
        )
        if rows:
            await state.read_sources()  # the spider may be new
        return rows

    async def _run_spider(self, leased_url: LeasedUrl) -> bool:
        """Run the source's spider and record the result. False: the crawler stops, and the run has no result."""
        source = self.state.source_of(leased_url)
        if source is None or source.spider is None:
            await self._end(leased_url, OutcomeRecord(Outcome.DENIED, "the source has no spider"))
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
            await self.state.call_ledger(lambda now: ledger.end_dead_leases(is_dead, now=now))

    @property
    def pages_in_progress(self) -> int:
        """Article URLs that are being fetched: a run has none, because it stores its pages itself."""
        return 0

    # ---- results

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
                await self.state.call_ledger(lambda now: self.state.ledger.postpone([row], now=now))

    async def _end(self, leased_url: LeasedUrl, outcome: OutcomeRecord) -> None:
        ended = Ended(leased_url.id, leased_url.fence, outcome)
        await self.state.call_ledger(lambda now: self.state.ledger.end([ended], now=now))

    async def _release(self, rows: list[LeasedUrl], until: datetime | None) -> None:
        state = self.state
        try:
            if rows:
                await state.call_ledger(lambda now: state.ledger.release_urls(rows, now=now))
            await state.call_ledger(lambda now: state.ledger.release_host(self.host, state.owner, now=now, next_fetch_at=until))
        except ServiceError as e:
            log.warning("spider %s was not released: %s; its lease ends in %.0f s", self.host, e, state.lease_seconds)


def describe_run(report: RunReport) -> OutcomeRecord:
    """The outcome of a run, with what it has found and what went wrong. Pure."""
    counts = report.counts
    is_closed = report.error is None and report.reason not in REASONS
    found = counts.pages + counts.links + counts.articles + report.skipped
    left_out = counts.rejected_pages + counts.bad_links
    parts = [
        *_count_pages(counts),
        *([f"{_count(counts.links, 'link')} ({counts.new_links} new)"] if counts.links else []),
        *([f"{left_out} left out"] if left_out else []),
        *([f"{counts.lost} lost"] if counts.lost else []),
        *([f"{_count(counts.ignored, 'item')} without url, title and text"] if counts.ignored else []),
        *([f"{_count(counts.unreadable_dates, 'date')} unreadable"] if counts.unreadable_dates else []),
        *([f"{_count(report.skipped, 'known page')} skipped"] if report.skipped else []),
        *(f"{_count(n, 'request')} refused: {outcome} ({OUTCOMES[Outcome(outcome)][1]})" for outcome, n in report.refused.items()),
        *(f"{_count(n, 'response')} with HTTP {status}" for status, n in sorted(report.bad_statuses.items())),
        *([f"{_count(report.failed, 'request')} failed, first {report.first_failure}"] if report.failed else []),
        *([f"{_count(report.dropped, 'item')} dropped by pipelines"] if report.dropped else []),
        *([f"{_count(report.code_errors, 'error')} in callbacks or pipelines, first {report.first_error}"] if report.code_errors else []),
        *([f"waited {report.waited_seconds:.0f} s for hosts that another process held"] if report.waited_seconds >= 1 else []),
        *(["stopped at spider_limits.pages"] if report.reason == "pages" else []),
        *([f"the spider closed itself: {report.reason}"] if is_closed else []),
    ]
    summary = "; ".join(parts) or f"nothing in {_count(report.requests, 'request')}"
    summary += f"; {report.hint}" if report.hint and not found else ""
    if report.error is not None:
        return OutcomeRecord(Outcome.SPIDER_FAILED, f"{report.error}; {summary}" if found else report.error)
    has_not_started = report.hint is not None and not report.requests
    if (report.code_errors or is_closed or has_not_started or _has_failed_requests(report)) and not found:
        return OutcomeRecord(Outcome.SPIDER_FAILED, summary)
    return OutcomeRecord(Outcome.LISTED if found else Outcome.EMPTY_LISTING, summary)


def _has_failed_requests(report: RunReport) -> bool:
    """Whether a later run may get an answer to a request that failed."""
    has_failed_hosts = any(Outcome(outcome) in TRANSIENT_FAILURES for outcome in report.refused)
    has_bad_statuses = any(status in TRANSIENT_STATUSES or status >= 500 for status in report.bad_statuses)
    return report.failed > 0 or has_failed_hosts or has_bad_statuses


def _count_pages(counts: OutputCounts) -> list[str]:
    """ "3 pages, 2 finished articles (4 new, 1 known)"; nothing is new or known in a test run."""
    kinds = [(counts.pages, "page"), (counts.articles, "finished article")]
    text = ", ".join(_count(n, noun) for n, noun in kinds if n)
    is_stored = counts.queued_pages + counts.known_pages > 0
    return [f"{text} ({counts.queued_pages} new, {counts.known_pages} known)" if is_stored else text] if text else []


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"

"""What a check of a source observes of its pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from newsmill.health.causes import LONGEST_WINDOW, OutcomeWindow, PageFailures
from newsmill.health.proofs import count_read
from newsmill.model import Outcome, OutcomeRecord
from newsmill.storage.check_histories import Snapshot
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.traces import to_trace
from newsmill.storage.listing_observations import find_failure
from newsmill.storage.schema import documents, ledger, sources
from newsmill.storage.source_rows import SOURCE_NAMES, first_of, group_rows, read_rows
from newsmill.storage.statements import IN_FLIGHT, state_is

MAX_FAILING_PAGES = 100  # counted; more are "100 or more"
SNAPSHOT_INTERVAL = timedelta(hours=1)
MAX_SNAPSHOTS = 26  # a day and a bit
WINDOWS = (timedelta(hours=1), timedelta(hours=6), LONGEST_WINDOW)
_NEWEST_AT = select(func.max(documents.c.first_seen_at)).where(documents.c.source == sources.c.name).scalar_subquery()
_LATEST = select(sources.c.name, _NEWEST_AT.label("last")).where(sources.c.name.in_(SOURCE_NAMES)).cte("latest")
_FAILING = (
    select(
        ledger.c.id,
        func.row_number().over(partition_by=ledger.c.source, order_by=ledger.c.failing_since).label("number"),
    )
    .select_from(_LATEST.join(ledger, ledger.c.source == _LATEST.c.name))
    .where(ledger.c.failing_since.is_not(None), ledger.c.kind == "page")
)
_FAILING_PAGES = (
    first_of(_FAILING.where(_LATEST.c.last.is_(None)), MAX_FAILING_PAGES).order_by(ledger.c.failing_since),
    first_of(_FAILING.where(ledger.c.failing_since > _LATEST.c.last), MAX_FAILING_PAGES).order_by(ledger.c.failing_since),
)
_FETCHED = (
    select(ledger.c.source)
    .where(IN_FLIGHT, state_is("fetched", "processing"), ledger.c.source.in_(SOURCE_NAMES), ledger.c.kind == "page")
    .distinct()
)


def read_failing_pages(
    conn: Connection, names: Sequence[str], last: Mapping[str, datetime], totals: Mapping[str, Mapping[Outcome, int]]
) -> dict[str, PageFailures]:
    """The pages that failed since the newest document. A file that is too large says something about itself, not about the source."""
    found = group_rows(to_trace(row) for statement in _FAILING_PAGES for row in read_rows(conn, statement, names))
    failing: dict[str, list[tuple[OutcomeRecord, Trace]]] = {}
    for name, traces in found.items():
        failures = [(failure, trace) for trace in traces if (failure := find_failure(trace)) is not None]
        if name in last:
            failures = [(failure, trace) for failure, trace in failures if failure.outcome is not Outcome.TOO_LARGE]
        if name is not None and failures:
            failing[name] = failures
    unread = [name for name in failing if name not in last and not count_read(totals.get(name, {}))]
    unfetched = set(unread) - {name for (name,) in read_rows(conn, _FETCHED, unread)}
    return {name: _count_failures(failures, is_all=name in unfetched) for name, failures in failing.items()}


def _count_failures(failures: Sequence[tuple[OutcomeRecord, Trace]], *, is_all: bool) -> PageFailures:
    outcome, detail = Counter((failure.outcome, failure.detail) for failure, _ in failures).most_common(1)[0][0]
    chosen = [trace for failure, trace in failures if (failure.outcome, failure.detail) == (outcome, detail)]
    since = min(trace.failing_since for trace in chosen if trace.failing_since is not None)
    tried = max((at for trace in chosen for at in (trace.ended_at, trace.failed_at) if at is not None), default=since)
    return PageFailures(len(failures), OutcomeRecord(outcome, detail), since, tried, chosen[0].url, is_all)


def build_windows(snapshots: Sequence[Snapshot], totals: Mapping[Outcome, int], now: datetime, *, is_new: bool) -> list[OutcomeWindow]:
    """The outcomes since the newest snapshot of each age. A source without a document is judged by all its pages."""
    if is_new:
        return [OutcomeWindow(now, totals, {})] if totals else []
    windows: list[OutcomeWindow] = []
    for age in WINDOWS:
        old = [snapshot for snapshot in snapshots if now - snapshot.at >= age]
        chosen = old[-1] if old else next(iter(snapshots), None)
        if chosen is not None and chosen.at < now and all(window.since != chosen.at for window in windows):
            recent = {outcome: n for outcome, total in totals.items() if (n := total - chosen.totals.get(outcome, 0)) > 0}
            windows.append(OutcomeWindow(chosen.at, recent, chosen.totals))
    return windows


def add_snapshot(snapshots: Sequence[Snapshot], totals: Mapping[Outcome, int], now: datetime) -> Sequence[Snapshot]:
    """Snapshots of the future are of a clock that was wrong."""
    known = [snapshot for snapshot in snapshots if snapshot.at <= now]
    if known and now - known[-1].at < SNAPSHOT_INTERVAL:
        return known
    return [*known, Snapshot(now, totals)][-MAX_SNAPSHOTS:]

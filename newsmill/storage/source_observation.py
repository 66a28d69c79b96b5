"""What is known about a source, for the judgement of its health: its listings, newest pages, outcomes, rhythm, and what was seen before.

The ledger keeps only the last result of a listing and of a page. `source_checks` keeps for each source what it had: which listings had
entries, the outcomes counted every hour, and its rhythm. An observation costs six queries on indexes that read at most some hundred rows,
and once a day those of its documents' times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, and_, bindparam, select

from newsmill.health.assessment import count_read
from newsmill.health.causes import LONGEST_WINDOW, ListingRecord, Observation, OutcomeWindow, PageFailures
from newsmill.health.rhythm import HISTORY, Rhythm, build_rhythm, count_hours
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.storage.counters import FOUND
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.links import RANK_RECENT
from newsmill.storage.ledger.queries import to_trace
from newsmill.storage.ledger.sources import FROM_PLAN
from newsmill.storage.schema import count_totals, documents, ledger, source_checks, sources
from newsmill.storage.statements import IN_FLIGHT, IS_LISTING, Upsert, state_is

MAX_LISTINGS = 200  # of a source; those of its plan have the lowest ids
MAX_FAILING_PAGES = 100  # counted; more are "100 or more"
MAX_RHYTHM_DOCUMENTS = 5_000  # newest ones, about 10 ms
MAX_DAY_DOCUMENTS = 1_000
RHYTHM_INTERVAL, YOUNG_RHYTHM_INTERVAL = timedelta(days=1), timedelta(hours=3)  # between two computations
YOUNG_EVENTS = 100  # active hours; a history with fewer changes within hours
SNAPSHOT_INTERVAL = timedelta(hours=1)
MAX_SNAPSHOTS = 26  # a day and a bit
WINDOWS = (timedelta(hours=1), timedelta(hours=6), LONGEST_WINDOW)
FORGET_AFTER = timedelta(days=7)
UNCERTAIN = frozenset({Outcome.GONE, Outcome.BAD_LISTING, Outcome.ROBOTS_DISALLOWED, Outcome.OFF_SITE, Outcome.DENIED})

_NAME: Any = bindparam("b_name")
_AFTER: Any = bindparam("b_after", type_=documents.c.first_seen_at.type)
_LISTINGS = select(ledger).where(IS_LISTING, ledger.c.source == _NAME).order_by(ledger.c.id).limit(MAX_LISTINGS)
_NEWEST = (
    select(documents.c.first_seen_at, documents.c.site)
    .where(documents.c.source == _NAME)
    .order_by(documents.c.first_seen_at.desc(), documents.c.id.desc())
    .limit(1)
)
_TIMES = (
    select(documents.c.first_seen_at)
    .where(documents.c.source == _NAME, documents.c.first_seen_at > _AFTER)
    .order_by(documents.c.first_seen_at.desc())
    .limit(bindparam("b_limit"))
)
_FAILING_PAGES = (
    select(ledger)
    .where(ledger.c.failing_since.is_not(None), ledger.c.source == _NAME, ledger.c.kind == "page")
    .order_by(ledger.c.failing_since)
    .limit(MAX_FAILING_PAGES)
)
_FETCHED = (
    select(ledger.c.id).where(IN_FLIGHT, state_is("fetched", "processing"), ledger.c.source == _NAME, ledger.c.kind == "page").limit(1)
)
_PAGES_FAILING_AFTER = _FAILING_PAGES.where(ledger.c.failing_since > _AFTER)
_IS_NEW_PAGE = and_(ledger.c.source == _NAME, ledger.c.kind == "page", ledger.c.attempts == 0)
_WAITING = (
    select(ledger.c.id).where(IN_FLIGHT, _IS_NEW_PAGE).limit(1),
    select(ledger.c.id)  # by host: no index finds the due pages of a source
    .where(
        ledger.c.host.in_(select(ledger.c.host).where(IS_LISTING, ledger.c.source == _NAME).correlate(None)),
        state_is("due"),
        ledger.c.rank <= RANK_RECENT,
        _IS_NEW_PAGE,
    )
    .limit(1),
)
_TOTALS = select(count_totals.c.outcome, count_totals.c.n).where(count_totals.c.source == _NAME, count_totals.c.kind == "page")
_CREATED = select(sources.c.created_at).where(sources.c.name == _NAME)
_HISTORIES = select(source_checks).where(source_checks.c.source.in_(bindparam("b_names", expanding=True)))
_WRITE = Upsert(
    source_checks, ("source",), lambda new: {column.name: new[column.name] for column in source_checks.c if column.name != "source"}
)


@dataclass(frozen=True, slots=True)
class ListingHistory:
    """A listing that had entries; `emptied_at`: since when it has none."""

    emptied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The outcomes of all pages of a source at a time."""

    at: datetime
    totals: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class CheckHistory:
    """What earlier checks have seen of a source."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    rhythm_at: datetime | None = None
    listings: Mapping[int, ListingHistory] = field(default_factory=dict)  # by ledger id: those that had entries
    snapshots: Sequence[Snapshot] = ()  # oldest first
    layout_versions: Mapping[str, int] = field(default_factory=dict)  # by site: the profile that later documents are compared with
    layout_at: datetime | None = None
    failed: Mapping[int, datetime | None] = field(default_factory=dict)  # by ledger id: listings; see `_update_failed`


_HISTORY_JSON = TypeAdapter(CheckHistory)


def read_histories(conn: Connection, names: Sequence[str]) -> dict[str, CheckHistory]:
    """What earlier checks have seen, by source; nothing for a source that was never checked."""
    return {row.source: _HISTORY_JSON.validate_python(row.history) for row in conn.execute(_HISTORIES, {"b_names": list(names)})}


def write_histories(conn: Connection, histories: Mapping[str, CheckHistory], now: datetime) -> None:
    """Store what the checks at `now` have seen."""
    rows = [
        {"source": name, "checked_at": now, "history": _HISTORY_JSON.dump_python(histories[name], mode="json")}
        for name in sorted(histories)
    ]
    _WRITE.run(conn, rows)


def observe(conn: Connection, source: Source, history: CheckHistory, now: datetime) -> tuple[Observation, CheckHistory, str | None]:
    """What is known about a source, what to keep of it, and the site of its newest document. The layout is not looked at."""
    name = {"b_name": source.name}
    traces = [to_trace(row) for row in conn.execute(_LISTINGS, name)]
    newest = conn.execute(_NEWEST, name).one_or_none()
    last = None if newest is None else newest.first_seen_at
    totals = {Outcome(row.outcome): int(row.n) for row in conn.execute(_TOTALS, name) if row.outcome != FOUND and row.n > 0}
    listings, failed = _update_listings(traces, history.listings), _update_failed(traces, history.failed)
    history = replace(_update_rhythm(conn, source, history, last, now), listings=listings, failed=failed)
    seen = Observation(
        now,
        [to_record(trace, listings, failed) for trace in traces if is_relevant(trace, listings) and not is_forgotten(trace, now)],
        _read_failing_pages(conn, source, last, totals),
        _build_windows(history.snapshots, totals, now, is_new=last is None),
        None,
        history.rhythm,
        last,
        _count_active_hours(conn, source, last, now),
        source.enabled,
        _has_waiting_pages(conn, source, history.rhythm, last, now),
    )
    return seen, replace(history, snapshots=_add_snapshot(history.snapshots, totals, now)), None if newest is None else newest.site


def _has_waiting_pages(conn: Connection, source: Source, rhythm: Rhythm, last: datetime | None, now: datetime) -> bool:
    """Whether new pages wait; looked up only for a source that may be silent."""
    if last is None or rhythm.silence_probability(last, now) >= rhythm.level:
        return False
    return any(conn.execute(statement, {"b_name": source.name}).first() is not None for statement in _WAITING)


# ---- listings -----------------------------------------------------------------------------------------------------------------


def is_relevant(trace: Trace, history: Mapping[int, ListingHistory]) -> bool:
    """Whether the source needs this listing: not parts and next pages, nor those that the plan no longer names.

    The homepage leads to listings at usual URLs that may not exist, so those of UNCERTAIN outcome do not count until they had entries.
    """
    if trace.outcome is Outcome.DENIED:
        return False
    if trace.found_by == FROM_PLAN:
        return True
    failure = _find_failure(trace)
    return trace.found_by not in ("sitemap", "section") and (failure is None or failure.outcome not in UNCERTAIN or trace.id in history)


def is_forgotten(trace: Trace, now: datetime) -> bool:
    """Whether a listing that discovery found is missing for so long that the site has given it up."""
    is_missing = trace.outcome is Outcome.GONE and trace.failing_since is not None
    return is_missing and trace.found_by != FROM_PLAN and trace.failing_since is not None and now - trace.failing_since >= FORGET_AFTER


def to_record(trace: Trace, history: Mapping[int, ListingHistory], failed: Mapping[int, datetime | None]) -> ListingRecord:
    """The listing as the judgement needs it."""
    known = history.get(trace.id)
    return ListingRecord(
        trace.url,
        trace.kind,
        _find_failure(trace),
        trace.failing_since,
        max(filter(None, (trace.ended_at, trace.failed_at)), default=None),
        trace.first_seen_at,
        known is not None or trace.outcome is Outcome.NOT_MODIFIED,  # of a listing that no check saw before, it is not known
        None if known is None else known.emptied_at,
        trace.id in failed and trace.failing_since is None,
    )


def _find_failure(trace: Trace) -> OutcomeRecord | None:
    """What the URL fails with: its last failed try or its outcome, whichever is later; None if it does not fail."""
    if trace.failing_since is None:
        return None
    is_retried = trace.outcome is None or trace.ended_at is None or (trace.failed_at is not None and trace.failed_at > trace.ended_at)
    if is_retried and trace.failure is not None:
        return OutcomeRecord(trace.failure, trace.failure_detail)
    return None if trace.outcome is None else OutcomeRecord(trace.outcome, trace.detail)


def _update_listings(traces: Iterable[Trace], history: Mapping[int, ListingHistory]) -> dict[int, ListingHistory]:
    """An unchanged or failed listing is as it was before."""
    known = {}
    for trace in traces:
        before = history.get(trace.id)
        if trace.outcome is Outcome.LISTED and trace.failing_since is None:
            known[trace.id] = ListingHistory()
        elif before is not None and trace.outcome is Outcome.EMPTY_LISTING and before.emptied_at is None:
            known[trace.id] = ListingHistory(trace.ended_at)
        elif before is not None:
            known[trace.id] = before
    return known


def _update_failed(traces: Iterable[Trace], known: Mapping[int, datetime | None]) -> dict[int, datetime | None]:
    """The listings that fail, and those that were not read twice since they failed, with the time of the first such read that is known."""
    failed: dict[int, datetime | None] = {}
    for trace in traces:
        if trace.failing_since is not None:
            failed[trace.id] = None
        elif trace.id in known:
            first = known[trace.id]
            is_first = first is None or (trace.failed_at is not None and trace.failed_at > first)
            read_at = trace.ended_at if is_first else first
            if trace.ended_at in (None, read_at):  # no second read so far; one that seems earlier is a clock that was set back
                failed[trace.id] = read_at
    return failed


# ---- pages --------------------------------------------------------------------------------------------------------------------


def _read_failing_pages(conn: Connection, source: Source, last: datetime | None, totals: Mapping[Outcome, int]) -> PageFailures | None:
    """The pages that failed since the newest document. A file that is too large says something about itself, not about the source."""
    statement = _FAILING_PAGES if last is None else _PAGES_FAILING_AFTER
    traces = [to_trace(row) for row in conn.execute(statement, {"b_name": source.name, "b_after": last})]
    failures = [(failure, trace) for trace in traces if (failure := _find_failure(trace)) is not None]
    if last is not None:
        failures = [(failure, trace) for failure, trace in failures if failure.outcome is not Outcome.TOO_LARGE]
    if not failures:
        return None
    outcome, detail = Counter((failure.outcome, failure.detail) for failure, _ in failures).most_common(1)[0][0]
    chosen = [trace for failure, trace in failures if (failure.outcome, failure.detail) == (outcome, detail)]
    since = min(trace.failing_since for trace in chosen if trace.failing_since is not None)
    tried = max((at for trace in chosen for at in (trace.ended_at, trace.failed_at) if at is not None), default=since)
    is_all = last is None and not count_read(totals) and conn.execute(_FETCHED, {"b_name": source.name}).one_or_none() is None
    return PageFailures(len(failures), OutcomeRecord(outcome, detail), since, tried, chosen[0].url, is_all)


def _build_windows(snapshots: Sequence[Snapshot], totals: Mapping[Outcome, int], now: datetime, *, is_new: bool) -> list[OutcomeWindow]:
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


def _add_snapshot(snapshots: Sequence[Snapshot], totals: Mapping[Outcome, int], now: datetime) -> Sequence[Snapshot]:
    """Snapshots of the future are of a clock that was wrong."""
    known = [snapshot for snapshot in snapshots if snapshot.at <= now]
    if known and now - known[-1].at < SNAPSHOT_INTERVAL:
        return known
    return [*known, Snapshot(now, totals)][-MAX_SNAPSHOTS:]


# ---- times --------------------------------------------------------------------------------------------------------------------


def _update_rhythm(conn: Connection, source: Source, history: CheckHistory, last: datetime | None, now: datetime) -> CheckHistory:
    """The history ends with the newest document, so that the present silence does not count as usual."""
    interval = YOUNG_RHYTHM_INTERVAL if history.rhythm.events < YOUNG_EVENTS else RHYTHM_INTERVAL
    if last is None or (history.rhythm_at is not None and timedelta() <= now - history.rhythm_at < interval):
        return history
    created = conn.execute(_CREATED, {"b_name": source.name}).scalar()
    times = conn.execute(_TIMES, {"b_name": source.name, "b_after": last - HISTORY, "b_limit": MAX_RHYTHM_DOCUMENTS}).scalars().all()
    since = max(filter(None, (created, times[-1] if len(times) == MAX_RHYTHM_DOCUMENTS else None)), default=times[-1] if times else last)
    return replace(history, rhythm=build_rhythm(times, since, last), rhythm_at=now)


def _count_active_hours(conn: Connection, source: Source, last: datetime | None, now: datetime) -> int:
    if last is None or now - last >= timedelta(days=1):
        return 0
    values = {"b_name": source.name, "b_after": now - timedelta(days=1), "b_limit": MAX_DAY_DOCUMENTS}
    return len({count_hours(at) for at in conn.execute(_TIMES, values).scalars()})

"""What is known about sources, read for many at once: the number of statements does not grow with that of the sources.

The ledger keeps only the last result of a listing and of a page. `source_checks` keeps for each source what it had: which listings had
entries, the outcomes counted every hour, and its rhythm. The statements read at most some hundred rows of a source from indexes, and once a
day those of its documents' times.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from newsmill.health.assessment import count_read
from newsmill.health.causes import HISTORY, LONGEST_WINDOW, ListingRecord, Observation, OutcomeWindow, PageFailures, Rhythm, build_rhythm
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.model.lazy_adapter import make_adapter
from newsmill.storage.columns import format_hour
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.priority import FROM_PLAN, RANK_RECENT
from newsmill.storage.ledger.traces import to_trace
from newsmill.storage.schema import count_totals, documents, ledger, source_checks, sources
from newsmill.storage.statements import FOUND, IN_FLIGHT, IS_LISTING, AnyRow, Upsert, state_is

MAX_NAMES = 1000  # of sources in one statement; SQLite takes 32,766 values
MAX_LISTINGS = 200  # of a source; those of its plan have the lowest ids
MAX_FAILING_PAGES = 100  # counted; more are "100 or more"
MAX_RHYTHM_DOCUMENTS = 5_000  # newest ones, about 10 ms
MAX_RHYTHM_SOURCES = 100  # in one statement: their times are in memory together
RHYTHM_INTERVAL, YOUNG_RHYTHM_INTERVAL = timedelta(days=1), timedelta(hours=3)  # between two computations
YOUNG_EVENTS = 100  # active hours; a history with fewer changes within hours
SNAPSHOT_INTERVAL = timedelta(hours=1)
MAX_SNAPSHOTS = 26  # a day and a bit
WINDOWS = (timedelta(hours=1), timedelta(hours=6), LONGEST_WINDOW)
FORGET_AFTER = timedelta(days=7)
UNCERTAIN = frozenset({Outcome.GONE, Outcome.BAD_LISTING, Outcome.ROBOTS_DISALLOWED, Outcome.OFF_SITE, Outcome.DENIED})

_NAMES: Any = bindparam("b_names", expanding=True)
_AFTER: Any = bindparam("b_after", type_=documents.c.first_seen_at.type)


def _first_of(selected: Any, most: int) -> Any:
    """The rows of each source with a `number` of at most `most`, as columns of the ledger."""
    ranked = selected.subquery()
    return select(ledger).join(ranked, ranked.c.id == ledger.c.id).where(ranked.c.number <= most)


_LISTINGS = _first_of(
    select(ledger.c.id, func.row_number().over(partition_by=ledger.c.source, order_by=ledger.c.id).label("number")).where(
        IS_LISTING, ledger.c.source.in_(_NAMES)
    ),
    MAX_LISTINGS,
).order_by(ledger.c.id)
_NEWEST_ID = (
    select(documents.c.id)
    .where(documents.c.source == sources.c.name)
    .order_by(documents.c.first_seen_at.desc(), documents.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_NEWEST = select(documents.c.source, documents.c.first_seen_at, documents.c.site).where(
    documents.c.id.in_(select(_NEWEST_ID).where(sources.c.name.in_(_NAMES)))
)
_NEWEST_AT = select(func.max(documents.c.first_seen_at)).where(documents.c.source == sources.c.name).scalar_subquery()
_LATEST = select(sources.c.name, _NEWEST_AT.label("last")).where(sources.c.name.in_(_NAMES)).cte("latest")
_FAILING = (
    select(
        ledger.c.id,
        func.row_number().over(partition_by=ledger.c.source, order_by=ledger.c.failing_since).label("number"),
    )
    .select_from(_LATEST.join(ledger, ledger.c.source == _LATEST.c.name))
    .where(ledger.c.failing_since.is_not(None), ledger.c.kind == "page")
)
_FAILING_PAGES = (
    _first_of(_FAILING.where(_LATEST.c.last.is_(None)), MAX_FAILING_PAGES).order_by(ledger.c.failing_since),
    _first_of(_FAILING.where(ledger.c.failing_since > _LATEST.c.last), MAX_FAILING_PAGES).order_by(ledger.c.failing_since),
)
_FETCHED = (
    select(ledger.c.source)
    .where(IN_FLIGHT, state_is("fetched", "processing"), ledger.c.source.in_(_NAMES), ledger.c.kind == "page")
    .distinct()
)
_IN_PROGRESS = (
    select(ledger.c.source).where(IN_FLIGHT, ledger.c.source.in_(_NAMES), ledger.c.kind == "page", ledger.c.attempts == 0).distinct()
)
_LISTING = ledger.alias("listing")
_IS_DUE = (  # by host: no index finds the due pages of a source
    select(ledger.c.id)
    .where(
        ledger.c.host.in_(select(_LISTING.c.host).where(_LISTING.c.kind != "page", _LISTING.c.source == sources.c.name)),
        state_is("due"),
        ledger.c.rank <= RANK_RECENT,
        ledger.c.source == sources.c.name,
        ledger.c.kind == "page",
        ledger.c.attempts == 0,
    )
    .limit(1)
    .scalar_subquery()
)
_DUE = select(sources.c.name).where(sources.c.name.in_(_NAMES), _IS_DUE.is_not(None))
_TOTALS = select(count_totals.c.source, count_totals.c.outcome, count_totals.c.n).where(
    count_totals.c.source.in_(_NAMES), count_totals.c.kind == "page"
)
_CREATED = select(sources.c.name, sources.c.created_at).where(sources.c.name.in_(_NAMES))
_RANKED_TIMES = (
    select(
        documents.c.source,
        documents.c.first_seen_at,
        func.row_number().over(partition_by=documents.c.source, order_by=documents.c.first_seen_at.desc()).label("number"),
    )
    .where(documents.c.source.in_(_NAMES), documents.c.first_seen_at > _AFTER)
    .subquery()
)
_TIMES = (
    select(_RANKED_TIMES.c.source, _RANKED_TIMES.c.first_seen_at)
    .where(_RANKED_TIMES.c.number <= MAX_RHYTHM_DOCUMENTS)
    .order_by(_RANKED_TIMES.c.source, _RANKED_TIMES.c.number)
)
_HISTORIES = select(source_checks).where(source_checks.c.source.in_(_NAMES))
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


_HISTORY_JSON = make_adapter(CheckHistory)


def read_histories(conn: Connection, names: Sequence[str]) -> dict[str, CheckHistory]:
    """What earlier checks have seen, by source; nothing for a source that was never checked."""
    return {row.source: _HISTORY_JSON.validate_python(row.history) for row in _read(conn, _HISTORIES, names)}


def write_histories(conn: Connection, histories: Mapping[str, CheckHistory], now: datetime) -> None:
    """Store what the checks at `now` have seen."""
    rows = [
        {"source": name, "checked_at": now, "history": _HISTORY_JSON.dump_python(histories[name], mode="json")}
        for name in sorted(histories)
    ]
    _WRITE.run(conn, rows)


@dataclass(frozen=True, slots=True)
class ObservedSource:
    """What is known about a source, without its layout, what to keep of it, and the site of its newest document."""

    seen: Observation
    history: CheckHistory
    site: str | None


def observe(
    conn: Connection, observed: Sequence[Source], histories: Mapping[str, CheckHistory], now: datetime
) -> dict[str, ObservedSource]:
    """What is known about sources, by their names. `histories` are those of `read_histories`."""
    names = [source.name for source in observed]
    listings = _group(to_trace(row) for row in _read(conn, _LISTINGS, names))
    newest = {row.source: row for row in _read(conn, _NEWEST, names)}
    totals: dict[str, dict[Outcome, int]] = defaultdict(dict)
    for row in _read(conn, _TOTALS, names):
        if row.outcome != FOUND and row.n > 0:
            totals[row.source][Outcome(row.outcome)] = int(row.n)
    known = {name: histories.get(name, CheckHistory()) for name in names}
    last = {name: row.first_seen_at for name, row in newest.items()}
    known = _update_rhythms(conn, known, last, now)
    pages = _read_failing_pages(conn, names, last, totals)
    hours = _count_active_hours(conn, [name for name, at in last.items() if now - at < timedelta(days=1)], now)
    waiting = _find_waiting(conn, [name for name, at in last.items() if _may_be_silent(known[name].rhythm, at, now)])
    found = {}
    for source in observed:
        name, history, traces = source.name, known[source.name], listings.get(source.name, [])
        updated, failed = _update_listings(traces, history.listings), _update_failed(traces, history.failed)
        seen = Observation(
            now,
            [to_record(trace, updated, failed) for trace in traces if is_relevant(trace, updated) and not is_forgotten(trace, now)],
            pages.get(name),
            _build_windows(history.snapshots, totals.get(name, {}), now, is_new=name not in last),
            None,
            history.rhythm,
            last.get(name),
            hours.get(name, 0),
            source.enabled,
            name in waiting,
        )
        snapshots = _add_snapshot(history.snapshots, totals.get(name, {}), now)
        history = replace(history, listings=updated, failed=failed, snapshots=snapshots)
        found[name] = ObservedSource(seen, history, newest[name].site if name in newest else None)
    return found


def _read(conn: Connection, statement: Any, names: Sequence[str], **values: Any) -> list[AnyRow]:
    """The rows of some sources."""
    parts = (names[start : start + MAX_NAMES] for start in range(0, len(names), MAX_NAMES))
    return [row for part in parts for row in conn.execute(statement, {"b_names": list(part), **values})]


def _group(traces: Iterable[Trace]) -> dict[str | None, list[Trace]]:
    found: dict[str | None, list[Trace]] = defaultdict(list)
    for trace in traces:
        found[trace.source].append(trace)
    return found


def _may_be_silent(rhythm: Rhythm, last: datetime, now: datetime) -> bool:
    return rhythm.silence_probability(last, now) < rhythm.level


def _find_waiting(conn: Connection, names: Sequence[str]) -> set[str]:
    """The sources with new pages that wait."""
    return {name for statement in (_IN_PROGRESS, _DUE) for (name,) in _read(conn, statement, names)}


# ---- its listings


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


# ---- its pages


def _read_failing_pages(
    conn: Connection, names: Sequence[str], last: Mapping[str, datetime], totals: Mapping[str, Mapping[Outcome, int]]
) -> dict[str, PageFailures]:
    """The pages that failed since the newest document. A file that is too large says something about itself, not about the source."""
    found = _group(to_trace(row) for statement in _FAILING_PAGES for row in _read(conn, statement, names))
    failing: dict[str, list[tuple[OutcomeRecord, Trace]]] = {}
    for name, traces in found.items():
        failures = [(failure, trace) for trace in traces if (failure := _find_failure(trace)) is not None]
        if name in last:
            failures = [(failure, trace) for failure, trace in failures if failure.outcome is not Outcome.TOO_LARGE]
        if name is not None and failures:
            failing[name] = failures
    unread = [name for name in failing if name not in last and not count_read(totals.get(name, {}))]
    unfetched = set(unread) - {name for (name,) in _read(conn, _FETCHED, unread)}
    return {name: _count_failures(failures, is_all=name in unfetched) for name, failures in failing.items()}


def _count_failures(failures: Sequence[tuple[OutcomeRecord, Trace]], *, is_all: bool) -> PageFailures:
    outcome, detail = Counter((failure.outcome, failure.detail) for failure, _ in failures).most_common(1)[0][0]
    chosen = [trace for failure, trace in failures if (failure.outcome, failure.detail) == (outcome, detail)]
    since = min(trace.failing_since for trace in chosen if trace.failing_since is not None)
    tried = max((at for trace in chosen for at in (trace.ended_at, trace.failed_at) if at is not None), default=since)
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


# ---- its times


def _update_rhythms(
    conn: Connection, known: Mapping[str, CheckHistory], last: Mapping[str, datetime], now: datetime
) -> dict[str, CheckHistory]:
    """A history ends with the newest document, so that the present silence does not count as usual."""
    # In the order of the newest documents: a statement reads back from the oldest of its sources.
    old = sorted((name for name in last if _is_rhythm_old(known[name], now)), key=lambda name: last[name])
    created = dict(tuple(row) for row in _read(conn, _CREATED, old))
    updated = dict(known)
    for start in range(0, len(old), MAX_RHYTHM_SOURCES):
        part = old[start : start + MAX_RHYTHM_SOURCES]
        times: dict[str, list[datetime]] = defaultdict(list)
        for name, at in _read(conn, _TIMES, part, b_after=last[part[0]] - HISTORY):
            if at > last[name] - HISTORY:
                times[name].append(at)
        for name in part:
            rhythm = build_rhythm(times[name], _find_start(created.get(name), times[name], last[name]), last[name])
            updated[name] = replace(known[name], rhythm=rhythm, rhythm_at=now)
    return updated


def _is_rhythm_old(history: CheckHistory, now: datetime) -> bool:
    interval = YOUNG_RHYTHM_INTERVAL if history.rhythm.events < YOUNG_EVENTS else RHYTHM_INTERVAL
    return history.rhythm_at is None or not timedelta() <= now - history.rhythm_at < interval


def _find_start(created: datetime | None, times: Sequence[datetime], last: datetime) -> datetime:
    """When the history begins whose times, newest first, are known."""
    oldest = times[-1] if len(times) == MAX_RHYTHM_DOCUMENTS else None
    return max(filter(None, (created, oldest)), default=times[-1] if times else last)


def _count_active_hours(conn: Connection, names: Sequence[str], now: datetime) -> dict[str, int]:
    """The hours of the last day with a document."""
    hour = format_hour(documents.c.first_seen_at, conn.dialect.name)
    counted = (
        select(documents.c.source, func.count(hour.distinct()))
        .where(documents.c.source.in_(_NAMES), documents.c.first_seen_at > _AFTER)
        .group_by(documents.c.source)
    )
    return {name: int(n) for name, n in _read(conn, counted, names, b_after=now - timedelta(days=1))}

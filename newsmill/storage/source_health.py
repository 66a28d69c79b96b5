"""The health of sources: what is known about one, its state as people and programs see it, and the alarms that checks begin and end.

The scheduler checks sources (workers/scheduler.py). A reader judges again what it sees, so that a source is shown correctly before the
first check, and where no scheduler runs.

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
from sqlalchemy import Connection, Engine, and_, bindparam, or_, select

from newsmill.health.assessment import count_read, decide_state, judge, weigh
from newsmill.health.causes import (
    HISTORY,
    LONGEST_WINDOW,
    Finding,
    HealthState,
    ListingRecord,
    Observation,
    OutcomeWindow,
    PageFailures,
    Rhythm,
    build_rhythm,
    count_hours,
)
from newsmill.model import Kind, Outcome, OutcomeRecord, Source
from newsmill.storage.alarms import OPEN_ALARMS, SourceAlarm, begin_alarms, end_alarms, read_open, to_alarm
from newsmill.storage.columns import load_source
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.priority import FROM_PLAN, RANK_RECENT
from newsmill.storage.ledger.queries import to_trace
from newsmill.storage.schema import count_totals, documents, ledger, source_alarms, source_checks, sources
from newsmill.storage.statements import FOUND, IN_FLIGHT, IS_LISTING, Upsert, state_is

# ---- what is known about a source

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


# ---- its times


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


# ---- its state

MAX_PROBLEM_SOURCES = 50  # in one list
MIN_CHECK_INTERVAL = timedelta(minutes=5)  # between two checks of one source
OFFLINE_SLACK = timedelta(hours=1)  # between the first failures of two sources when the network of the crawler fails
MAX_HISTORY = 20  # alarms of one source that are listed

_PROBLEM_NAMES = (
    select(source_alarms.c.source)
    .where(source_alarms.c.until.is_(None), source_alarms.c.source != "")
    .distinct()
    .order_by(source_alarms.c.source)
    .limit(MAX_PROBLEM_SOURCES)
)


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """The state of a source, the open or proven causes of it (the heaviest first), and what fails now, proven or not.

    `failure` is what most of the failing URLs fail with, `since` when the first of them began to fail, and `url` is one of them. They are
    None where nothing fails. Pages that fail count once they are a cause, or while no page of the source was fetched at all.
    """

    state: HealthState
    causes: tuple[Finding, ...] = ()
    failure: OutcomeRecord | None = None
    since: datetime | None = None
    url: str | None = None
    kind: Kind | None = None
    failing: int = 0  # URLs that fail
    of: int = 0  # listings that were read; 0 for pages
    seen: Observation | None = None  # the evidence for all of this

    @property
    def cause(self) -> Finding | None:
        """The heaviest cause."""
        return next(iter(self.causes), None)

    @property
    def is_problem(self) -> bool:
        """Whether an administrator should look at the source."""
        return bool(self.causes)


class SourceHealthReader:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, source: Source, *, now: datetime) -> SourceHealth:
        """The health of one source."""
        return self.read_all([source], now=now)[source.name]

    def read_all(self, sources: Sequence[Source], *, now: datetime) -> dict[str, SourceHealth]:
        """The health of sources by their names."""
        names = [source.name for source in sources]
        with reading(self._engine) as conn:
            histories, alarms = read_histories(conn, names), read_open(conn, names)
            return {
                source.name: _read_health(conn, source, histories.get(source.name), alarms.get(source.name, []), now) for source in sources
            }

    def list_problem_names(self) -> list[str]:
        """The names of up to MAX_PROBLEM_SOURCES sources with an open alarm, in order."""
        with reading(self._engine) as conn:
            return list(conn.execute(_PROBLEM_NAMES).scalars())


def _read_health(
    conn: Connection, source: Source, history: CheckHistory | None, alarms: Sequence[SourceAlarm], now: datetime
) -> SourceHealth:
    seen, _, _ = observe(conn, source, history or CheckHistory(), now)
    return describe_observation(seen, [alarm.finding for alarm in alarms])


def describe_observation(seen: Observation, open_causes: Sequence[Finding]) -> SourceHealth:
    """The health of a source with these open causes. Pure."""
    if not seen.is_enabled:
        return SourceHealth(HealthState.PAUSED, seen=seen)
    over, begun = judge(open_causes, seen)
    causes = sorted([*(one for one in open_causes if one not in over), *begun], key=lambda one: weigh(one)[0])
    state = decide_state(causes, seen)
    read = [listing for listing in seen.listings if listing.tried_at is not None or listing.failing_since is not None]
    failing = [listing for listing in read if listing.failure is not None]
    pages = seen.pages
    is_without_pages = pages is not None and pages.is_all and not causes
    if failing and not is_without_pages:
        failure, listing = _find_common(failing)
        since = min(one.failing_since for one in failing if one.failure == failure and one.failing_since is not None)
        return SourceHealth(state, tuple(causes), failure, since, listing.url, listing.kind, len(failing), len(read), seen)
    if pages is not None and (is_without_pages or any(one.evidence.is_pages for one in causes)):
        return SourceHealth(state, tuple(causes), pages.failure, pages.since, pages.url, Kind.PAGE, pages.count, 0, seen)
    return SourceHealth(state, tuple(causes), seen=seen)


def _find_common(failing: Sequence[ListingRecord]) -> tuple[OutcomeRecord, ListingRecord]:
    """What most of the listings fail with, and one of them."""
    failures = [(listing.failure, listing) for listing in failing if listing.failure is not None]
    common = Counter(failure for failure, _ in failures).most_common(1)[0][0]
    return next((failure, listing) for failure, listing in failures if failure == common)


# ---- checks and their alarms

_PAST_ALARMS = (
    select(source_alarms)
    .where(source_alarms.c.source == _NAME)
    .order_by(source_alarms.c.begun_at.desc(), source_alarms.c.id.desc())
    .limit(bindparam("b_limit"))
)
_NOW: Any = bindparam("b_now", type_=source_checks.c.checked_at.type)
_DUE: Any = bindparam("b_due", type_=source_checks.c.checked_at.type)
_TO_CHECK = (
    select(sources)
    .select_from(sources.outerjoin(source_checks, source_checks.c.source == sources.c.name))
    .where(or_(source_checks.c.checked_at.is_(None), source_checks.c.checked_at <= _DUE, source_checks.c.checked_at > _NOW))
    .order_by(source_checks.c.checked_at.nulls_first(), sources.c.name)
    .limit(bindparam("b_limit"))
)
_SINCE: Any = bindparam("b_since", type_=ledger.c.ended_at.type)
_IS_OTHER = and_(ledger.c.source.is_not(None), ledger.c.source != _NAME)
_OTHER_SUCCESS = select(ledger.c.id).where(IS_LISTING, _IS_OTHER, ledger.c.failing_since.is_(None), ledger.c.ended_at > _SINCE).limit(1)
_OTHER_FAILURE = select(ledger.c.id).where(ledger.c.failing_since.is_not(None), ledger.c.failing_since > _SINCE, _IS_OTHER).limit(1)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of a source changes: the alarms that end, the causes that begin, and what to keep of it."""

    source: str
    over: Sequence[SourceAlarm]
    begun: Sequence[Finding]
    history: CheckHistory
    is_paused: bool = False  # then alarms end, but nothing works again


class SourceAlarms:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_open(self) -> list[SourceAlarm]:
        """All open alarms, oldest first."""
        with reading(self._engine) as conn:
            return [to_alarm(row) for row in conn.execute(OPEN_ALARMS)]

    def list_history(self, source: str) -> list[SourceAlarm]:
        """The newest MAX_HISTORY alarms of a source, newest first."""
        with reading(self._engine) as conn:
            return [to_alarm(row) for row in conn.execute(_PAST_ALARMS, {"b_name": source, "b_limit": MAX_HISTORY})]

    def list_to_check(self, limit: int, *, now: datetime) -> list[Source]:
        """Sources that were not checked for MIN_CHECK_INTERVAL, those first whose last check is longest ago."""
        with reading(self._engine) as conn:
            values = {"b_limit": limit, "b_now": now, "b_due": now - MIN_CHECK_INTERVAL}
            return [load_source(row.plan, row.enabled) for row in conn.execute(_TO_CHECK, values)]

    def is_offline(self, name: str, since: datetime) -> bool:
        """Whether the network of the crawler, not the host of this source, explains that it cannot be reached since that time.

        Another source began to fail about then, and no listing of another source was read afterwards.
        """
        with reading(self._engine) as conn:
            if conn.execute(_OTHER_SUCCESS, {"b_name": name, "b_since": since}).first() is not None:
                return False
            return conn.execute(_OTHER_FAILURE, {"b_name": name, "b_since": since - OFFLINE_SLACK}).first() is not None

    def record(self, results: Sequence[CheckResult], *, now: datetime) -> None:
        """Record the results of checks in one commit."""
        with writing(self._engine) as conn:
            for is_paused in (False, True):
                over = [alarm for result in results if result.is_paused is is_paused for alarm in result.over]
                end_alarms(conn, over, now, has_message=not is_paused)
            begin_alarms(conn, [(result.source, finding) for result in results for finding in result.begun], now)
            write_histories(conn, {result.source: result.history for result in results}, now)

    def begin(self, source: str, finding: Finding, *, now: datetime) -> None:
        """Begin an alarm, unless one of its cause is open."""
        with writing(self._engine) as conn:
            begin_alarms(conn, [(source, finding)], now)

    def end(self, alarm: SourceAlarm, *, now: datetime, has_message: bool = True) -> None:
        """End an alarm. Without `has_message` nobody is notified."""
        with writing(self._engine) as conn:
            end_alarms(conn, [alarm], now, has_message=has_message)

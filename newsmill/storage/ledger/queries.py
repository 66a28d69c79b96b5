"""Read-only queries: one URL, progress, outcomes, and the counters added up by day, source, kind or outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, and_, bindparam, case, func, not_, select

from newsmill.exceptions import UrlError
from newsmill.model import OUTCOMES, Kind, Outcome, OutcomeRecord, Rendering, State
from newsmill.storage.ledger.links import make_bad_key
from newsmill.storage.ledger.revisits import NOT_A_REVISIT
from newsmill.storage.schema import count_totals, counts, hosts, ledger
from newsmill.storage.statements import FOUND, IN_FLIGHT, IS_LISTING, LIMIT, AnyRow, state_is
from newsmill.storage.url_parameters import drop_useless_from
from newsmill.text import urls

By = Literal["day", "source", "kind", "outcome"]


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A sum of counters. Fields that were not grouped by are None; so is the source of URLs without one."""

    n: int
    day: date | None = None
    source: str | None = None
    kind: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything the ledger knows about one URL."""

    id: int
    url: str
    key: str
    kind: Kind
    host: str
    source: str | None
    found_by: str
    found_on: str | None
    state: State
    outcome: Outcome | None
    detail: str | None
    stage: str | None  # of a quarantined page: where it crashed; of a waiting page: "first attempt" or "reextract"
    attempts: int
    claims: int
    crashes: int
    first_seen_at: datetime
    next_at: datetime
    fetched_at: datetime | None
    ended_at: datetime | None
    final_url: str | None
    status: int | None
    segment: str | None
    offset: int | None
    document_id: str | None
    rendering: Rendering | None = None
    parts: tuple[str, ...] = ()  # the URLs of the further pages of its article in the archive
    failing_since: datetime | None = None  # the first failed try since the last success
    failure: Outcome | None = None  # the last failed try that has left outcome and detail
    failure_detail: str | None = None
    failed_at: datetime | None = None
    revisit_at: datetime | None = None  # when a stored article is fetched again

    @property
    def last_failure(self) -> OutcomeRecord | None:
        """The last failed try; None if there was none, or if it is the outcome."""
        if self.failure is None or self.failed_at is None or (self.outcome is not None and self.ended_at == self.failed_at):
            return None
        return OutcomeRecord(self.failure, self.failure_detail)


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """URLs of one kind with one outcome on one day (UTC). A page counts once, with its last outcome; a listing at every read."""

    day: date
    source: str | None
    kind: Kind
    outcome: Outcome
    n: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the work, from counters and the small indexes of work in progress: cheap enough to read every second."""

    pages: int  # rows of pages, in any state
    states: Mapping[State, int] = field(default_factory=dict)  # of pages: due, fetching, fetched, processing and the four ends
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of pages
    listings: Mapping[State, int] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        """URLs of pages and listings without an outcome. 0: no work is left until the next tick."""
        open_states = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING)
        return sum(self.states.get(state, 0) + self.listings.get(state, 0) for state in open_states)


@dataclass(frozen=True, slots=True)
class Waiting:
    """URLs without an outcome, by the time of their next step. Revisits of stored articles are not among them."""

    soon: int  # in progress, or due by the given time
    later: int  # due later: a retry, or a host that must not be fetched from yet
    next_at: datetime | None  # when the first of the later ones is due


def sum_counters(
    conn: Connection, by: Sequence[By], since: date | None, until: date | None, source: str | None, limit: int, offset: int = 0
) -> list[CounterRow]:
    """The totals that are not 0, newest day first. `until` is included."""
    columns = [counts.c[name] for name in dict.fromkeys(by)]
    total = func.sum(counts.c.n)
    statement = select(total.label("n"), *columns).where(counts.c.outcome != FOUND).group_by(*columns).having(total != 0)
    if since is not None:
        statement = statement.where(counts.c.day >= since)
    if until is not None:
        statement = statement.where(counts.c.day <= until)
    if source is not None:
        statement = statement.where(counts.c.source == source)
    order = [column.desc() if column.name == "day" else column for column in sorted(columns, key=lambda column: column.name != "day")]
    rows = conn.execute(statement.order_by(*order).limit(limit).offset(offset)).mappings()
    return [CounterRow(**{**row, "n": int(row["n"]), "source": row.get("source") or None}) for row in rows]


_SOURCE: Any = bindparam("b_source", type_=ledger.c.source.type)
_SOURCES: Any = bindparam("b_sources", expanding=True)
_AFTER: Any = bindparam("b_after")
_PAGE_TOTALS = (
    select(count_totals.c.outcome, func.sum(count_totals.c.n)).where(count_totals.c.kind == "page").group_by(count_totals.c.outcome)
)
_IN_FLIGHT = (  # a page under a revisit counts with its outcome
    select(ledger.c.state, func.count()).where(IN_FLIGHT, ledger.c.kind == "page", ledger.c.outcome.is_(None)).group_by(ledger.c.state)
)
_LISTINGS = select(ledger.c.state, func.count()).where(IS_LISTING).group_by(ledger.c.state)
_BY_SOURCE = (
    _LISTINGS.add_columns(ledger.c.source).group_by(ledger.c.source),
    _PAGE_TOTALS.add_columns(count_totals.c.source).group_by(count_totals.c.source),
    _IN_FLIGHT.add_columns(ledger.c.source).group_by(ledger.c.source),
)
# A due row waits for the later of its own time and that of its host (Retry-After, backoff).
_DUE_AT = case((hosts.c.next_fetch_at > ledger.c.next_at, hosts.c.next_fetch_at), else_=ledger.c.next_at)
_UNTIL = bindparam("b_until", type_=ledger.c.next_at.type)
_DUE = (
    select(
        func.count().filter(_DUE_AT <= _UNTIL).label("soon"),
        func.count().filter(_DUE_AT > _UNTIL).label("later"),
        func.min(_DUE_AT).filter(_DUE_AT > _UNTIL).label("next_at"),
    )
    .select_from(ledger.outerjoin(hosts, hosts.c.host == ledger.c.host))
    .where(state_is("due"), NOT_A_REVISIT)
)
_CRASHED = and_(state_is("fetched"), ledger.c.next_at > _UNTIL)  # a page that crashed a worker waits for its next try
_IN_PROGRESS = select(
    func.count().filter(not_(_CRASHED)).label("soon"),
    func.count().filter(_CRASHED).label("later"),
    func.min(ledger.c.next_at).filter(_CRASHED).label("next_at"),
).where(IN_FLIGHT, NOT_A_REVISIT)
_FETCHING = select(func.count().label("n")).where(IN_FLIGHT, state_is("fetching"), NOT_A_REVISIT)
_OUTCOMES = (
    select(counts).where(counts.c.outcome != FOUND, counts.c.n != 0).order_by(counts.c.day.desc(), counts.c.source, counts.c.outcome)
)
_PAGE = select(ledger).where(ledger.c.id > _AFTER).order_by(ledger.c.id).limit(LIMIT)
_OF_LISTINGS = select(ledger).where(IS_LISTING, ledger.c.source == _SOURCE).order_by(ledger.c.id)
_TRACE = select(ledger).where(ledger.c.url_key == bindparam("b_key"))
_TRACE_LISTING = select(ledger).where(IS_LISTING, ledger.c.url == bindparam("b_url")).limit(1)


def key_of(url: str) -> str:
    """The key of a URL in any spelling, also of an invalid one, and of a spider's runs."""
    if url.startswith(urls.SPIDER_SCHEME):
        return urls.make_spider_key(url)
    try:
        return urls.make_key(url)
    except UrlError:
        return make_bad_key(url)


def trace(conn: Connection, url: str) -> Trace | None:
    row = conn.execute(_TRACE, {"b_key": key_of(url)}).one_or_none()
    if row is None:  # listings may have shown it, and its row is that of the URL without what only makes copies
        row = conn.execute(_TRACE, {"b_key": key_of(drop_useless_from(conn, url))}).one_or_none()
    if row is None:  # a listing whose URL is new at each read is not known by it
        row = conn.execute(_TRACE_LISTING, {"b_url": url}).first()
    if row is None:
        if not url.startswith(urls.SPIDER_SCHEME):
            urls.make_key(url)  # raises UrlError for an invalid URL, which is not merely unknown
        return None
    return to_trace(row)


def to_trace(row: AnyRow) -> Trace:
    return Trace(
        id=row.id,
        url=row.url,
        key=row.url_key,
        kind=Kind(row.kind),
        host=row.host,
        source=row.source,
        found_by=row.found_by,
        found_on=row.found_on,
        state=State(row.state),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        detail=row.detail,
        stage=row.stage,
        attempts=row.attempts,
        claims=row.claims,
        crashes=row.crashes,
        rendering=None if row.rendering is None else Rendering(row.rendering),
        parts=tuple(row.parts or ()),
        first_seen_at=row.first_seen_at,
        next_at=row.next_at,
        fetched_at=row.fetched_at,
        ended_at=row.ended_at,
        final_url=row.final_url,
        status=row.status,
        segment=row.segment,
        offset=row.offset,
        document_id=row.document_id,
        failing_since=row.failing_since,
        failure=None if row.failure is None else Outcome(row.failure),
        failure_detail=row.failure_detail,
        failed_at=row.failed_at,
        revisit_at=row.revisit_at,
    )


def progress(conn: Connection, sources: Collection[str] | None) -> Progress:
    """Of these sources together; None: of all."""
    # Listings first: a listing adds its pages before it ends, so the counts read after it include them, and `pending` is never 0 too early.
    listings = _execute(conn, _LISTINGS, ledger.c.source, sources)
    totals = _execute(conn, _PAGE_TOTALS, count_totals.c.source, sources)
    return _to_progress(listings, totals, _execute(conn, _IN_FLIGHT, ledger.c.source, sources))


def progress_by_source(conn: Connection) -> dict[str, Progress]:
    """Of each source with a row, in three statements that each read an index once."""
    found: dict[str, tuple[list[Any], ...]] = defaultdict(lambda: ([], [], []))
    for number, statement in enumerate(_BY_SOURCE):
        for *row, name in conn.execute(statement):
            found[name or ""][number].append(row)
    return {name: _to_progress(*rows) for name, rows in found.items() if name}


def _to_progress(listings: Iterable[Any], totals: Iterable[Any], in_flight: Iterable[Any]) -> Progress:
    """From rows of (state, number), (outcome, number) and (state, number)."""
    totals_by_outcome = {outcome: int(n) for outcome, n in totals if n}
    found = totals_by_outcome.pop(FOUND, 0)
    outcomes = {Outcome(outcome): n for outcome, n in totals_by_outcome.items()}
    states = _by_state(in_flight)
    due = found - sum(outcomes.values()) - sum(states.values())
    return Progress(
        pages=found, states=_ended(outcomes) | states | {State.DUE: max(0, due)}, outcomes=outcomes, listings=_by_state(listings)
    )


def _execute(conn: Connection, statement: Any, source: Any, sources: Collection[str] | None, **values: Any) -> Sequence[AnyRow]:
    """The rows of a statement for these sources, or for all."""
    if sources is None:
        return conn.execute(statement, values).all()
    return conn.execute(statement.where(source.in_(_SOURCES)), {"b_sources": list(sources), **values}).all()


def _by_state(rows: Any) -> dict[State, int]:
    return {State(state): int(n) for state, n in rows}


def _ended(outcomes: Mapping[Outcome, int]) -> dict[State, int]:
    states: dict[State, int] = {}
    for outcome, n in outcomes.items():
        state = OUTCOMES[outcome].state
        states[state] = states.get(state, 0) + n
    return states


def waiting(conn: Connection, sources: Collection[str] | None, until: datetime) -> Waiting:
    parts = [row for statement in (_DUE, _IN_PROGRESS) for row in _execute(conn, statement, ledger.c.source, sources, b_until=until)]
    times = [part.next_at for part in parts if part.next_at is not None]
    return Waiting(sum(part.soon for part in parts), sum(part.later for part in parts), min(times, default=None))


def is_fetch_due(conn: Connection, source: str | None, until: datetime) -> bool:
    of = None if source is None else [source]
    soon: int = _execute(conn, _DUE, ledger.c.source, of, b_until=until)[0].soon
    fetching: int = _execute(conn, _FETCHING, ledger.c.source, of)[0].n
    return soon > 0 or fetching > 0


def outcomes(conn: Connection, since: date | None, source: str | None) -> list[OutcomeCount]:
    statement = _OUTCOMES if since is None else _OUTCOMES.where(counts.c.day >= since)
    if source is not None:
        statement = statement.where(counts.c.source == source)
    return [OutcomeCount(row.day, row.source or None, Kind(row.kind), Outcome(row.outcome), row.n) for row in conn.execute(statement)]


def traces(conn: Connection, outcome: Outcome | None, source: str | None, limit: int, after: int) -> list[Trace]:
    statement = _PAGE
    if outcome is not None:
        statement = statement.where(ledger.c.outcome == outcome.value)
    if source is not None:
        statement = statement.where(ledger.c.source == source)
    return [to_trace(row) for row in conn.execute(statement, {"b_limit": limit, "b_after": after})]


def listings(conn: Connection, source: str, limit: int) -> list[Trace]:
    return [to_trace(row) for row in conn.execute(_OF_LISTINGS.limit(limit), {"b_source": source})]


def quarantined(conn: Connection, limit: int, after: int) -> list[Trace]:
    quarantine_outcomes = [outcome.value for outcome, facts in OUTCOMES.items() if facts.state is State.QUARANTINED]
    statement = _PAGE.where(ledger.c.outcome.in_(quarantine_outcomes), ledger.c.state == "quarantined")
    return [to_trace(row) for row in conn.execute(statement, {"b_limit": limit, "b_after": after})]

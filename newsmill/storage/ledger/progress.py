"""How far the work is: the numbers of URLs by state, of sources or of everything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, case, func, not_, select

from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.counter_updates import FOUND
from newsmill.storage.database import reading
from newsmill.storage.ledger.revisits import NOT_A_REVISIT
from newsmill.storage.schema import count_totals, hosts, ledger
from newsmill.storage.statements import IN_FLIGHT, IS_LISTING, AnyRow, state_is

OPEN_STATES = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING)


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the work, from counters and the small indexes of work in progress: cheap enough to read every second."""

    pages: int  # rows of pages, in any state
    states: Mapping[State, int] = field(default_factory=dict)  # of pages: due, fetching, fetched, processing and the four ends
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of pages
    listings: Mapping[State, int] = field(default_factory=dict)

    @property
    def pending_pages(self) -> int:
        """Pages without an outcome."""
        return sum(self.states.get(state, 0) for state in OPEN_STATES)

    @property
    def pending_listings(self) -> int:
        """Listings that are due or being read."""
        return sum(self.listings.get(state, 0) for state in OPEN_STATES)

    @property
    def pending(self) -> int:
        """URLs of pages and listings without an outcome. 0: no work is left until the next tick."""
        return self.pending_pages + self.pending_listings


@dataclass(frozen=True, slots=True)
class Waiting:
    """URLs without an outcome, by the time of their next step. Revisits of stored articles are not among them."""

    soon: int  # in progress, or due by the given time
    later: int  # due later: a retry, or a host that must not be fetched from yet
    next_at: datetime | None  # when the first of the later ones is due


_SOURCES: Any = bindparam("b_sources", expanding=True)
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


def _execute(conn: Connection, statement: Any, source: Any, sources: Collection[str], **values: Any) -> Sequence[AnyRow]:
    """The rows of a statement for these sources; without any, for all."""
    if not sources:
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


class ProgressCounts:
    """The numbers of URLs by state. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self, *sources: str) -> Progress:
        """Of these sources together, or of everything. It reads the work in progress of all sources, so ask once for several."""
        with reading(self._engine) as conn:
            # Listings first: a listing adds its pages before it ends, so the counts read after it include them,
            # and `pending` is never 0 too early.
            listings = _execute(conn, _LISTINGS, ledger.c.source, sources)
            totals = _execute(conn, _PAGE_TOTALS, count_totals.c.source, sources)
            return _to_progress(listings, totals, _execute(conn, _IN_FLIGHT, ledger.c.source, sources))

    def count_by_source(self) -> dict[str, Progress]:
        """Of each source that has URLs, in three statements that each read an index once. As costly as `count` of one."""
        with reading(self._engine) as conn:
            found: dict[str, tuple[list[Any], ...]] = defaultdict(lambda: ([], [], []))
            for number, statement in enumerate(_BY_SOURCE):
                for *row, name in conn.execute(statement):
                    found[name or ""][number].append(row)
            return {name: _to_progress(*rows) for name, rows in found.items() if name}

    def count_waiting(self, *sources: str, until: datetime) -> Waiting:
        """Pending URLs, of these sources together or of all, by whether they are due by `until`.

        Counts row by row: call it only when no work is in progress.
        """
        with reading(self._engine) as conn:
            parts = [
                row for statement in (_DUE, _IN_PROGRESS) for row in _execute(conn, statement, ledger.c.source, sources, b_until=until)
            ]
            times = [part.next_at for part in parts if part.next_at is not None]
            return Waiting(sum(part.soon for part in parts), sum(part.later for part in parts), min(times, default=None))

    def is_fetch_due(self, source: str | None = None, *, until: datetime) -> bool:
        """Whether a crawler has work by `until`: a URL that is due by then, or is being fetched. As costly as `waiting`."""
        with reading(self._engine) as conn:
            of = () if source is None else (source,)
            soon: int = _execute(conn, _DUE, ledger.c.source, of, b_until=until)[0].soon
            fetching: int = _execute(conn, _FETCHING, ledger.c.source, of)[0].n
            return soon > 0 or fetching > 0

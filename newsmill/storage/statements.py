"""Parts of the SQL statements of several modules: conditions, INSERT … ON CONFLICT, which SQLAlchemy spells differently for each database,
and the updates of counters.

Statements are module constants: building one per call costs ten times the CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Table,
    TextClause,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from newsmill.model import OUTCOMES, Kind, Outcome, State
from newsmill.storage.schema import counts, ledger

AnyRow = Row[*tuple[Any, ...]]

NOW = bindparam("b_now", type_=ledger.c.next_at.type)
LATEST = bindparam("b_latest", type_=ledger.c.next_at.type)  # later than any wait: a clock was wrong
UNTIL = bindparam("b_until", type_=ledger.c.lease_until.type)
OWNER: BindParameter[Any] = bindparam("b_owner")
LIMIT: BindParameter[Any] = bindparam("b_limit")

FREE: dict[str, Any] = {"owner": None, "lease_until": None, "stage_in_progress": None}  # ends the lease


def state_is(*states: str) -> ColumnElement[bool]:
    """`state = 'due'` as a literal, which SQLite needs to use a partial index (0.8 ms instead of 17 ms at a million rows)."""
    literals: list[ColumnElement[Any]] = [literal_column(f"'{state}'") for state in states]
    return ledger.c.state == literals[0] if len(literals) == 1 else ledger.c.state.in_(literals)


IS_LISTING = ledger.c.kind != literal_column("'page'")  # the condition of ix_ledger_listings

# The conditions of two partial indexes. SQLite uses one only if the statement has its condition word for word, so statements name it beside
# a narrower condition (`tests/storage/test_plans.py` checks the plans).
IN_FLIGHT = state_is("fetching", "fetched", "processing")  # ix_ledger_leased
IN_SEGMENT = state_is("fetched", "processing")  # ix_ledger_segment


def fenced(*states: str) -> ColumnElement[bool]:
    """The row `b_id` in one of these states, if its fence is still `b_fence`."""
    return and_(ledger.c.id == bindparam("b_id"), ledger.c.fence == bindparam("b_fence"), state_is(*states))


# ---- failures of a row, by which a failing source is shown as failing
#
# `failing_since` is set by the first failed try and unset by a success. A retry removes outcome and detail; `failure`, `failure_detail` and
# `failed_at` keep them for the trace of the URL.

_FAILED_AT: Any = bindparam("b_failed_at", type_=ledger.c.failing_since.type)  # None: the try succeeded
_HAS_FAILED = state_is("dropped", "failed", "quarantined")

# Values of an UPDATE that ends a row: `b_failed_at` is the time of a failure, or None.
SET_FAILING: dict[str, Any] = {
    "failing_since": case((_FAILED_AT.is_not(None), func.coalesce(ledger.c.failing_since, _FAILED_AT)), else_=None)
}
# Values of an UPDATE that postpones a row after a failed try: `b_failure` and `b_failure_detail` tell which.
RECORD_FAILURE: dict[str, Any] = {
    "failing_since": func.coalesce(ledger.c.failing_since, _FAILED_AT),
    "failure": bindparam("b_failure"),
    "failure_detail": bindparam("b_failure_detail"),
    "failed_at": _FAILED_AT,
}
# Values of an UPDATE that removes the outcome of a row.
KEEP_FAILURE: dict[str, Any] = {
    "failure": case((_HAS_FAILED, ledger.c.outcome), else_=ledger.c.failure),
    "failure_detail": case((_HAS_FAILED, ledger.c.detail), else_=ledger.c.failure_detail),
    "failed_at": case((_HAS_FAILED, ledger.c.ended_at), else_=ledger.c.failed_at),
}


def is_failure(kind: str, outcome: Outcome) -> bool:
    """Whether the outcome is a failure: of a page one that the host or the network caused, of a listing also one that drops it."""
    state = OUTCOMES[outcome].state
    return state is State.FAILED or (kind != Kind.PAGE and state is State.DROPPED)


# ---- INSERT … ON CONFLICT ----------------------------------------------------------------------------------------------------

Rows = Sequence[Mapping[str, Any]]
Changes = Callable[[Any], Mapping[str, ColumnElement[Any]]]  # of `insert.excluded`


class Upsert:
    """INSERT … ON CONFLICT: inserts rows, and applies `changes` to those whose key exists (None: leaves them unchanged).

    A row that already has the new values is not written: no log, no triggers, no dead row on Postgres. `index_where` is the condition of
    the unique index on the keys, if it is partial.
    """

    def __init__(self, table: Table, keys: Sequence[str], changes: Changes | None = None, index_where: str | None = None) -> None:
        inserts: dict[str, Any] = {"sqlite": sqlite.insert(table), "postgresql": postgresql.insert(table)}
        where = None if index_where is None else text(index_where)
        self._statements = {name: _on_conflict(insert, table, keys, changes, where) for name, insert in inserts.items()}
        self._returning = {name: statement.returning(*(table.c[key] for key in keys)) for name, statement in self._statements.items()}

    def run(self, conn: Connection, rows: Rows) -> None:
        """Write the rows. Order them by key, so that two transactions cannot deadlock."""
        if rows:
            conn.execute(self._statements[conn.dialect.name], rows)

    def run_returning_keys(self, conn: Connection, rows: Rows) -> list[Any]:
        """Write the rows; returns the first key column of each row that was written."""
        return list(conn.execute(self._returning[conn.dialect.name], rows).scalars()) if rows else []


def _on_conflict(insert: Any, table: Table, keys: Sequence[str], changes: Changes | None, where: TextClause | None) -> Any:
    if changes is None:
        return insert.on_conflict_do_nothing(index_elements=keys, index_where=where)
    new = changes(insert.excluded)
    differs = or_(*(table.c[name].is_distinct_from(value) for name, value in new.items()))
    return insert.on_conflict_do_update(index_elements=keys, set_=new, where=differs)


# ---- counters per day, source, kind and outcome ---------------------------------------------------------------------------------
#
# They change in the commit that changes the row, so that nothing scans the ledger to count it. Transactions write hosts first, ledger rows
# next and counters last, each in the order of the key, so that two cannot deadlock. The database updates `count_totals` at the commit, in
# the order in which the counters were written. Counters are therefore written by source, kind and outcome, and only then by day.
# `newsmill.storage.doctor` repairs them.

FOUND = "found"  # counted like an outcome: rows inserted that day

_ADD = Upsert(counts, ("day", "source", "kind", "outcome"), lambda new: {"n": counts.c.n + new.n})


class CounterUpdates:
    """The counter changes of one transaction."""

    def __init__(self) -> None:
        self._n: Counter[tuple[date, str, str, str]] = Counter()

    def add(self, at: datetime, source: str | None, kind: str, outcome: str, n: int = 1) -> None:
        self._n[(at.date(), source or "", kind, outcome)] += n

    def undo(self, at: datetime | None, source: str | None, kind: str, outcome: str | None) -> None:
        """Undo the outcome count of a page. A listing has an outcome at every read, so its counts stay."""
        if at is not None and outcome is not None and kind == "page":
            self.add(at, source, kind, outcome, -1)

    def move(self, row: AnyRow, source: str) -> None:
        """Count the outcome of a page for another source."""
        self.undo(row.ended_at, row.source, row.kind, row.outcome)
        if row.ended_at is not None and row.outcome is not None and row.kind == "page":
            self.add(row.ended_at, source, row.kind, row.outcome)

    def write(self, conn: Connection) -> None:
        changes = sorted(((key, n) for key, n in self._n.items() if n), key=lambda item: (*item[0][1:], item[0][0]))
        _ADD.run(
            conn, [{"day": day, "source": source, "kind": kind, "outcome": outcome, "n": n} for (day, source, kind, outcome), n in changes]
        )


def uncount(conn: Connection, rows: Iterable[AnyRow]) -> None:
    """Undo what deleted rows of the ledger have counted. Listings keep their counts, because each read has its own."""
    counters = CounterUpdates()
    for row in rows:
        if row.kind == "page":
            counters.add(row.first_seen_at, row.source, row.kind, FOUND, -1)
            counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    counters.write(conn)

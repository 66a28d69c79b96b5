"""Parts of statements on rows of the ledger that several modules use.

Statements are module constants: building one per call costs ten times the CPU.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, and_, bindparam, case, func, literal_column

from newsmill.model import OUTCOMES, Kind, Outcome, State
from newsmill.storage.schema import ledger

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

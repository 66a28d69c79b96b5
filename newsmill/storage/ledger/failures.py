"""What the ledger keeps about the failures of a row, so that a failing source is shown as failing.

`failing_since` is set by the first failed try and unset by a success. A retry removes outcome and detail; `failure`, `failure_detail` and
`failed_at` keep them for the trace of the URL.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, case, func

from newsmill.model import OUTCOMES, Kind, Outcome, State
from newsmill.storage.schema import ledger
from newsmill.storage.statements import state_is

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
    state = OUTCOMES[outcome][0]
    return state is State.FAILED or (kind != Kind.PAGE and state is State.DROPPED)

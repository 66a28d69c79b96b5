"""What several files' statements are made of. Statements are module constants: built per call they cost ten times the CPU (measured)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, and_, bindparam, literal_column

from newsmill.storage.schema import ledger

AnyRow = Row[*tuple[Any, ...]]

NOW = bindparam("b_now", type_=ledger.c.next_at.type)
LATEST = bindparam("b_latest", type_=ledger.c.next_at.type)  # later than any wait that is asked for: a clock was wrong
UNTIL = bindparam("b_until", type_=ledger.c.lease_until.type)
OWNER: BindParameter[Any] = bindparam("b_owner")
LIMIT: BindParameter[Any] = bindparam("b_limit")

FREE: dict[str, Any] = {"owner": None, "lease_until": None, "in_hand": None}  # nobody has the row any more


def state_is(*states: str) -> ColumnElement[bool]:
    """`state = 'due'`, spelled as a literal: only so does SQLite use a partial index (0.8 → 17 ms at a million rows without)."""
    literals: list[ColumnElement[Any]] = [literal_column(f"'{state}'") for state in states]
    return ledger.c.state == literals[0] if len(literals) == 1 else ledger.c.state.in_(literals)


IS_LISTING = ledger.c.kind != literal_column("'page'")  # of ix_ledger_listings

# The conditions of two partial indexes. SQLite takes an index only where its condition stands in the statement word for word, so these
# stand beside the narrower ones (`tests/storage/test_plans.py` watches it).
IN_FLIGHT = state_is("fetching", "fetched", "processing")  # ix_ledger_leased
IN_SEGMENT = state_is("fetched", "processing")  # ix_ledger_owed


def fenced(*states: str) -> ColumnElement[bool]:
    """The row, if it is still in our hands: the number we were given is still its number."""
    return and_(ledger.c.id == bindparam("b_id"), ledger.c.fence == bindparam("b_fence"), state_is(*states))

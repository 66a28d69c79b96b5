"""Deferred pages: they crashed, used up the CPU time of their first attempt, or belong to a source without CPU budget.

Such a row stays `fetched` and counts as pending, but its segment is not enqueued for it, a claim of its segment leaves it out, and the
crawler does not count it as backlog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, bindparam, case, func, select, update

from newsmill.model import ClaimedPage
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.claims import (
    CLAIMABLE_DEFERRED,
    COLUMNS,
    FIRST_ATTEMPT,
    IS_DEFERRED,
    OVER_BUDGET,
    REEXTRACT_OVER_BUDGET,
    claim_rows,
    lock_claimed_row,
    record_crash,
)
from newsmill.storage.ledger.ended_rows import REEXTRACT
from newsmill.storage.schema import ledger
from newsmill.storage.statements import FREE, IN_FLIGHT, IN_SEGMENT, LIMIT, NOW, fenced

_SET_ASIDE = (
    update(ledger)
    .where(fenced("processing"), ledger.c.crashes == 0)
    .values(
        **FREE,
        state="fetched",
        next_at=NOW,
        stage=case((ledger.c.stage == REEXTRACT, REEXTRACT_OVER_BUDGET), else_=OVER_BUDGET),
        detail="its source used its share of CPU time; deferred, and read when its source has its turn",
    )
)
_OWNER = func.coalesce(ledger.c.source, ledger.c.host).label("cpu_owner")  # as `workers.cpu_budgets.get_owner`
_WAITING = select(_OWNER, func.min(ledger.c.id)).where(IN_SEGMENT, CLAIMABLE_DEFERRED).group_by(_OWNER)
_FIRST = ledger.alias()
_BATCH = (
    select(*COLUMNS)
    .where(
        ledger.c.segment == select(_FIRST.c.segment).where(_FIRST.c.id == bindparam("b_id")).scalar_subquery(),
        func.coalesce(ledger.c.source, ledger.c.host) == bindparam("b_cpu_owner"),
        IN_SEGMENT,
        CLAIMABLE_DEFERRED,
    )
    .order_by(ledger.c.id)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_COUNT = select(func.count()).select_from(ledger).where(IN_FLIGHT, IS_DEFERRED)


@dataclass(frozen=True, slots=True)
class WaitingOwner:
    """A source (a host, for pages without a source) with deferred pages."""

    name: str
    first_id: int  # of the row that was found first


class DeferredPages:
    """`Ledger.deferred`. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, claim: ClaimedPage, reason: str, *, now: datetime) -> bool:
        """Defer a claimed page that used up the CPU time of its first attempt; counts as a crash. False: the claim has ended."""
        with writing(self._engine) as conn:
            row = lock_claimed_row(conn, claim)
            if row is not None:
                record_crash(
                    conn, row, FIRST_ATTEMPT, f"{reason} in its first attempt; deferred, and read when its source has its turn", now
                )
            return row is not None

    def set_aside(self, claims: Sequence[ClaimedPage], *, now: datetime) -> None:
        """Defer claimed pages before they are read, because their source has no CPU budget left. It does not count as a crash.

        Claims that have ended are left out.
        """
        if claims:
            values = [{"b_id": claim.id, "b_fence": claim.fence, "b_now": now} for claim in sorted(claims, key=lambda claim: claim.id)]
            with writing(self._engine) as conn:
                conn.execute(_SET_ASIDE, values)

    def list_waiting(self, *, now: datetime) -> list[WaitingOwner]:
        """The owners of pages that can be claimed now."""
        with reading(self._engine) as conn:
            return [WaitingOwner(*row) for row in conn.execute(_WAITING, {"b_now": now})]

    def claim(self, waiting: WaitingOwner, owner: str, *, limit: int, seconds: float, now: datetime) -> list[ClaimedPage]:
        """Claim pages of a waiting owner: its first one and others of that segment. Pages that reached MAX_CRASHES are quarantined.

        Empty if another worker has them.
        """
        with writing(self._engine) as conn:
            values = {"b_id": waiting.first_id, "b_cpu_owner": waiting.name, "b_limit": limit, "b_now": now}
            return claim_rows(conn, conn.execute(_BATCH, values).all(), owner, seconds, now)

    def count(self) -> int:
        """Deferred pages without an outcome."""
        with reading(self._engine) as conn:
            return conn.execute(_COUNT).scalar_one()

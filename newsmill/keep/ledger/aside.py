"""Pages put aside: they outlasted their first turn of CPU time, and get a whole one when nothing else waits.

Such a row stays `fetched` and is owed like any other, but no segment is announced for it, none of its segment's claims takes it, and the
crawler does not count it as backlog: however many there are, nobody asks for them over and over. Workers fetch them from here, one by one.
Only `stage` tells them apart, so a worker of an older version takes them with their segment and does what it always did.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, func, select

from newsmill.keep.database import reading, writing
from newsmill.keep.ledger import taken
from newsmill.keep.ledger.segments import ASIDE, CLAIMABLE_ASIDE
from newsmill.keep.ledger.statements import IN_FLIGHT, IN_SEGMENT, LIMIT
from newsmill.keep.tables import ledger
from newsmill.model import Claim

_NEXT = (
    select(*taken.COLUMNS)
    .where(IN_SEGMENT, CLAIMABLE_ASIDE)
    .order_by(ledger.c.next_at, ledger.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_SEGMENTS = (
    select(ledger.c.segment).where(IN_SEGMENT, CLAIMABLE_ASIDE).group_by(ledger.c.segment).order_by(func.min(ledger.c.next_at)).limit(LIMIT)
)
_COUNT = select(func.count()).select_from(ledger).where(IN_FLIGHT, ledger.c.stage == ASIDE)


class Aside:
    """`Ledger.aside`. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, claim: Claim, reason: str, *, now: datetime) -> bool:
        """A claimed page outlasted its first turn: one death, and its next turn is a whole one. False: the claim is no longer ours."""
        with writing(self._engine) as conn:
            row = taken.mine(conn, claim)
            if row is not None:
                taken.died(conn, row, ASIDE, f"{reason} in its first turn; waits for a quiet moment", now)
            return row is not None

    def claim(self, owner: str, *, seconds: float, now: datetime) -> Claim | None:
        """Take the page that has been waiting longest; None when none is. One that lost its third reader is quarantined here."""
        if not self.segments(now=now, limit=1):  # a look costs no write lock
            return None
        with writing(self._engine) as conn:
            while rows := conn.execute(_NEXT, {"b_now": now}).all():
                for claim in taken.take(conn, rows, owner, seconds, now):
                    return claim
        return None

    def segments(self, *, now: datetime, limit: int) -> list[str]:
        """Segments with a page that could have its turn now, the longest waiting first."""
        with reading(self._engine) as conn:
            return list(conn.execute(_SEGMENTS, {"b_now": now, "b_limit": limit}).scalars())

    def count(self) -> int:
        """Pages put aside that have not ended yet."""
        with reading(self._engine) as conn:
            return conn.execute(_COUNT).scalar_one()

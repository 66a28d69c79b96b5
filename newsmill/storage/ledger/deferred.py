"""Deferred pages: they crashed a worker or used up the CPU time of their first attempt, and are tried again when no other work waits.

Such a row stays `fetched` and counts as pending, but its segment is not enqueued for it, a claim of its segment leaves it out, and the
crawler does not count it as backlog. Workers claim deferred pages here, one at a time.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, case, exists, func, or_, select

from newsmill.model import ClaimedPage
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.claims import CLAIMABLE_DEFERRED, COLUMNS, FIRST_ATTEMPT, claim_rows, lock_claimed_row, record_crash
from newsmill.storage.schema import hosts, ledger
from newsmill.storage.statements import IN_FLIGHT, IN_SEGMENT, LIMIT, NOW, state_is

_IS_HEAVY = ledger.c.stage == FIRST_ATTEMPT
_IS_LIGHT = ledger.c.stage.is_distinct_from(FIRST_ATTEMPT)
_NEXT = (
    select(*COLUMNS)
    .where(IN_SEGMENT, CLAIMABLE_DEFERRED)
    .order_by(case((_IS_HEAVY, 1), else_=0), ledger.c.next_at, ledger.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_SEGMENTS = (
    select(ledger.c.segment)
    .where(IN_SEGMENT, CLAIMABLE_DEFERRED)
    .group_by(ledger.c.segment)
    .order_by(func.min(ledger.c.next_at))
    .limit(LIMIT)
)
_CAN_FETCH = or_(hosts.c.next_fetch_at.is_(None), hosts.c.next_fetch_at <= NOW)
_HAS_DUE_ROW = exists().where(ledger.c.host == hosts.c.host, state_is("due"), ledger.c.next_at <= NOW)
_OTHER_WORK = (
    select(ledger.c.id).where(IN_FLIGHT, or_(state_is("fetching"), ledger.c.crashes == 0)).limit(1),
    select(hosts.c.host).where(_CAN_FETCH, _HAS_DUE_ROW).limit(1),
)
_COUNT = select(func.count()).select_from(ledger).where(IN_FLIGHT, ledger.c.crashes > 0)


class DeferredPages:
    """`Ledger.deferred`. A page that used up the CPU time of its first attempt is heavy. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, claim: ClaimedPage, reason: str, *, now: datetime) -> bool:
        """Defer a claimed page that used up the CPU time of its first attempt; counts as a crash. False: the claim has ended."""
        with writing(self._engine) as conn:
            row = lock_claimed_row(conn, claim)
            if row is not None:
                record_crash(conn, row, FIRST_ATTEMPT, f"{reason} in its first attempt; deferred until no other work waits", now)
            return row is not None

    def claim(self, owner: str, *, seconds: float, now: datetime, heavy: bool) -> ClaimedPage | None:
        """Claim the page that waits longest, heavy ones last and only if `heavy`; None when there is none.

        A page that reached MAX_CRASHES is quarantined here.
        """
        if not self.segments(now=now, limit=1, heavy=heavy):  # reading takes no write lock
            return None
        statement = _NEXT if heavy else _NEXT.where(_IS_LIGHT)
        with writing(self._engine) as conn:
            while rows := conn.execute(statement, {"b_now": now}).all():
                for claim in claim_rows(conn, rows, owner, seconds, now):
                    return claim
        return None

    def segments(self, *, now: datetime, limit: int, heavy: bool) -> list[str]:
        """Ids of segments with a page that can be claimed now, the longest waiting first; heavy pages count only if `heavy`."""
        statement = _SEGMENTS if heavy else _SEGMENTS.where(_IS_LIGHT)
        with reading(self._engine) as conn:
            return list(conn.execute(statement, {"b_now": now, "b_limit": limit}).scalars())

    def is_only_work_left(self, *, now: datetime) -> bool:
        """Whether no other page is in progress and none is due on a host that may be fetched from."""
        with reading(self._engine) as conn:
            return all(conn.execute(statement, {"b_now": now}).first() is None for statement in _OTHER_WORK)

    def count(self) -> int:
        """Deferred pages without an outcome."""
        with reading(self._engine) as conn:
            return conn.execute(_COUNT).scalar_one()

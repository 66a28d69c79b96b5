"""Pages put aside: they killed a reader or outlasted their first turn of CPU time, and are tried again when nothing else waits.

Such a row stays `fetched` and is owed like any other, but no segment is announced for it, none of its segment's claims takes it, and the
crawler does not count it as backlog: however many there are, nobody asks for them over and over. Workers fetch them from here, one by one.
Only `deaths` tells them apart, so a worker of an older version takes them with their segment and does what it always did.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, case, exists, func, or_, select

from newsmill.model import Claim
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import claims
from newsmill.storage.ledger.segments import CLAIMABLE_ASIDE
from newsmill.storage.ledger.statements import IN_FLIGHT, IN_SEGMENT, LIMIT, NOW, state_is
from newsmill.storage.schema import hosts, ledger

_EATS = ledger.c.stage == claims.FIRST_TURN
_LIGHT = ledger.c.stage.is_distinct_from(claims.FIRST_TURN)
_NEXT = (
    select(*claims.COLUMNS)
    .where(IN_SEGMENT, CLAIMABLE_ASIDE)
    .order_by(case((_EATS, 1), else_=0), ledger.c.next_at, ledger.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_SEGMENTS = (
    select(ledger.c.segment).where(IN_SEGMENT, CLAIMABLE_ASIDE).group_by(ledger.c.segment).order_by(func.min(ledger.c.next_at)).limit(LIMIT)
)
_AWAKE = or_(hosts.c.next_fetch_at.is_(None), hosts.c.next_fetch_at <= NOW)
_DUE = exists().where(ledger.c.host == hosts.c.host, state_is("due"), ledger.c.next_at <= NOW)
_OTHERS = (
    select(ledger.c.id).where(IN_FLIGHT, or_(state_is("fetching"), ledger.c.deaths == 0)).limit(1),
    select(hosts.c.host).where(_AWAKE, _DUE).limit(1),
)
_COUNT = select(func.count()).select_from(ledger).where(IN_FLIGHT, ledger.c.deaths > 0)


class Aside:
    """`Ledger.aside`. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, claim: Claim, reason: str, *, now: datetime) -> bool:
        """A claimed page outlasted its first turn: one death. False: the claim is no longer ours."""
        with writing(self._engine) as conn:
            row = claims.mine(conn, claim)
            if row is not None:
                claims.died(conn, row, claims.FIRST_TURN, f"{reason} in its first turn; waits for a quiet moment", now)
            return row is not None

    def claim(self, owner: str, *, seconds: float, now: datetime, heavy: bool) -> Claim | None:
        """Take the page that has been waiting longest, those that eat time last and only if `heavy`; None when none is.

        One that lost its third reader is quarantined here.
        """
        if not self.segments(now=now, limit=1, heavy=heavy):  # a look costs no write lock
            return None
        statement = _NEXT if heavy else _NEXT.where(_LIGHT)
        with writing(self._engine) as conn:
            while rows := conn.execute(statement, {"b_now": now}).all():
                for claim in claims.take(conn, rows, owner, seconds, now):
                    return claim
        return None

    def segments(self, *, now: datetime, limit: int, heavy: bool) -> list[str]:
        """Segments with a page that could have its turn now, the longest waiting first; those that eat time only if `heavy`."""
        statement = _SEGMENTS if heavy else _SEGMENTS.where(_LIGHT)
        with reading(self._engine) as conn:
            return list(conn.execute(statement, {"b_now": now, "b_limit": limit}).scalars())

    def alone(self, *, now: datetime) -> bool:
        """Whether nothing else could go on now: no page is under way, and none is due on a host that may be asked."""
        with reading(self._engine) as conn:
            return all(conn.execute(statement, {"b_now": now}).first() is None for statement in _OTHERS)

    def count(self) -> int:
        """Pages put aside that have not ended yet."""
        with reading(self._engine) as conn:
            return conn.execute(_COUNT).scalar_one()

"""Segments: what the archive must hold, and which of it a worker still owes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, or_, select

from newsmill.model import Segment
from newsmill.storage.ledger.links import batches
from newsmill.storage.ledger.statements import IN_SEGMENT, LIMIT, NOW, state_is
from newsmill.storage.schema import ledger, segments

# A row a worker may claim: fetched and not waiting for its next try, or in the hands of a worker whose lease ended.
_NOBODY_S = or_(and_(state_is("fetched"), ledger.c.next_at <= NOW), and_(state_is("processing"), ledger.c.lease_until <= NOW))
CLAIMABLE = and_(_NOBODY_S, ledger.c.deaths == 0)
CLAIMABLE_ASIDE = and_(_NOBODY_S, ledger.c.deaths > 0)  # it killed a reader or took too long: `aside` knows when it is tried again

# Ids begin with their time, so their order is age.
_OWED = select(ledger.c.segment).where(IN_SEGMENT, CLAIMABLE).group_by(ledger.c.segment).order_by(ledger.c.segment).limit(LIMIT)
_ONE = select(segments).where(segments.c.id == bindparam("b_id"))
_KNOWN = select(segments.c.id).where(segments.c.id.in_(bindparam("b_ids", expanding=True)))


def owed(conn: Connection, now: datetime, limit: int) -> list[str]:
    return list(conn.execute(_OWED, {"b_now": now, "b_limit": limit}).scalars())


def one(conn: Connection, segment_id: str) -> Segment | None:
    row = conn.execute(_ONE, {"b_id": segment_id}).one_or_none()
    return None if row is None else Segment(id=row.id, pages=row.pages, length=row.length, created_at=row.created_at)


def known(conn: Connection, ids: Sequence[str]) -> set[str]:
    return {found for batch in batches(ids) for found in conn.execute(_KNOWN, {"b_ids": batch}).scalars()}

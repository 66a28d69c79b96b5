"""Segments: the files of the archive that were saved, each with the pages of many rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, select

from newsmill.model import Segment
from newsmill.storage.database import reading
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger.claims import CLAIMABLE
from newsmill.storage.ledger.ended_rows import batches
from newsmill.storage.schema import ledger, segments
from newsmill.storage.statements import IN_SEGMENT, LIMIT

_INSERT = Upsert(segments, ("id",))


def insert_segment(conn: Connection, segment: Segment) -> None:
    """Record a segment, if it is not recorded yet."""
    _INSERT.run(conn, [{"id": segment.id, "pages": segment.pages, "length": segment.length, "created_at": segment.created_at}])


OLDER_SEGMENTS = 4  # by which an archive is recognized, of each kind

# A segment's id begins with its time, so the order of ids is that of age.
_PENDING_SEGMENTS = select(ledger.c.segment).where(IN_SEGMENT, CLAIMABLE).group_by(ledger.c.segment).order_by(ledger.c.segment).limit(LIMIT)
_SEGMENT = select(segments).where(segments.c.id == bindparam("b_id"))
_KNOWN_SEGMENTS = select(segments.c.id).where(segments.c.id.in_(bindparam("b_ids", expanding=True)))


class Segments:
    """The saved segments. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_pending(self, *, now: datetime, limit: int) -> list[str]:
        """Ids of segments with a page that a worker can claim now, oldest first."""
        with reading(self._engine) as conn:
            return list(conn.execute(_PENDING_SEGMENTS, {"b_now": now, "b_limit": limit}).scalars())

    def get(self, segment_id: str) -> Segment | None:
        """The segment (without offsets) as it was saved."""
        with reading(self._engine) as conn:
            row = conn.execute(_SEGMENT, {"b_id": segment_id}).one_or_none()
            return None if row is None else Segment(id=row.id, pages=row.pages, length=row.length, created_at=row.created_at)

    def filter_known(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that were saved; the files of the others can be deleted."""
        ids = list(ids)
        with reading(self._engine) as conn:
            return {known for batch in batches(ids) for known in conn.execute(_KNOWN_SEGMENTS, {"b_ids": batch}).scalars()}

    def list_older(self, segment_id: str) -> list[str]:
        """A few segments that were saved before this one: the oldest, and those just before it."""
        with reading(self._engine) as conn:
            older = select(segments.c.id).where(segments.c.id < segment_id).limit(OLDER_SEGMENTS)  # ids begin with their time
            return [id_ for order in (segments.c.id, segments.c.id.desc()) for id_ in conn.scalars(older.order_by(order))]

"""The order of storing: the stamps of `stored_at`.

A stamp is the time of its transaction, or the largest stamp plus one microsecond if the clock is behind it. A clock that is set back
therefore stores no document before a cursor.

SQLite has one writer at a time, so a reader that sees a stamp sees all smaller ones. On Postgres transactions overlap, and one with a
smaller stamp may commit later. Each transaction therefore announces a lower bound before it takes its stamp: a shared advisory lock,
which lasts until its end and blocks nothing. `find_horizon` reads the largest stamp first and the locks next. A transaction that
announces after that takes a larger stamp. Locks of a primary are not visible on a standby, so changes must be followed on the primary.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, text, union_all

from newsmill.exceptions import CursorError
from newsmill.storage.dialects import is_sqlite
from newsmill.storage.schema import documents, past_documents, past_limits, removed_documents

STAMP_RESOLUTION = timedelta(microseconds=1)  # of both databases
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# A stamp in microseconds as an advisory lock of two numbers: "N" and its upper 24 bits, its lower 31 bits. Enough until the year 3111.
_LOCK_CLASS = ord("N") << 24
_STAMPS = union_all(
    *(
        select(func.max(column).label("stamp"))
        for column in (documents.c.stored_at, removed_documents.c.removed_at, past_documents.c.valid_until, past_limits.c.sealed_at)
    )
).subquery()
LAST_STAMP = select(func.max(_STAMPS.c.stamp))
_ANNOUNCE = text("""SELECT pg_advisory_xact_lock_shared(CAST(:class + (stamp >> 31) AS int), CAST(stamp & 2147483647 AS int))
FROM (SELECT CAST(extract(epoch FROM coalesce(
greatest((SELECT max(stored_at) FROM documents), (SELECT max(removed_at) FROM removed_documents),
(SELECT max(valid_until) FROM past_documents), (SELECT max(sealed_at) FROM past_limits)), 'epoch')) * 1000000 AS bigint) AS stamp)
AS last""")
_ANNOUNCED = text("""SELECT min(((CAST(classid AS bigint) - :class) << 31) | CAST(objid AS bigint)) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND CAST(classid AS bigint) >> 24 = :class >> 24
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")


def make_stamp(conn: Connection, now: datetime) -> datetime:
    """The stamp (aware, UTC) for what this transaction stores and removes: `now`, or more if a committed stamp is not smaller."""
    if not is_sqlite(conn):
        conn.execute(_ANNOUNCE, {"class": _LOCK_CLASS})
    last: datetime | None = conn.execute(LAST_STAMP).scalar()
    return now if last is None or now > last else last + STAMP_RESOLUTION


def find_horizon(conn: Connection) -> datetime:
    """The largest stamp up to which nothing will be stored any more; the epoch if nothing is stored.

    The connection must be in autocommit. Read documents up to the horizon after it, never before.
    """
    last: datetime = conn.execute(LAST_STAMP).scalar() or EPOCH
    if not is_sqlite(conn):
        announced = conn.execute(_ANNOUNCED, {"class": _LOCK_CLASS}).scalar()
        if announced is not None:
            return min(last, EPOCH + timedelta(microseconds=announced))
    return last


def check_position(conn: Connection, stored_at: datetime) -> None:
    """Raises CursorError for a position behind the end: nothing is stored there, so no cursor of this store has it."""
    last: datetime = conn.execute(LAST_STAMP).scalar() or EPOCH
    if stored_at > last + STAMP_RESOLUTION:
        raise CursorError(
            "the cursor is ahead of this store: it is of another store, or an older backup was restored; start again without it,"
            " and remove what does not come again"
        )

"""The order in which documents are stored: a stamp that never goes back, and how far everybody may follow it.

A stamp is the time of the transaction that stored the document, or one microsecond more than the largest stamp there is, if the clock says
less. So a clock that is set back puts no document behind a place that somebody has passed already.

SQLite has one writer at a time: whoever sees a stamp sees all that are smaller. On Postgres transactions overlap, and one with a smaller
stamp may commit later. So each announces a lower bound of its stamp before it takes one, as a shared advisory lock that lasts until its
end and makes nobody wait. `horizon` looks for the largest stamp first and for locks next: who announces later than that takes a larger one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, text

from newsmill.keep.tables import documents

TICK = timedelta(microseconds=1)  # what both databases can tell apart
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A stamp in microseconds as an advisory lock of two numbers: "N" and its upper 24 bits, its lower 31 bits. Enough until the year 3111.
_CLASS = ord("N") << 24

_LAST = select(func.max(documents.c.stored_at))
# A machine that vanishes in its transaction would hold up everybody who follows until the server finds out, by TCP's defaults two hours.
_ANNOUNCE = text("""SELECT set_config('idle_in_transaction_session_timeout', '60s', true),
pg_advisory_xact_lock_shared(CAST(:class + (stamp >> 31) AS int), CAST(stamp & 2147483647 AS int))
FROM (SELECT CAST(extract(epoch FROM coalesce(max(stored_at), 'epoch')) * 1000000 AS bigint) AS stamp FROM documents) AS last""")
_ANNOUNCED = text("""SELECT min(((CAST(classid AS bigint) - :class) << 31) | CAST(objid AS bigint)) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND CAST(classid AS bigint) >> 24 = :class >> 24
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")


def stamp(conn: Connection, now: datetime) -> datetime:
    """The stamp of what this transaction stores, larger than every stamp that anybody can see; `now` where the clock allows it."""
    if conn.dialect.name == "postgresql":
        conn.execute(_ANNOUNCE, {"class": _CLASS})
    last: datetime | None = conn.execute(_LAST).scalar()
    return now if last is None or now > last else last + TICK


def horizon(conn: Connection) -> datetime:
    """The largest stamp at or below which nothing will be stored any more; the epoch where nothing is stored. On a connection in
    autocommit; what it bounds must be read after it."""
    last: datetime = conn.execute(_LAST).scalar() or EPOCH
    if conn.dialect.name == "postgresql":
        announced = conn.execute(_ANNOUNCED, {"class": _CLASS}).scalar()
        if announced is not None:
            return min(last, EPOCH + timedelta(microseconds=announced))
    return last

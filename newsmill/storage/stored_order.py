"""The order in which documents are stored (`stored_at`), and cursors: the position of a reader in this or another list.

A stamp is the time of its transaction, or the largest stamp plus one microsecond if the clock is behind it. A clock that is set back
therefore stores no document before a cursor.

SQLite has one writer at a time, so a reader that sees a stamp sees all smaller ones. On Postgres transactions overlap, and one with a
smaller stamp may commit later. Each transaction therefore announces a lower bound before it takes its stamp: a shared advisory lock, which
lasts until its end and blocks nothing. `horizon` reads the largest stamp first and the locks next. A transaction that announces after
that takes a larger stamp. Locks of a primary are not visible on a standby, so changes must be followed on the primary.

A cursor is an opaque string. It holds no secret; a forged one reads nothing that a query would not find.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, text

from newsmill.exceptions import CursorError
from newsmill.storage.schema import documents

STAMP_RESOLUTION = timedelta(microseconds=1)  # of both databases
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A stamp in microseconds as an advisory lock of two numbers: "N" and its upper 24 bits, its lower 31 bits. Enough until the year 3111.
_CLASS = ord("N") << 24

_LAST = select(func.max(documents.c.stored_at))
# A machine that disappears inside its transaction holds the horizon back until the server notices: two hours with TCP's defaults.
_ANNOUNCE = text("""SELECT set_config('idle_in_transaction_session_timeout', '60s', true),
pg_advisory_xact_lock_shared(CAST(:class + (stamp >> 31) AS int), CAST(stamp & 2147483647 AS int))
FROM (SELECT CAST(extract(epoch FROM coalesce(max(stored_at), 'epoch')) * 1000000 AS bigint) AS stamp FROM documents) AS last""")
_ANNOUNCED = text("""SELECT min(((CAST(classid AS bigint) - :class) << 31) | CAST(objid AS bigint)) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND CAST(classid AS bigint) >> 24 = :class >> 24
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")


def stamp(conn: Connection, now: datetime) -> datetime:
    """The stamp (aware, UTC) for the documents of this transaction: `now`, or more if a committed stamp is not smaller."""
    if conn.dialect.name == "postgresql":
        conn.execute(_ANNOUNCE, {"class": _CLASS})
    last: datetime | None = conn.execute(_LAST).scalar()
    return now if last is None or now > last else last + STAMP_RESOLUTION


def horizon(conn: Connection) -> datetime:
    """The largest stamp up to which nothing will be stored any more; the epoch if nothing is stored.

    The connection must be in autocommit. Read documents up to the horizon after it, never before.
    """
    last: datetime = conn.execute(_LAST).scalar() or EPOCH
    if conn.dialect.name == "postgresql":
        announced = conn.execute(_ANNOUNCED, {"class": _CLASS}).scalar()
        if announced is not None:
            return min(last, EPOCH + timedelta(microseconds=announced))
    return last


# ---- cursors -----------------------------------------------------------------------------------------------------------------

_CursorPart = str | int


def encode_cursor(kind: str, *parts: _CursorPart) -> str:
    """A cursor of one kind of list."""
    data = json.dumps([kind, *parts], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str, *types: type) -> tuple[_CursorPart, ...]:
    """The parts of a cursor of that kind. Raises CursorError for anything `encode_cursor` did not make."""
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid_cursor(cursor) from None
    if not isinstance(parts, list) or parts[:1] != [kind] or [type(part) for part in parts[1:]] != list(types):
        raise _invalid_cursor(cursor)
    if any(isinstance(part, int) and abs(part) >= 1 << 63 for part in parts) or any(
        "\0" in part for part in parts if isinstance(part, str)
    ):
        raise _invalid_cursor(cursor)
    return tuple(parts[1:])


def parse_time(part: _CursorPart, cursor: str) -> datetime:
    """The aware time in a part. Raises CursorError."""
    try:
        at = datetime.fromisoformat(str(part))
        if at.tzinfo is None:
            raise _invalid_cursor(cursor)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):  # not a time, or outside the years 1 to 9999 in UTC
        raise _invalid_cursor(cursor) from None


def _invalid_cursor(cursor: str) -> CursorError:
    return CursorError(f"the cursor {cursor[:80]!r} is not a cursor of this list; start again without it")

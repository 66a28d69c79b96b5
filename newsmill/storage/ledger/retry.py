"""What people may do with ended rows: have them tried again, or drop them for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from newsmill.model import OUTCOMES, Kind, Outcome
from newsmill.storage.ledger.claims import READ_AGAIN
from newsmill.storage.ledger.counter_updates import CounterUpdates
from newsmill.storage.ledger.links import BATCH, ENDED_COLUMNS, ENDS, OPEN_AGAIN, reopen
from newsmill.storage.ledger.statements import LIMIT, NOW, AnyRow, state_is
from newsmill.storage.schema import ledger

# Outcomes that reading gave: the page lies in the archive and can be read again without the network. Not BLOCKED: what lies there is the
# bot filter's page.
READ = frozenset(
    {
        Outcome.STORED,
        Outcome.UNCHANGED,
        Outcome.DUPLICATE,
        Outcome.NOT_ARTICLE,
        Outcome.NO_TEXT,
        Outcome.CONSENT_WALL,
        Outcome.PAYWALL,
        Outcome.SOFT_404,
        Outcome.NEEDS_SCRIPT,
        Outcome.NOT_HTML,
        Outcome.BAD_ENCODING,
        Outcome.DIED,
        Outcome.DEADLINE,
        Outcome.TOO_DEEP,
        Outcome.DISCARDED,
    }
)

_COLUMNS = (*ENDED_COLUMNS, ledger.c.segment, ledger.c.crashes)
_ENDED = select(*_COLUMNS).where(state_is(*sorted(ENDS)), ledger.c.outcome != "bad_url").order_by(ledger.c.id)
_BY_KEY = _ENDED.where(ledger.c.url_key.in_(bindparam("b_keys", expanding=True))).with_for_update()
_BY_OUTCOME = (
    _ENDED.where(ledger.c.outcome == bindparam("b_outcome"), ledger.c.id > bindparam("b_after"))
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_READ_AGAIN = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**OPEN_AGAIN | {"state": "fetched", "stage": READ_AGAIN, "next_at": bindparam("b_now")})
)
# Ends keep their time: the document is there all along, and its page is not news because its site is better known now.
_CLEAN_AGAIN = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**{key: value for key, value in OPEN_AGAIN.items() if key != "ended_at"} | {"state": "fetched", "next_at": NOW})
)
_BY_ID = select(*_COLUMNS).where(ledger.c.id.in_(bindparam("b_ids", expanding=True))).order_by(ledger.c.id).with_for_update()
_BURIED = (
    select(*_COLUMNS)
    .where(state_is("quarantined"), ledger.c.url_key.in_(bindparam("b_keys", expanding=True)))
    .order_by(ledger.c.id)
    .with_for_update()
)
_DISCARD = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(state=OUTCOMES[Outcome.DISCARDED][0].value, outcome=Outcome.DISCARDED.value, ended_at=NOW)
)


def retry_keys(conn: Connection, keys: Sequence[str], now: datetime, refetch: bool) -> int:
    return _reopen(conn, conn.execute(_BY_KEY, {"b_keys": keys}).all(), now, refetch)


def retry_batch(
    conn: Connection, outcome: Outcome, source: str | None, kind: Kind | None, after: int, now: datetime, refetch: bool
) -> tuple[int, int | None]:
    """Up to BATCH rows that ended so, with ids above `after`: how many were opened, and the last one's id (None when none is left).

    By ids, and not until none has ended so: rows may end in the same way as fast as they are opened.
    """
    statement = _BY_OUTCOME
    if source is not None:
        statement = statement.where(ledger.c.source == source)
    if kind is not None:
        statement = statement.where(ledger.c.kind == kind.value)
    rows = conn.execute(statement, {"b_outcome": outcome.value, "b_after": after, "b_limit": BATCH}).all()
    return _reopen(conn, rows, now, refetch), rows[-1].id if rows else None


def _reopen(conn: Connection, rows: Sequence[AnyRow], now: datetime, refetch: bool) -> int:
    readable = [] if refetch else [row for row in rows if row.segment is not None and row.outcome in READ]
    if readable:
        conn.execute(_READ_AGAIN, [{"b_id": row.id, "b_now": now} for row in readable])
    _take_back(conn, readable)
    rest = {row.id: row for row in rows}
    for row in readable:
        del rest[row.id]
    return len(readable) + reopen(conn, list(rest.values()), now)


def clean_again(conn: Connection, ids: Sequence[int], now: datetime) -> int:
    """Have archived pages of stored documents read once more, with what is known of their site now. How many; others are left alone."""
    rows = [row for row in conn.execute(_BY_ID, {"b_ids": ids}) if row.state == "done" and row.segment is not None and row.outcome in READ]
    if rows:
        conn.execute(_CLEAN_AGAIN, [{"b_id": row.id, "b_now": now} for row in rows])
    _take_back(conn, rows)
    return len(rows)


def _take_back(conn: Connection, rows: Sequence[AnyRow]) -> None:
    """They did not end after all."""
    tally = CounterUpdates()
    for row in rows:
        tally.take_back(row.ended_at, row.source, row.kind, row.outcome)
    tally.write(conn)


def discard(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    rows = conn.execute(_BURIED, {"b_keys": keys}).all()
    if rows:
        conn.execute(_DISCARD, [{"b_id": row.id, "b_now": now} for row in rows])
    tally = CounterUpdates()
    for row in rows:
        tally.take_back(row.ended_at, row.source, row.kind, row.outcome)
        tally.add(now, row.source, row.kind, Outcome.DISCARDED.value)
    tally.write(conn)
    return len(rows)

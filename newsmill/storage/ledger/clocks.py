"""Times in the ledger after the clock was set back.

Heartbeats and host leases are written with the current time. One that lies in the future shows by how much the clock was set back.
What was due by the old clock is then due now, and a wait beyond it keeps its length. A clock that was ahead for some seconds leaves the
same traces; waits that began before may then end early, because nothing tells the two cases apart.

A clock that is set forward needs no adjustment: waits and leases end early, and fences decide between two holders.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, bindparam, func, select, text, true, update

from newsmill.storage.ledger.statements import IN_FLIGHT, state_is
from newsmill.storage.schema import deliveries, hosts, ledger, processes

CLOCK_SLACK = timedelta(minutes=1)  # the clocks of two machines may differ by that much without either having jumped
MAX_LEASE = timedelta(minutes=5)  # five times what crawlers and workers ask for
MAX_ROW_WAIT = timedelta(hours=2) + CLOCK_SLACK  # find.schedule.backoff; a Retry-After is obeyed for an hour at most
MAX_HOST_PAUSE = timedelta(hours=1) + CLOCK_SLACK  # find.robots.LONGEST_PAUSE and crawler.throttle.LONGEST_PAUSE

_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_KEY = int.from_bytes(b"nm clock")
_AHEAD = (
    select(func.max(processes.c.beat_at)).where(processes.c.role != "web"),
    select(func.max(hosts.c.leased_at)),
)
Wait = tuple[Table, Column[Any], Column[Any], ColumnElement[bool]]  # whose rows, by which key, wait until when, and which of them do
_WAITS: tuple[Wait, ...] = (
    (ledger, ledger.c.id, ledger.c.next_at, state_is("due", "fetched")),
    (hosts, hosts.c.host, hosts.c.next_fetch_at, true()),
    (deliveries, deliveries.c.id, deliveries.c.next_at, deliveries.c.state == "due"),
)
_LEASES = (
    select(hosts.c.host).where(hosts.c.lease_until > bindparam("b_latest", type_=hosts.c.lease_until.type)).limit(1),
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.lease_until > bindparam("b_latest", type_=ledger.c.lease_until.type)).limit(1),
)


def needs_adjusting(conn: Connection, now: datetime) -> bool:
    """Whether the clock was set back, or a lease lasts longer than MAX_LEASE."""
    values = {"b_latest": now + MAX_LEASE}
    return _before(conn, now) > now or any(conn.execute(statement, values).first() is not None for statement in _LEASES)


def adjust(conn: Connection, now: datetime) -> timedelta:
    """Move times that lie in the future because the clock was set back; by how much it was set back."""
    if conn.dialect.name == "postgresql":
        conn.execute(_LOCK, {"key": _KEY})  # of two schedulers the second finds nothing left to do
    before = _before(conn, now)
    if before > now:
        for wait in _WAITS:
            _shift(conn, wait, now, before)
        for seen in (hosts.c.leased_at, processes.c.beat_at, hosts.c.robots_fetched_at):
            conn.execute(update(seen.table).where(seen > now).values({seen: now}))
    # A holder that is alive renews its lease in time.
    for held, wanted in ((ledger.c.lease_until, IN_FLIGHT), (hosts.c.lease_until, true())):
        conn.execute(update(held.table).where(wanted, held > now + MAX_LEASE).values({held: now + CLOCK_SLACK}))
    return before - now


def _shift(conn: Connection, wait: Wait, now: datetime, before: datetime) -> None:
    """What was due before the clock was set back is due now; the rest keeps its distance."""
    table, key, at, wanted = wait
    later = conn.execute(select(key, at).where(wanted, at > before)).all()
    conn.execute(update(table).where(wanted, at > now, at <= before).values({at: now}))
    if later:
        moved = [{"b_key": row[0], "b_at": row[1] - (before - now)} for row in later]
        conn.execute(update(table).where(key == bindparam("b_key")).values({at: bindparam("b_at", type_=at.type)}), moved)


def _before(conn: Connection, now: datetime) -> datetime:
    """What the clock said before it was set back; now, where it was not."""
    ahead = max((at for statement in _AHEAD if (at := conn.execute(statement).scalar()) is not None), default=now)
    return ahead if ahead - now > CLOCK_SLACK else now

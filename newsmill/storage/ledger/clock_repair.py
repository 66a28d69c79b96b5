"""Times after the clock was set back: those that lie in the future because of it are moved.

Heartbeats and host leases are written with the current time. One that lies in the future shows by how much the clock was set back.
Rows that were due by the old clock are then due now, and a longer wait keeps its length. A clock that was ahead for a few seconds looks
the same; waits that began before may then end early.

A clock that is set forward needs no adjustment: waits and leases end early, and fences decide between two holders.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, bindparam, func, select, true, update

from newsmill.storage.clock import CLOCK_SLACK
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import lock_numbers
from newsmill.storage.schema import hosts, ledger, listing_schedules, outbox, processes, websub_subscriptions
from newsmill.storage.statements import IN_FLIGHT, state_is

MAX_LEASE = timedelta(minutes=5)  # five times what crawlers and workers ask for

_LOCK = int.from_bytes(b"nm clock")
_AHEAD = (
    select(func.max(processes.c.beat_at)).where(processes.c.role != "web"),
    select(func.max(hosts.c.leased_at)),
)
Wait = tuple[Table, Column[Any], Column[Any], ColumnElement[bool]]  # table, key, column of the time, condition
_WAITS: tuple[Wait, ...] = (
    (ledger, ledger.c.id, ledger.c.next_at, state_is("due", "fetched")),
    (hosts, hosts.c.host, hosts.c.next_fetch_at, true()),
    (listing_schedules, listing_schedules.c.ledger_id, listing_schedules.c.next_poll_at, true()),
    (outbox, outbox.c.number, outbox.c.next_at, outbox.c.state == "due"),
    (websub_subscriptions, websub_subscriptions.c.callback_id, websub_subscriptions.c.next_at, true()),
)
_PAST_TIMES = (
    *(hosts.c.leased_at, hosts.c.paused_at, hosts.c.robots_fetched_at, processes.c.beat_at),
    *(listing_schedules.c.planned_at, listing_schedules.c.polled_at, listing_schedules.c.read_at, listing_schedules.c.shown_at),
)
_LONG_LEASES = (
    select(hosts.c.host).where(hosts.c.lease_until > bindparam("b_latest", type_=hosts.c.lease_until.type)).limit(1),
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.lease_until > bindparam("b_latest", type_=ledger.c.lease_until.type)).limit(1),
)
# Their times follow from the ages of articles, so those behind the old time stay.
_REVISIT_NOW = (
    update(ledger)
    .where(
        ledger.c.revisit_at > bindparam("b_from", type_=ledger.c.revisit_at.type),
        ledger.c.revisit_at <= bindparam("b_to", type_=ledger.c.revisit_at.type),
    )
    .values(revisit_at=bindparam("b_from", type_=ledger.c.revisit_at.type))
)


def is_clock_adjustment_needed(conn: Connection, now: datetime) -> bool:
    """Whether the clock was set back, or a lease lasts longer than MAX_LEASE."""
    values = {"b_latest": now + MAX_LEASE}
    return _time_before(conn, now) > now or any(conn.execute(statement, values).first() is not None for statement in _LONG_LEASES)


def adjust_to_clock(conn: Connection, now: datetime) -> timedelta:
    """Move times that lie in the future because the clock was set back. Returns by how much it was set back."""
    lock_numbers(conn, [_LOCK])  # the second of two schedulers finds nothing to do
    old_time = _time_before(conn, now)
    if old_time > now:
        for wait in _WAITS:
            _shift(conn, wait, now, old_time)
        conn.execute(_REVISIT_NOW, {"b_from": now, "b_to": old_time})
        for column in _PAST_TIMES:
            conn.execute(update(column.table).where(column > now).values({column: now}))
    # A live owner renews its lease in time.
    for column, condition in ((ledger.c.lease_until, IN_FLIGHT), (hosts.c.lease_until, true())):
        conn.execute(update(column.table).where(condition, column > now + MAX_LEASE).values({column: now + CLOCK_SLACK}))
    return old_time - now


def _shift(conn: Connection, wait: Wait, now: datetime, old_time: datetime) -> None:
    """Rows that were due before the clock was set back are due now; the others wait as long as before."""
    table, key, at, condition = wait
    later = conn.execute(select(key, at).where(condition, at > old_time)).all()
    conn.execute(update(table).where(condition, at > now, at <= old_time).values({at: now}))
    if later:
        moved = [{"b_key": row[0], "b_at": row[1] - (old_time - now)} for row in later]
        conn.execute(update(table).where(key == bindparam("b_key")).values({at: bindparam("b_at", type_=at.type)}), moved)


def _time_before(conn: Connection, now: datetime) -> datetime:
    """The time of the clock before it was set back; `now` if it was not."""
    ahead = max((at for statement in _AHEAD if (at := conn.execute(statement).scalar()) is not None), default=now)
    return ahead if ahead - now > CLOCK_SLACK else now


class ClockRepair:
    """Times after the clock was set back. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def adjust(self, *, now: datetime) -> timedelta:
        """After the clock was set back: move waits, leases and heartbeats that lie in the future because of it (`processes`).

        By how much it was set back; zero in nearly every call, which then only reads.
        """
        with reading(self._engine) as conn:
            if not is_clock_adjustment_needed(conn, now):
                return timedelta()
        with writing(self._engine) as conn:
            return adjust_to_clock(conn, now)

"""Processes: ids that tell whether their owner is dead, heartbeats, and repairs after one died or the clock was set back.

An id is `host:process id:table.start:random`. `table` identifies a process table (this boot of this kernel, this container), the only place
where process id and start time have a meaning. Elsewhere, and without /proc, no owner counts as dead and its leases end by time. A /proc
with `hidepid` hides the processes of other users; these do not count as dead either.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    delete,
    func,
    select,
    text,
    true,
    union,
    update,
)

from newsmill.discovery.schedule import MAX_RETRY_DELAY
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import hosts, ledger, listing_schedules, outbox, processes, websub_subscriptions
from newsmill.storage.statements import IN_FLIGHT, NOW, Upsert, state_is

# ---- ids

PROC = Path("/proc")
BOOT = Path("/proc/sys/kernel/random/boot_id")
STATE, STARTED = 0, 19  # fields of /proc/PID/stat after the command's name; proc(5)
_ENDED_STATES = ("Z", "X")  # states of a process that has ended


def make_owner_id() -> str:
    """A new owner id of this process; each call returns another one."""
    pid = os.getpid()
    try:
        started = _stat(pid)[STARTED]
    except OSError:
        started = "0"
    return f"{socket.gethostname()}:{pid}:{_process_table()}.{started}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether the owner's process has certainly ended. False if that is unknown."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or not parts[1].isdecimal():
        return False
    place, _, started = parts[2].partition(".")
    if not place or place != _process_table() or started in ("", "0"):
        return False
    pid = int(parts[1])
    try:
        fields = _stat(pid)
    except OSError:
        return not _exists(pid)
    return fields[STATE] in _ENDED_STATES or fields[STARTED] != started


def _process_table() -> str:
    """The id of this process table; empty if it has none."""
    try:
        table = str(Path("/proc/self/ns/pid").readlink())
        boot = BOOT.read_text().strip()
    except OSError:
        return ""
    return hashlib.blake2b(f"{socket.gethostname()} {boot} {table}".encode(), digest_size=6).hexdigest()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat. Raises OSError if the process does not exist or /proc hides it."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _exists(pid: int) -> bool:
    """Whether there is a process with this id, of any user."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):  # OverflowError: no process id is so large
        return False
    return True


# ---- heartbeats

BEAT_INTERVAL = timedelta(seconds=10)  # how often a process writes its row: one small commit, 0.1 ms on SQLite
MAX_HEARTBEAT_AGE = timedelta(seconds=90)  # three missed heartbeats, and a page that takes 30 s
DELETE_AFTER = timedelta(days=1)

_UPSERT = Upsert(processes, ["name"], lambda new: {"beat_at": new.beat_at})


@dataclass(frozen=True, slots=True)
class Process:
    """One running crawler, worker, scheduler or web server."""

    name: str  # of `make_owner_id`
    machine: str
    role: str
    beat_at: datetime


class Heartbeat:
    """The heartbeat of one process; call `beat` in every round of its loop. Raises ServiceError."""

    def __init__(self, engine: Engine, *, role: str) -> None:
        self._engine, self._machine, self._role = engine, socket.gethostname(), role
        self._name = make_owner_id()
        self._next: datetime | None = None

    def beat(self, now: datetime) -> None:
        """Write the row if BEAT_INTERVAL has passed since the last time. The first call deletes rows older than DELETE_AFTER."""
        if self._next is not None and timedelta() < self._next - now <= BEAT_INTERVAL:  # further ahead: the clock was set back
            return
        with writing(self._engine) as conn:
            _UPSERT.run(conn, [{"name": self._name, "machine": self._machine, "role": self._role, "beat_at": now}])
            if self._next is None:
                conn.execute(delete(processes).where(processes.c.beat_at < now - DELETE_AFTER))
        self._next = now + BEAT_INTERVAL

    def stop(self) -> None:
        """Delete the row."""
        with writing(self._engine) as conn:
            conn.execute(delete(processes).where(processes.c.name == self._name))


def list_live_processes(engine: Engine, *, now: datetime) -> list[Process]:
    """The processes with a heartbeat younger than MAX_HEARTBEAT_AGE, by role and name; without dead ones of this machine."""
    with reading(engine) as conn:
        rows = conn.execute(
            select(processes).where(processes.c.beat_at >= now - MAX_HEARTBEAT_AGE).order_by(processes.c.role, processes.c.name)
        )
        return [Process(row.name, row.machine, row.role, row.beat_at) for row in rows if not is_dead(row.name)]


# ---- the leases of dead owners

_OWNERS: BindParameter[Any] = bindparam("b_owners", expanding=True)
_OWNERS_OF_LEASES = union(
    select(hosts.c.owner).where(hosts.c.owner.is_not(None), hosts.c.lease_until > NOW),
    select(ledger.c.owner).where(IN_FLIGHT, ledger.c.owner.is_not(None), ledger.c.lease_until > NOW),
)
_END_HOST_LEASES = update(hosts).where(hosts.c.owner.in_(_OWNERS)).values(lease_until=NOW)
_ROWS_OF_OWNERS = (
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.owner.in_(_OWNERS)).order_by(ledger.c.id).with_for_update(skip_locked=True).cte("theirs")
)
_END_ROW_LEASES = update(ledger).where(ledger.c.id.in_(select(_ROWS_OF_OWNERS.c.id))).values(lease_until=NOW)


def end_leases(conn: Connection, is_dead: Callable[[str], bool], now: datetime) -> list[str]:
    """End the leases of dead owners now. Returns the owners. Marks, fences and states stay, as after any ended lease."""
    dead = [owner for (owner,) in conn.execute(_OWNERS_OF_LEASES, {"b_now": now}) if is_dead(owner)]
    if dead:
        conn.execute(_END_HOST_LEASES, {"b_owners": dead, "b_now": now})
        conn.execute(_END_ROW_LEASES, {"b_owners": dead, "b_now": now})
    return dead


# ---- times after the clock was set back
#
# Heartbeats and host leases are written with the current time. One that lies in the future shows by how much the clock was set back.
# Rows that were due by the old clock are then due now, and a longer wait keeps its length. A clock that was ahead for a few seconds looks
# the same; waits that began before may then end early.
#
# A clock that is set forward needs no adjustment: waits and leases end early, and fences decide between two holders.

CLOCK_SLACK = timedelta(minutes=1)  # the clocks of two machines may differ by that much without either having jumped
MAX_LEASE = timedelta(minutes=5)  # five times what crawlers and workers ask for
MAX_ROW_WAIT = MAX_RETRY_DELAY + CLOCK_SLACK  # a Retry-After counts for an hour at most

_CLOCK_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_CLOCK_LOCK_KEY = int.from_bytes(b"nm clock")
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
    if conn.dialect.name == "postgresql":
        conn.execute(_CLOCK_LOCK, {"key": _CLOCK_LOCK_KEY})  # the second of two schedulers finds nothing to do
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

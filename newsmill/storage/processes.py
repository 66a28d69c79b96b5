"""Heartbeats of crawlers, workers, schedulers and web processes; and the end of leases whose owners are dead."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, select, union, update

from newsmill.storage.database import reading, writing
from newsmill.storage.lease_owners import is_dead, make_owner_id
from newsmill.storage.ledger.statements import IN_FLIGHT, NOW
from newsmill.storage.schema import hosts, ledger, processes
from newsmill.storage.upsert import Upsert

BEAT_INTERVAL = timedelta(seconds=10)  # how often a process writes its row: one small commit, 0.1 ms on SQLite
MAX_HEARTBEAT_AGE = timedelta(seconds=90)  # three missed heartbeats, and a page that takes 30 s
DELETE_AFTER = timedelta(days=1)

_UPSERT = Upsert(processes, ["name"], lambda new: {"beat_at": new.beat_at})


@dataclass(frozen=True, slots=True)
class Process:
    """One running crawler, worker or scheduler."""

    name: str  # lease_owners.make_owner_id
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


_OWNERS: BindParameter[Any] = bindparam("b_owners", expanding=True)
_OWNERS_OF_LEASES = union(
    select(hosts.c.owner).where(hosts.c.owner.is_not(None), hosts.c.lease_until > NOW),
    select(ledger.c.owner).where(IN_FLIGHT, ledger.c.owner.is_not(None), ledger.c.lease_until > NOW),
)
_HOSTS = update(hosts).where(hosts.c.owner.in_(_OWNERS)).values(lease_until=NOW)
_ROWS_OF_OWNERS = (
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.owner.in_(_OWNERS)).order_by(ledger.c.id).with_for_update(skip_locked=True).cte("theirs")
)
_ROWS = update(ledger).where(ledger.c.id.in_(select(_ROWS_OF_OWNERS.c.id))).values(lease_until=NOW)


def end_leases(conn: Connection, is_dead: Callable[[str], bool], now: datetime) -> list[str]:
    """End the leases of dead owners now. Returns the owners. Marks, fences and states stay, as after any ended lease."""
    dead = [owner for (owner,) in conn.execute(_OWNERS_OF_LEASES, {"b_now": now}) if is_dead(owner)]
    if dead:
        conn.execute(_HOSTS, {"b_owners": dead, "b_now": now})
        conn.execute(_ROWS, {"b_owners": dead, "b_now": now})
    return dead

"""Who is at work: crawlers, workers and schedulers say when they last did a round that reached the database."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, select, union, update

from newsmill.storage.columns import Upsert
from newsmill.storage.database import reading, writing
from newsmill.storage.lease_owners import is_dead, make_owner_id
from newsmill.storage.ledger.statements import IN_FLIGHT, NOW
from newsmill.storage.schema import hosts, ledger, processes

BEAT_INTERVAL = timedelta(seconds=10)  # how often a process writes its row: one small commit, 0.1 ms on SQLite
ALIVE = timedelta(seconds=90)  # a page may take 30 s and a lease renewal waits for it; three missed beats and that page are still alive
FORGET = timedelta(days=1)

BEAT = Upsert(processes, ["name"], lambda new: {"beat_at": new.beat_at})


@dataclass(frozen=True, slots=True)
class Process:
    """One running crawler, worker or scheduler."""

    name: str  # see owners.new_owner
    machine: str
    role: str
    beat_at: datetime


class Heartbeat:
    """One process's pulse; call `beat` from its loop as often as you like. Raises ServiceError when the database is away."""

    def __init__(self, engine: Engine, *, role: str) -> None:
        self._engine, self._machine, self._role = engine, socket.gethostname(), role
        self._name = make_owner_id()
        self._next: datetime | None = None

    def beat(self, now: datetime) -> None:
        """Write the row when BEAT_EVERY has passed since the last time, and forget processes silent for a day."""
        if self._next is not None and timedelta() < self._next - now <= BEAT_INTERVAL:  # further ahead: the clock was set back
            return
        with writing(self._engine) as conn:
            BEAT.run(conn, [{"name": self._name, "machine": self._machine, "role": self._role, "beat_at": now}])
            if self._next is None:
                conn.execute(delete(processes).where(processes.c.beat_at < now - FORGET))
        self._next = now + BEAT_INTERVAL

    def stop(self) -> None:
        """A clean end leaves no row behind."""
        with writing(self._engine) as conn:
            conn.execute(delete(processes).where(processes.c.name == self._name))


def list_live_processes(engine: Engine, *, now: datetime) -> list[Process]:
    """The processes whose last beat is younger than ALIVE, by role and name; without those of this machine that are seen to be dead."""
    with reading(engine) as conn:
        rows = conn.execute(select(processes).where(processes.c.beat_at >= now - ALIVE).order_by(processes.c.role, processes.c.name))
        return [Process(row.name, row.machine, row.role, row.beat_at) for row in rows if not is_dead(row.name)]


# The leases of the dead: cut short as soon as somebody knows, instead of a minute later.

_OWNERS: BindParameter[Any] = bindparam("b_owners", expanding=True)
_HOLDERS = union(
    select(hosts.c.owner).where(hosts.c.owner.is_not(None), hosts.c.lease_until > NOW),
    select(ledger.c.owner).where(IN_FLIGHT, ledger.c.owner.is_not(None), ledger.c.lease_until > NOW),
)
_HOSTS = update(hosts).where(hosts.c.owner.in_(_OWNERS)).values(lease_until=NOW)
_THEIRS = (
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.owner.in_(_OWNERS)).order_by(ledger.c.id).with_for_update(skip_locked=True).cte("theirs")
)
_ROWS = update(ledger).where(ledger.c.id.in_(select(_THEIRS.c.id))).values(lease_until=NOW)


def cut(conn: Connection, is_dead: Callable[[str], bool], now: datetime) -> list[str]:
    """End the leases of owners that are dead; who they were. Marks, fences and states stay: what follows is what follows an ended lease."""
    dead = [owner for (owner,) in conn.execute(_HOLDERS, {"b_now": now}) if is_dead(owner)]
    if dead:
        conn.execute(_HOSTS, {"b_owners": dead, "b_now": now})
        conn.execute(_ROWS, {"b_owners": dead, "b_now": now})
    return dead

"""Processes: ids that tell whether their owner is dead, heartbeats, and the end of the leases of dead owners.

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

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, select, union, update

from newsmill.storage.database import reading, writing
from newsmill.storage.schema import hosts, ledger, processes
from newsmill.storage.statements import IN_FLIGHT, NOW, Upsert

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

"""The heartbeats of processes, by which others know that they are alive.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, select

from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.owner_ids import is_dead, make_owner_id
from newsmill.storage.schema import processes

BEAT_INTERVAL = timedelta(seconds=10)  # how often a process writes its row: one small commit, 0.1 ms on SQLite
MAX_HEARTBEAT_AGE = timedelta(seconds=90)  # three missed heartbeats, and a page that takes 30 s
DELETE_AFTER = timedelta(days=1)

_UPSERT = Upsert(processes, ["name"], lambda new: {"beat_at": new.beat_at, "takedowns": new.takedowns})


@dataclass(frozen=True, slots=True)
class Process:
    """One running crawler, worker, scheduler or web server."""

    name: str  # of `make_owner_id`
    machine: str
    role: str
    beat_at: datetime
    takedowns: int | None = None  # that it has applied to the derived files of its machine; None: not known


class Heartbeat:
    """The heartbeat of one process; call `beat` in every round of its loop. Raises ServiceError.

    `apply_takedowns` applies those of all machines to the files of this one, and returns their number.
    """

    def __init__(self, engine: Engine, *, role: str, apply_takedowns: Callable[[], int | None] = lambda: None) -> None:
        self._engine, self._machine, self._role, self._apply_takedowns = engine, socket.gethostname(), role, apply_takedowns
        self._name = make_owner_id()
        self._next: datetime | None = None

    def beat(self, now: datetime) -> None:
        """Write the row if BEAT_INTERVAL has passed since the last time. The first call deletes rows older than DELETE_AFTER."""
        if self._next is not None and timedelta() < self._next - now <= BEAT_INTERVAL:  # further ahead: the clock was set back
            return
        row: dict[str, Any] = {"name": self._name, "machine": self._machine, "role": self._role, "beat_at": now}
        row["takedowns"] = self._apply_takedowns()
        with writing(self._engine) as conn:
            _UPSERT.run(conn, [row])
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
        return [Process(row.name, row.machine, row.role, row.beat_at, row.takedowns) for row in rows if not is_dead(row.name)]

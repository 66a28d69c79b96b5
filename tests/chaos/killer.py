"""Who is killed, and when: all drawn from a seed before the first strike, as far as the machine's own timing allows."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from redis import RedisError

from chaos.installation import Roles

TARGETS = ("worker", "crawler", "child", "parser", "forkserver", "scheduler", "web", "redis", "flushall", "database", "oom")
OUTAGES = ("outage-redis", "outage-database")
FREEZES = ("freeze-worker", "freeze-crawler", "freeze-scheduler")
HUNT = 5.0  # seconds for which a strike without a target is tried again: a process that was just killed is started again soon


@dataclass(frozen=True)
class Intent:
    """Strike when that part of the world is stored and `delay` seconds more have passed, or nothing was struck for `max_idle` seconds."""

    fraction: float
    delay: float
    max_idle: float
    target: str
    dice: float  # picks among several processes


@dataclass(frozen=True)
class Strike:
    """One strike. Progress is expected from `over` on: the moment of the kill, or the end of an outage. Times are time.monotonic()."""

    target: str
    at: float
    over: float
    stored: int


def intents(seed: int, kills: int, targets: Sequence[str], extra: Sequence[str] = ()) -> list[Intent]:
    """The plan. `extra` are targets struck once each besides the `kills`, such as outages."""
    chance = random.Random(seed)
    chosen = [chance.choice(targets) for _ in range(kills)] + list(extra)
    chance.shuffle(chosen)
    fractions = sorted(chance.uniform(0.0, 0.97) for _ in chosen)
    return [
        Intent(fraction, chance.uniform(0.0, 1.0), chance.uniform(5.0, 60.0), target, chance.random())
        for fraction, target in zip(fractions, chosen, strict=True)
    ]


class Killer:
    """Carries the plan out against an installation."""

    def __init__(self, installation: Roles, plan: Sequence[Intent], hold: float) -> None:
        """`hold`: seconds an outage, a freeze or an out-of-memory episode takes."""
        self.installation, self.waiting, self.hold = installation, list(plan), hold
        self.strikes: list[Strike] = []
        self.missed = 0  # nobody of that kind was there to be killed
        self.last = time.monotonic()
        self.due_at: float | None = None
        self.hunting = 0.0  # since when
        self.relief: list[tuple[float, Callable[[], bool]]] = []  # when, and what must succeed

    def look(self, stored: int) -> None:
        """Called often. Strikes at most once."""
        now = time.monotonic()
        for entry in [entry for entry in self.relief if entry[0] <= now]:
            self.relief.remove(entry)
            if not entry[1]():
                self.relief.append((now + 0.5, entry[1]))
        if not self.waiting:
            return
        intent = self.waiting[0]
        if self.due_at is None and stored >= intent.fraction * self.installation.world.pages:
            self.due_at = now + intent.delay
        if (self.due_at is not None and now >= self.due_at) or now - self.last >= intent.max_idle:
            over, self.hunting = self._strike(intent), self.hunting or now
            if over is None and now - self.hunting < HUNT:
                return
            self.waiting.pop(0)
            self.due_at, self.last, self.hunting = None, now, 0.0
            if over is None:
                self.missed += 1
            else:
                self.strikes.append(Strike(intent.target, now, over, stored))

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.relief)

    def _strike(self, intent: Intent) -> float | None:
        """Do it; when it is over, or None when there was nobody to strike."""
        now = time.monotonic()
        match intent.target:
            case "redis":
                return _kill([self.installation.redis.process.pid], intent.dice)
            case "outage-redis":
                self.installation.away["redis"] = now + self.hold
                _kill([self.installation.redis.process.pid], intent.dice)
                return now + self.hold
            case "flushall":
                return now if _redis(self.installation.redis.flush) else None
            case "oom":
                if not _redis(lambda: self.installation.redis.limit(1)):
                    return None
                self.relief.append((now + self.hold, self._unlimit))
                return now + self.hold
            case target if target in FREEZES:
                return self._freeze(self.installation.running(target.removeprefix("freeze-")), intent.dice)
            case "database":
                return self._kill_database(intent.dice)
            case "outage-database":
                return self._take_database_away()
            case target:
                return _kill(self.installation.processes(target), intent.dice)

    def _kill_database(self, dice: float) -> float | None:
        postgres = self.installation.postgres
        if postgres is None:
            return None  # SQLite has no process of its own: it is killed with everybody who uses it
        if dice < 0.5:
            with suppress(psycopg.OperationalError):
                return _kill(postgres.backends(), dice * 2)
            return None
        return _kill([postgres.process.pid], dice)

    def _take_database_away(self) -> float:
        now = time.monotonic()
        if self.installation.postgres is not None:
            self.installation.away["database"] = now + self.hold
            _kill([self.installation.postgres.process.pid], 0)
            return now + self.hold
        path = Path(self.installation.database_url.removeprefix("sqlite:///"))
        threading.Thread(target=_hold_lock, args=(path, self.hold), daemon=True).start()
        return now + self.hold

    def _freeze(self, pids: Sequence[int], dice: float) -> float | None:
        """Freeze a process with its children, as `docker pause` does."""
        if not pids:
            return None
        pid, over = pids[int(dice * len(pids)) % len(pids)], time.monotonic() + self.hold
        os.killpg(pid, signal.SIGSTOP)
        self.relief.append((over, lambda: _wake(pid)))
        return over

    def _unlimit(self) -> bool:
        return _redis(lambda: self.installation.redis.limit(0))


def _wake(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGCONT)
    return True


def _hold_lock(path: Path, seconds: float) -> None:
    """Lock SQLite like a long transaction of another program: no one else can write."""
    with sqlite3.connect(path, timeout=60, isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    connection.close()


def _redis(do: object) -> bool:
    try:
        do()  # type: ignore[operator]
    except (RedisError, OSError):
        return False
    return True


def _kill(pids: Sequence[int], dice: float) -> float | None:
    if not pids:
        return None
    with suppress(ProcessLookupError):
        os.kill(pids[int(dice * len(pids)) % len(pids)], signal.SIGKILL)
    return time.monotonic()

"""The installation under test: servers and Newsmill's processes, started again after a crash as Docker would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from chaos.servers import Postgres, Redis
from chaos.site import World
from newsmill.archive.archive import Archive
from newsmill.model import Politeness, Source
from newsmill.storage import database, schema_version
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger

TESTS = Path(__file__).resolve().parents[1]
FIRST_PAUSE, LONGEST_PAUSE, STEADY = 0.1, 60.0, 10.0  # docker's: doubled with each death, forgotten after ten seconds of life


@dataclass
class Role:
    """One process to keep alive, or a server. Times are time.monotonic()."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE
    starts: int = 0


@dataclass(frozen=True)
class Plan:
    """What installation to build. `lease`: seconds, short for tests; None: Newsmill's defaults, by its own commands."""

    database: str = "sqlite"
    workers: int = 2
    crawlers: int = 1
    delay: float = 0.0
    concurrency: int = 2
    lease: float | None = None
    reader: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    high_water: int = 500
    longest_pause: float = LONGEST_PAUSE  # before a process that died again and again is started once more


class Roles(ABC):
    """A world, its servers, and processes on them. As a context manager: everything runs inside the block, and nothing after it."""

    def __init__(self, folder: Path, world: World, redis: Redis, postgres: Postgres | None) -> None:
        self.folder, self.world, self.redis, self.postgres = folder, world, redis, postgres
        self.away: dict[str, float] = {}  # servers that must not be started before a time
        self.longest_pause = LONGEST_PAUSE
        self.database_url = postgres.url if postgres else f"sqlite:///{folder / 'newsmill.sqlite'}"
        self.requests = folder / "requests.log"
        site = [str(world.port), str(world.sites), str(world.pages), str(world.poison), world.kinds, str(self.requests)]
        self.site = Role("site", ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "chaos.site", *site])
        self.roles: dict[str, Role] = {}

    def __enter__(self) -> Self:
        self._start(self.site)
        deadline = time.monotonic() + 30
        while not _listens(self.world) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.prepare()
        self.tend()
        return self

    @abstractmethod
    def prepare(self) -> None:
        """Prepare the world before the first process starts."""

    @abstractmethod
    def environ(self) -> dict[str, str]:
        """The environment of every process."""

    def ended_well(self, role: Role) -> bool:
        """Whether a process is not to be started again."""
        return False

    @abstractmethod
    def processes(self, target: str) -> list[int]:
        """Ids of the processes that a strike at `target` may kill."""

    def __exit__(self, *_: object) -> None:
        for role in (*self.roles.values(), self.site):
            if role.process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(role.process.pid, signal.SIGKILL)
                role.process.wait()
                _close(role.process)
        self.redis.process.kill()
        self.redis.process.wait()
        if self.postgres:
            self.postgres.stop()

    # ---- keeping it alive

    def tend(self) -> None:
        """Look once: start what is due to start."""
        now = time.monotonic()
        for name, server in (("redis", self.redis), ("database", self.postgres)):
            if server is not None and server.process.poll() is not None and now >= self.away.get(name, 0.0):
                server.start()
        for role in self.roles.values():
            if self.ended_well(role):
                continue
            if role.process is not None and role.process.poll() is not None:
                role.pause = FIRST_PAUSE if now - role.started > STEADY else min(self.longest_pause, role.pause * 2)
                _close(role.process)
                role.process, role.start_at = None, now + role.pause
            if role.process is None and now >= role.start_at:
                self._start(role)

    def _start(self, role: Role) -> None:
        with (self.folder / f"{role.name}.log").open("ab") as log:
            options = {"stdout": log, "stderr": log, "stdin": subprocess.PIPE, "start_new_session": True, "cwd": self.folder}
            role.process = subprocess.Popen(role.command, env=self.environ(), **options)  # type: ignore[call-overload]
        role.started = time.monotonic()
        role.starts += 1

    def running(self, role: str) -> list[int]:
        """Processes of a role, by name."""
        found = [(name, other.process) for name, other in sorted(self.roles.items()) if name.partition("-")[0] == role]
        return [process.pid for _, process in found if process is not None and process.poll() is None]

    def starts(self) -> Counter[str]:
        """How often each role was started, all workers together."""
        starts: Counter[str] = Counter()
        for name, role in self.roles.items():
            starts[name.partition("-")[0]] += role.starts
        return starts

    def cpu_seconds(self) -> float:
        """What Newsmill's processes that live now have used; a process that was killed took its count with it."""
        return cpu_seconds([role.process.pid for role in self.roles.values() if role.process is not None])

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")) if path != self.requests)


class Installation(Roles):
    """Newsmill's."""

    def __init__(self, folder: Path, world: World, plan: Plan) -> None:
        super().__init__(folder, world, Redis(folder / "redis"), Postgres(folder / "postgres") if plan.database == "postgres" else None)
        self.plan = plan
        self.longest_pause = plan.longest_pause
        self.engine = database.connect(self.database_url)
        schema_version.upgrade(self.engine)
        self.ledger, self.documents = Ledger(self.engine), Documents(self.engine)
        self.archive = Archive(str(folder / "archive"))
        several = [
            f"{role}-{number + 1}" for role, count in (("crawler", plan.crawlers), ("worker", plan.workers)) for number in range(count)
        ]
        names = ["scheduler", "web", *several]
        self.roles = {name: Role(name, self._command(name.partition("-")[0])) for name in names}

    def prepare(self) -> None:
        politeness = Politeness(self.plan.delay, self.plan.concurrency)
        for number, home in enumerate(self.world.homes()):
            source = Source(f"site-{number}", sitemaps=(f"{home}/sitemap.xml",), every=timedelta(days=1), politeness=politeness)
            self.ledger.sources.put(source, now=datetime.now(UTC))

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.engine.dispose()

    def processes(self, target: str) -> list[int]:
        """A crawler's child parses listings. A worker's children are its fork server and resource tracker; the fork server's read pages."""
        if target in ("worker", "crawler", "scheduler", "web"):
            return self.running(target)
        first = [pid for parent in self.running("crawler" if target == "parser" else "worker") for pid in children(parent)]
        if target == "parser":
            return [pid for pid in first if b"newsmill.sandbox.child" in _words(pid)]
        servers = [pid for pid in first if b"forkserver" in _words(pid)]
        if target == "forkserver":
            return servers
        return [pid for server in servers for pid in children(server)]

    def environ(self) -> dict[str, str]:
        ours = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis.url, "ARCHIVE_URL": str(self.folder / "archive")}
        ours |= {"NEWSMILL_DATA": str(self.folder), "NEWSMILL_ALLOW_NETS": "127.0.0.0/8", "NEWSMILL_CONTACT": "chaos@localhost"}
        ours |= {"NEWSMILL_WEB": "127.0.0.1:0"}
        ours |= {"NEWSMILL_HIGH_WATER": str(self.plan.high_water), "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        return {name: value for name, value in os.environ.items() if not name.startswith("NEWSMILL_")} | ours

    def _command(self, role: str) -> list[str]:
        """The `newsmill` command, or `chaos.role` for what has no setting."""
        plan = self.plan
        options: dict[str, Any] = {}
        if plan.lease is not None and role != "web":
            options |= {"interval": 1.0} if role == "scheduler" else {"lease_seconds": plan.lease}
        if role == "worker" and plan.reader is not None:
            options |= {"reader": plan.reader, "limits": dict(plan.limits)}
        if not options:
            return [sys.executable, "-m", "newsmill.cli.main", role, "--supervised"]
        return [sys.executable, "-m", "chaos.role", role, json.dumps(options)]


def cpu_seconds(sessions: Sequence[int]) -> float:
    """CPU time of all processes in these sessions, and of their children that have ended and were waited for. By /proc."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, words[11:15])) if int(words[3]) in sessions else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Direct children, by /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return sorted(found)


def _words(pid: int) -> bytes:
    """The command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _close(process: subprocess.Popen[bytes]) -> None:
    """The pipe on standard input, by which a process knows that we live."""
    if process.stdin is not None:
        process.stdin.close()


def _listens(world: World) -> bool:
    for number in range(world.sites):
        try:
            socket.create_connection((f"127.0.0.{2 + number}", world.port), 1).close()
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port: int = probe.getsockname()[1]
        return port

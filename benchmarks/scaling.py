"""Scaling with the number of processes. Teams of workers and crawlers run one after the other on one real Redis and one real Postgres.

    python benchmarks/scaling.py --sites 4 --pages 150 [--teams 0:1,0:2,1:1,2:1,4:1,2:2,4:2] [--json FILE]

A team is WORKERS:CRAWLERS; each gets a new database and crawls the same local world, everything durable (fsync is on). A page counts
when it is stored, or, without workers, when it is archived. The measured period is the middle of each run, from a tenth of the articles
to nine tenths. It excludes start-up and the last segments:

* pages per wall second, and the possible number on the available cores at the CPU cost of the first team of its kind. The available
  cores are those of the machine without the CPU of other processes (/proc/stat);
* lock waits: pg_stat_activity is sampled twenty times a second; lost time is the number of sessions that wait for a lock, times the
  interval;
* Redis: commands and reads of a socket (INFO), a read being about a round trip; SQL: calls in pg_stat_statements without BEGIN and COMMIT.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import measure
import psycopg
import redis
import systems
import world as worlds

from newsmill.model import Politeness, Source
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.storage import database
from newsmill.storage.ledger import Ledger
from newsmill.storage.processes import list_live_processes

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests")]

import services  # noqa: E402  the Postgres of the tests

FIRST, LAST = 0.1, 0.9  # shares of the articles that limit the middle of a run
LOOK_EVERY = 0.05  # seconds between two samples of pg_stat_activity
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "shared_preload_libraries": "pg_stat_statements",
    "log_lock_waits": "on",
    "deadlock_timeout": "100ms",  # the log has a line for each wait of this duration
}
ARCHIVED, STORED = "SELECT coalesce(sum(pages), 0) FROM segments", "SELECT count(*) FROM documents"
ACTIVE = "SELECT wait_event_type, count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' GROUP BY 1"
CALLS = """SELECT sum(calls) FROM pg_stat_statements JOIN pg_database ON oid = dbid
           WHERE datname = %s AND query NOT IN ('BEGIN', 'COMMIT', 'ROLLBACK')"""
COMMITS = "SELECT xact_commit, deadlocks FROM pg_stat_database WHERE datname = %s"


@dataclass(frozen=True, slots=True)
class Look:
    """The values of all counters at one moment. CPU and times in seconds."""

    at: float
    pages: int
    cpu: Mapping[str, float]
    machine: float  # CPU of all processes of the machine
    commands: int
    reads: int
    calls: int
    commits: int
    deadlocks: int
    waits: Mapping[str, int]  # waiting sessions, summed over the samples


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the run of one team."""

    workers: int
    crawlers: int
    pages: int
    pages_per_second: float
    cpu_ms_per_page: float
    cores_used: float
    cores_at_hand: float
    cpu_ms_by_kind: Mapping[str, float]
    redis_commands_per_page: float
    redis_reads_per_page: float
    sql_per_page: float
    commits_per_page: float
    lock_wait_ms_per_page: float
    other_wait_ms_per_page: Mapping[str, float]
    deadlocks: int


def main() -> int:
    options = arguments()
    worlds.check_nginx()
    measure.end_cleanly()
    measure.adopt_orphans()  # nginx is a daemon, and its CPU counts too
    teams = [tuple(map(int, team.split(":"))) for team in options.teams.split(",")]
    with tempfile.TemporaryDirectory(prefix="newsmill-scaling-") as root, services.postgres(DURABLE) as server:
        with worlds.serve(Path(root) / "world", options.port, options.sites, options.pages) as world:
            found = []
            for workers, crawlers in teams:
                found.append(run(workers, crawlers, world, server, Path(root), options.limit))
                if options.json:
                    options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
        log = (Path(server.partition("host=")[2]) / "log").read_text(errors="replace")
        print(table(found))
        long = log.count("still waiting for")
        print(f"\nwaits for a lock of more than {DURABLE['deadlock_timeout']}: {long}; load {os.getloadavg()[0]:.1f}", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--pages", type=int, default=150, help="articles per site")
    parser.add_argument("--teams", default="0:1,0:2,1:1,2:1,4:1,2:2,4:2", help="WORKERS:CRAWLERS, with commas (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=300, help="seconds that a team may take: then it is measured up to there")
    parser.add_argument("--port", type=int, default=8098)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


# ---- a run -----------------------------------------------------------------------------------------------------------------------


def run(workers: int, crawlers: int, world: worlds.World, server: str, root: Path, limit: float) -> Figures:
    """Run one team over the world, for at most `limit` seconds."""
    url = services.make_database(server, f"team_{workers}_{crawlers}")
    folder = root / f"{workers}-{crawlers}"
    engine = database.connect(url)
    database.upgrade(engine)
    ledger = Ledger(engine)
    for page in world.homepages:
        ledger.put_source(Source(page, page, every=timedelta(days=1), politeness=Politeness(0, 4)), now=datetime.now(UTC))
    with EmbeddedRedis(folder) as queue, Watch(server, url, queue.url, ARCHIVED if not workers else STORED) as watch:
        env = systems.environment(folder) | {"DATABASE_URL": url, "REDIS_URL": queue.url, "NEWSMILL_HIGH_WATER": "100000"}
        with started([*["worker"] * workers, "scheduler"], env, folder):
            while len(list_live_processes(engine, now=datetime.now(UTC))) < workers + 1:
                time.sleep(0.2)
            with started(["crawler"] * crawlers, env, folder):
                first = watch.when(world.articles * FIRST, time.monotonic() + limit)
                last = watch.when(world.articles * LAST, time.monotonic() + limit)
    engine.dispose()
    found = figures(workers, crawlers, first, last)
    print(
        f"{workers} workers, {crawlers} crawlers: {found.pages_per_second} pages/s, {found.cpu_ms_per_page} CPU ms",
        file=sys.stderr,
        flush=True,
    )
    return found


@contextmanager
def started(roles: list[str], env: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Run processes of Newsmill until the block ends."""
    with (folder / "log").open("ab") as log:
        processes = [subprocess.Popen([*systems.COMMAND, role], env=env, stdout=log, stderr=log) for role in roles]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


class Watch:
    """Samples all counters while a team works."""

    def __init__(self, server: str, team: str, queue: str, done: str) -> None:
        self.done = done
        self.server, self.team = psycopg.connect(server, autocommit=True), psycopg.connect(team, autocommit=True)
        self.name = self.team.info.dbname
        self.server.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.redis = redis.Redis.from_url(queue)
        self.waits: Counter[str] = Counter()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, args=(psycopg.connect(server, autocommit=True),), daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()
        self.server.close()
        self.team.close()
        self.redis.close()

    def _watch(self, connection: psycopg.Connection) -> None:
        with connection:
            while not self.stopped.wait(LOOK_EVERY):
                for kind, count in connection.execute(ACTIVE, [self.name]):
                    self.waits[kind or "running"] += count

    def when(self, pages: float, deadline: float) -> Look:
        """Return the counters when that many pages are done, or at the deadline."""
        while (done := self._one(self.team, self.done)) < pages and time.monotonic() < deadline:
            time.sleep(0.5)
        stats = self.redis.info("stats")
        commits, deadlocks = self.server.execute(COMMITS, [self.name]).fetchone() or (0, 0)
        return Look(
            time.monotonic(),
            done,
            measure.cpu_by_kind(os.getpid()),
            busy(),
            int(stats["total_commands_processed"]),
            int(stats["total_reads_processed"]),
            int(self._one(self.server, CALLS, [self.name])),
            commits,
            deadlocks,
            Counter(self.waits),
        )

    @staticmethod
    def _one(connection: psycopg.Connection, query: str, values: list[str] | None = None) -> int:
        row = connection.execute(query, values).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])


def busy() -> float:
    """Return the CPU seconds of the machine since its start, without idle time and disk waits (proc(5), /proc/stat)."""
    user, nice, system, _idle, _wait, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(rest)) / measure.TICK


# ---- figures ---------------------------------------------------------------------------------------------------------------------


def figures(workers: int, crawlers: int, first: Look, last: Look) -> Figures:
    """Return the figures between two samples."""
    wall, pages = last.at - first.at, max(1, last.pages - first.pages)
    cpu = Counter(last.cpu)
    cpu.subtract(first.cpu)
    ours = sum(cpu.values())
    waits = {kind: (count - first.waits.get(kind, 0)) * LOOK_EVERY * 1000 / pages for kind, count in last.waits.items()}
    return Figures(
        workers,
        crawlers,
        pages,
        round(pages / wall, 1),
        round((ours - cpu["nginx"]) / pages * 1000, 1),
        round(ours / wall, 2),
        round(max(0.0, (os.cpu_count() or 1) - (last.machine - first.machine - ours) / wall), 2),
        {kind: round(seconds / pages * 1000, 2) for kind, seconds in cpu.most_common()},
        round((last.commands - first.commands) / pages, 2),
        round((last.reads - first.reads) / pages, 2),
        round((last.calls - first.calls) / pages, 1),
        round((last.commits - first.commits) / pages, 1),
        round(waits.pop("Lock", 0.0), 2),
        {kind: round(ms, 2) for kind, ms in waits.items()},
        last.deadlocks - first.deadlocks,
    )


def table(rows: list[Figures]) -> str:
    """Return a table for a terminal and for README.md."""
    lines = [
        "| workers, crawlers | pages/s | CPU ms per page | cores used, available | share of the ideal | Redis commands, reads per page "
        "| SQL, commits per page | lock wait ms per page | CPU share |",
        "|---" * 9 + "|",
    ]
    for row in rows:
        price = next(one.cpu_ms_per_page for one in rows if bool(one.workers) == bool(row.workers))
        ideal = row.cores_at_hand * 1000 / price
        whole = sum(row.cpu_ms_by_kind.values())
        share = ", ".join(f"{kind} {ms / whole:.0%}" for kind, ms in row.cpu_ms_by_kind.items() if ms / whole >= 0.005)
        lines.append(
            f"| {row.workers}, {row.crawlers} | {row.pages_per_second} | {row.cpu_ms_per_page} | {row.cores_used}, {row.cores_at_hand} "
            f"| {row.pages_per_second / ideal:.2f} | {row.redis_commands_per_page}, {row.redis_reads_per_page} "
            f"| {row.sql_per_page}, {row.commits_per_page} | {row.lock_wait_ms_per_page} | {share} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

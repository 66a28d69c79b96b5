"""The same faults on a plain Scrapy + RQ pipeline (tests/rq_plain.py): what it loses, doubles or never resumes."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry

from chaos.installation import TESTS, Role, Roles, children
from chaos.killer import Intent, Killer
from chaos.results import RunResult, back_to_progress, spread
from chaos.servers import Redis
from chaos.site import World, requests

MAX_IDLE_SECONDS = 150.0  # seconds without a new row after which the rest counts as pending; RQ's own maintenance comes every ten minutes
RDB = ["--appendonly", "no", "--save", "3600", "1", "300", "100", "60", "10000"]  # Debian's defaults


class Plain(Roles):
    """Spider, workers and Redis."""

    def __init__(self, folder: Path, world: World, workers: int) -> None:
        self.redis = Redis(folder / "redis", RDB)
        super().__init__(folder, world, self.redis, None)
        program = [sys.executable, str(TESTS / "rq_plain.py")]
        sitemaps = [f"{home}/sitemap.xml" for home in world.homes()]
        self.roles = {"crawler": Role("crawler", [*program, "spider", str(folder), self.redis.url, *sitemaps])}
        for number in range(1, workers + 1):
            self.roles[f"worker-{number}"] = Role(f"worker-{number}", [*program, "worker", str(folder), self.redis.url])

    def prepare(self) -> None:
        """Nothing: the spider gets everything on its command line."""

    def environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(TESTS)}

    def ended_well(self, role: Role) -> bool:
        """The spider ends when it believes that it has seen everything."""
        return role.name == "crawler" and role.process is not None and role.process.poll() == 0

    def processes(self, target: str) -> list[int]:
        if target == "child":  # the work horse
            return [pid for parent in self.running("worker") for pid in children(parent)]
        return self.running(target)

    def urls(self) -> Counter[str]:
        try:
            with sqlite3.connect(f"file:{self.folder / 'plain.sqlite'}?mode=ro", uri=True) as database:
                found = Counter(url for (url,) in database.execute("SELECT url FROM documents"))
            database.close()
        except sqlite3.OperationalError:  # nobody has stored anything yet
            return Counter()
        return found

    def in_redis(self) -> dict[str, str]:
        """Every article that still has a job, with where it is."""
        with self.redis.client() as client:
            queue = Queue("pages", connection=client)
            places = {"queued": queue.get_job_ids(), "failed": FailedJobRegistry(queue=queue).get_job_ids()}
            places["started"] = StartedJobRegistry(queue=queue).get_job_ids(cleanup=False)
            where = {job_id: place for place, ids in places.items() for job_id in ids}
            ids = [key.decode().rpartition(":")[2] for key in client.scan_iter("rq:job:*") if key.count(b":") == 2]
            jobs = Job.fetch_many(ids, connection=client)
            return {job.args[0]: where.get(job.id, "nowhere") for job in jobs if job is not None}


def baseline(world: World, workers: int, intents: Sequence[Intent], *, hold: float, say: Callable[[str], None]) -> list[str]:
    """Run it; what there is to say."""
    with (
        tempfile.TemporaryDirectory(prefix="nm-plain-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        Plain(Path(folder), world, workers) as installation,
    ):
        killer, began = Killer(installation, intents, hold), time.monotonic()
        stored, moved, reported = [(began, 0)], began, began
        while time.monotonic() - moved < MAX_IDLE_SECONDS and not (stored[-1][1] >= world.pages and not killer.busy):
            installation.tend()
            found = len(installation.urls())
            if found != stored[-1][1]:
                stored.append((moved := time.monotonic(), found))
            killer.look(found)
            if time.monotonic() - reported > 30:
                reported = time.monotonic()
                say(f"{found} of {world.pages} stored, {len(killer.strikes)} strikes")
            time.sleep(0.2)
        result = check_run(installation)
        struck = Counter(strike.target for strike in killer.strikes)
        waits = back_to_progress(killer.strikes, stored)
    kinds = ", ".join(f"{target} {n}" for target, n in sorted(struck.items()))
    return [f"{struck.total()} strikes ({kinds}); {time.monotonic() - began:.0f} s", *result.lines(), f"back to progress: {spread(waits)}"]


def check_run(installation: Plain) -> RunResult:
    """Stored, doubled, still somewhere in Redis, or lost."""
    found, waiting = installation.urls(), installation.in_redis()
    result = RunResult(installation.world.pages, stored=len(found))
    result.duplicates = [f"{url} is {n} rows" for url, n in found.items() if n > 1]
    for url in installation.world.urls:
        if url in found:
            continue
        if url in waiting:
            result.pending.append(f"{url} is {waiting[url]}")
        else:
            result.lost.append(f"{url} has neither row nor job")
    request_counts = requests(installation.requests)
    result.requests, result.repeated = request_counts.total(), request_counts.total() - len(request_counts)
    return result

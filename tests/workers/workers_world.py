"""A database, an archive, an embedded Redis, and pages in them that wait to be extracted."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forked_process import ForkedProcess

from newsmill.archive.archive import Archive
from newsmill.context import AppContext, open_context
from newsmill.intake import reextraction_pass
from newsmill.model import Link, Page, PassOptions
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.queue.queue import Queue, connect_redis
from newsmill.sandbox import pages
from newsmill.sandbox.child import Limits
from newsmill.settings import load
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Fetched, Ledger
from newsmill.storage.reextractions import Reextractions
from newsmill.text import urls
from workers import deferred_reader, scheduler, worker

TESTS = Path(__file__).resolve().parents[1]


def run_role(options: dict[str, Any]) -> int:
    """A worker, a scheduler or a pass with the readers of tests/poison.py. `options`: the role, and keyword arguments of its `run`."""
    logging.basicConfig(level="INFO", format="%(name)s %(message)s")
    pages.PRELOAD_MODULE = "poison"  # in place of a second of CPU for what poison's readers do not use
    role = options.pop("role")
    with open_context(load()) as context:
        if role == "worker":
            deferred_reader.WALL_FACTOR, deferred_reader.POLL_SECONDS, deferred_reader.NICE = 1, 1.0, 0  # the machine may be busy
            worker.MAINTENANCE_SECONDS, worker.WORKER_TTL_SECONDS = 3, 18  # a test waits for maintenance, which 30 and 45 have every 30 s
            limits = Limits(**options.pop("limits"))
            return worker.run(context, limits=limits, reader="poison:obey", **options)
        if role == "reextraction":
            reextraction_pass.DOCUMENTS_PER_COMMIT = 1  # a test kills it between two commits
            for _ in reextraction_pass.run_pass(context, Reextractions(context.engine).begin(PassOptions(), now=context.now()), time.sleep):
                pass
            return 0
        return scheduler.run(context, **options)


@dataclass
class WorkersWorld:
    """What the tests of workers/ use. Times are real; leases and limits are short. `environ`: the settings of its processes."""

    data: Path
    environ: dict[str, str]
    app: AppContext
    redis: EmbeddedRedis
    processes: list[ForkedProcess] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return self.app.ledger

    @property
    def documents(self) -> Documents:
        return self.app.documents

    @property
    def archive(self) -> Archive:
        return self.app.archive

    @property
    def queue(self) -> Queue:
        return Queue(connect_redis(self.redis.url))

    def fetch(self, bodies: Sequence[str], *, host: str = "news.example", now: datetime | None = None) -> str:
        """Do the crawler's work for pages with these bodies: archive them as pending. The segment's id."""
        return self.fetch_all({f"https://{host}/{number}-{body.split()[0]}": body for number, body in enumerate(bodies)}, now=now)

    def fetch_all(self, bodies: Mapping[str, str], *, now: datetime | None = None, source: str | None = None) -> str:
        """The same for pages of one host, by URL."""
        now = now or datetime.now(UTC)
        page_urls, host = list(bodies), urls.get_host(next(iter(bodies)))
        self.ledger.links.add([Link(url, source=source) for url in page_urls], now=now)
        self.ledger.hosts.lease("crawler", limit=100, seconds=60, now=now)
        leased = {row.url: row for row in self.ledger.url_leases.lease(host, "crawler", limit=1000, seconds=60, now=now)}
        headers = (("Content-Type", "text/html"),)
        fetched = [Page(url, url, now, 200, headers, body.encode()) for url, body in bodies.items()]
        segment = self.archive.write(fetched, now=now)
        rows = [
            Fetched(leased[url].id, leased[url].fence, offset, url, 200) for url, offset in zip(page_urls, segment.offsets, strict=True)
        ]
        assert self.ledger.url_leases.save_segment(segment, rows, now=now) == len(rows)
        self.ledger.hosts.release(host, "crawler", now=now)
        return segment.id

    def start(self, role: str, *, redis_url: str | None = None, **options: Any) -> ForkedProcess:
        """A worker or scheduler process with these keyword arguments of `run`."""
        if role == "worker":
            options = {"lease_seconds": 3.0, "limits": {"wall": 5.0}} | options
        environ = {**os.environ, **self.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        if redis_url is not None:
            environ["REDIS_URL"] = redis_url
        log = self.data / f"{role}-{len(self.processes)}.log"
        process = ForkedProcess(run_role, {"role": role, **options}, environ=environ, log=log)
        self.processes.append(process)
        return process

    def segment_files(self) -> list[Path]:
        return sorted((self.data / "archive").rglob("*.warc.gz"))

    def outcomes(self) -> Counter[str]:
        """How many pages have each outcome, from the counters."""
        return Counter({str(outcome): n for outcome, n in self.ledger.progress.count().outcomes.items() if n})

    def stored(self) -> Counter[str]:
        """How many documents each URL has."""
        return Counter(document.url for document in self.documents.iterate())


def descendants(pid: int) -> set[int]:
    """All descendants of a process, by /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    generation, processes = {pid}, set[int]()
    while generation := {child for child, parent in parents.items() if parent in generation}:
        processes |= generation
    return processes

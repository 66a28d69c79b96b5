"""A small works: a database, an archive, a private Redis, and pages in them that wait to be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from newsmill import urls
from newsmill.archive.archive import Archive
from newsmill.model import Link, Page
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.queue.queue import Queue, connect_redis
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Fetched, Ledger

TESTS = Path(__file__).resolve().parents[1]

# A worker or a scheduler as its own process, with the readers of tests/poison.py.
ROLE = """
import json, logging, sys
from pathlib import Path
from workers import scheduler, worker
from newsmill.sandbox.parent import Limits
if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s")
    role, values = sys.argv[1], json.loads(sys.argv[2])
    values["data"] = Path(values["data"])
    if role == "worker":
        limits = Limits(**values.pop("limits"))
        sys.exit(worker.run(worker.WorkerConfig(limits=limits, reader="poison:obey", **values)))
    sys.exit(scheduler.run(scheduler.SchedulerConfig(**values)))
"""


@dataclass
class Works:
    """What the tests of this room work with. Times are real; leases and limits are short."""

    data: Path
    database_url: str
    ledger: Ledger
    documents: Documents
    archive: Archive
    redis: EmbeddedRedis
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def queue(self) -> Queue:
        return Queue(connect_redis(self.redis.url))

    def fetch(self, bodies: Sequence[str], *, host: str = "news.example", now: datetime | None = None) -> str:
        """Do the crawler's part for pages with these bodies: they lie in the archive, and the ledger owes them. The segment's id."""
        return self.fetch_all({f"https://{host}/{number}-{body.split()[0]}": body for number, body in enumerate(bodies)}, now=now)

    def fetch_all(self, bodies: Mapping[str, str], *, now: datetime | None = None) -> str:
        """The same for pages of one host with these addresses."""
        now = now or datetime.now(UTC)
        addresses, host = list(bodies), urls.get_host(next(iter(bodies)))
        self.ledger.add([Link(address) for address in addresses], now=now)
        self.ledger.lease_hosts("crawler", limit=100, seconds=60, now=now)
        owed = {row.url: row for row in self.ledger.lease_urls(host, "crawler", limit=1000, seconds=60, now=now)}
        headers = (("Content-Type", "text/html"),)
        pages = [Page(url, url, now, 200, headers, body.encode()) for url, body in bodies.items()]
        segment = self.archive.write(pages, now=now)
        rows = [Fetched(owed[url].id, owed[url].fence, offset, url, 200) for url, offset in zip(addresses, segment.offsets, strict=True)]
        assert self.ledger.save_segment(segment, rows, now=now) == len(rows)
        self.ledger.release_host(host, "crawler", now=now)
        return segment.id

    def start(self, role: str, **values: Any) -> subprocess.Popen[bytes]:
        """A worker or scheduler process; its log goes to the test's output."""
        values = {"database_url": self.database_url, "archive_url": str(self.data / "archive"), "data": str(self.data)} | values
        if role == "worker":
            values = {"lease": 3.0, "limits": {"wall": 5.0}} | values
        environ = {**os.environ, "PYTHONPATH": str(TESTS)}
        process = subprocess.Popen([sys.executable, "-c", ROLE, role, json.dumps(values)], env=environ)
        self.processes.append(process)
        return process

    def segment_files(self) -> list[Path]:
        return sorted((self.data / "archive").rglob("*.warc.gz"))

    def outcomes(self) -> Counter[str]:
        """How the pages ended, from the counters."""
        return Counter({str(outcome): n for outcome, n in self.ledger.progress().outcomes.items() if n})

    def stored(self) -> Counter[str]:
        """How often each address is a document."""
        return Counter(document.url for document in self.documents.iterate())


def eventually(condition: Callable[[], bool], seconds: float = 90) -> bool:
    """Whether the condition holds within that time."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descendants(pid: int) -> set[int]:
    """All processes below one, by /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    below, found = {pid}, set[int]()
    while below := {child for child, parent in parents.items() if parent in below}:
        found |= below
    return found

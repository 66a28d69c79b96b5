"""Helpers of crawling.py: hosts with pages and feeds on loopback, a new store, processes of Newsmill, and their cost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import measure
from sqlalchemy import func, insert, select

from newsmill import urls
from newsmill.model import Kind
from newsmill.storage import database
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import ledger as rows

WORDS = 9000  # words of a page: about 60 KB of HTML, the median of real article pages

NGINX = """
worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log crit;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi; types {{ text/html html; application/rss+xml xml; }}
gzip on; gzip_types application/rss+xml; gzip_comp_level 5; etag on; keepalive_timeout 75;
server {{ listen 0.0.0.0:{port} backlog=4096; root {root}/www; }} }}
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of the crawler's process so far, and its peak resident memory in MB."""

    cpu: float
    peak_mb: float


def make_host(number: int) -> str:
    """Return the host with this number: every IP address of 127.0.0.0/8 is this machine."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


@contextmanager
def served(root: Path, port: int) -> Iterator[None]:
    """Serve pages /a/0.html … /a/99.html and two feeds on every host."""
    words = [f"{a}{b}{c}" for a in "bdfgklmnprstvw" for b in "aeiou" for c in ("", "n", "r", "s", "ling", "ten")]
    (root / "www" / "a").mkdir(parents=True)
    for number in range(100):
        draw = random.Random(number)
        text = "".join(f"<p>{' '.join(draw.choices(words, k=90))}.</p>\n" for _ in range(WORDS // 90))
        (root / "www" / "a" / f"{number}.html").write_text(f"<!doctype html><title>Page {number}</title><article>{text}</article>")
    for name in ("feed", "live"):
        write_feed(root / "www" / f"{name}.xml", 1)
    (root / "nginx.conf").write_text(NGINX.format(root=root, port=port))
    root.chmod(0o755)  # the worker of nginx runs as another user
    nginx = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")])
    try:
        yield
    finally:
        nginx.terminate()
        nginx.wait()


def write_feed(path: Path, count: int) -> None:
    """Write a feed of `count` items."""
    items = "".join(f"<item><title>Item {n}</title><link>/a/{n % 100}.html</link></item>" for n in range(count))
    path.write_text(f'<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>{items}</channel></rss>')


def write_sitemaps(root: Path, hosts: int, port: int, known: int, new: int) -> None:
    """Write a sitemap for each host with `known` URLs of `fill` and `new` others."""
    folder = root / "www" / "maps"
    folder.mkdir(exist_ok=True)
    for number in range(hosts):
        paths = [f"/old/{n}.html" for n in range(known)] + [f"/a/{n}.html" for n in range(new)]
        places = "".join(f"<url><loc>http://{make_host(number)}:{port}{path}</loc></url>" for path in paths)
        sitemap = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{places}</urlset>'
        (folder / f"{make_host(number)}.xml").write_text(sitemap)


@contextmanager
def open_crawler_store(folder: Path, filled: Path | None = None) -> Iterator[tuple[dict[str, str], Ledger]]:
    """Yield the environment of the processes and the ledger of a new embedded Newsmill, optionally with a copy of the database `filled`."""
    with tempfile.TemporaryDirectory(prefix="nm-", dir=folder) as data:
        env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL")}
        env |= {"NEWSMILL_DATA": data, "NEWSMILL_ALLOW_NETS": "127.0.0.0/8", "NEWSMILL_CONTACT": "benchmark@localhost"}
        env |= {"NEWSMILL_HIGH_WATER": "1000000", "NEWSMILL_LEARN": "false", "LOG_LEVEL": "WARNING"}
        if filled is not None:
            shutil.copy(filled, f"{data}/newsmill.sqlite")
        engine = database.connect(f"sqlite:///{data}/newsmill.sqlite")
        database.upgrade(engine)
        try:
            yield env, Ledger(engine)
        finally:
            engine.dispose()


@contextmanager
def running(env: dict[str, str], folder: Path, role: str) -> Iterator[int]:
    """Run a process of Newsmill and yield its pid."""
    with (folder / f"{role}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "newsmill.cli.main", role], env=env, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def fill(ledger: Ledger, first: int, count: int, hosts: int, port: int) -> None:
    """Add URLs that finished long ago, from number `first` to `count`, alternating between hosts: /old/0.html, /old/1.html and so on."""
    at = now() - timedelta(days=30)
    ended = {"state": "done", "outcome": "stored", "kind": "page", "found_by": "feed", "first_seen_at": at, "next_at": at, "ended_at": at}
    for start in range(first, count, 20_000):
        batch = []
        for number in range(start, min(start + 20_000, count)):
            host = f"{make_host(number % hosts)}:{port}"
            url = f"http://{host}/old/{number // hosts}.html"
            batch.append({"url_key": urls.make_key(url), "url": url, "host": host, **ended})
        batch.sort(key=lambda row: row["url_key"])
        with database.writing(ledger._engine) as conn:
            conn.exec_driver_sql("PRAGMA cache_size=-300000")  # kB; keys are hashes, and the filling is not measured
            conn.execute(insert(rows), batch)


def fetched(ledger: Ledger) -> int:
    with database.reading(ledger._engine) as conn:
        return conn.execute(select(func.count()).select_from(rows).where(rows.c.state == "fetched")).scalar_one()


def polled(ledger: Ledger) -> Counter[str]:
    """Return the number of feed polls so far, by outcome."""
    rounds: Counter[str] = Counter()
    for row in ledger.outcomes(now().date() - timedelta(days=1)):
        if row.kind is Kind.FEED:
            rounds[row.outcome.value] += row.n
    return rounds


def spent(pid: int) -> Spent:
    """Return the cost of a process and its children so far, without a private Redis that it may have started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM"))
    below = measure.cpu_by_kind(pid)
    below.pop("redis", None)
    return Spent(sum(map(int, fields[11:15])) / measure.TICK + sum(below.values()), round(peak, 1))


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done()` is true. Raise TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {seconds:.0f} s")
        time.sleep(0.5)


def now() -> datetime:
    return datetime.now(UTC)

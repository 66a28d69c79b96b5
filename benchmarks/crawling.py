"""What does the crawler cost by itself? Three questions, each on local servers, answered in CPU seconds of the crawler's process.

    python benchmarks/crawling.py feeds --feeds 1000 --minutes 2     feeds polled once a minute, of which one in fifty has news
    python benchmarks/crawling.py hosts --hosts 200 --pages 20       polite fetching of many hosts at once, beside Scrapy as it comes
    python benchmarks/crawling.py known --rows 1000000               the same with a ledger that knows a million addresses: memory and CPU

nginx serves every host from 127.0.0.0/8 (Debian, Ubuntu: `apt-get install nginx-light`). Start-up is taken off by measuring a short and
a long run. The scheduler runs beside the crawler for the feeds; no worker runs, so that what is measured is finding and fetching alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
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
import world as worlds
from sqlalchemy import func, insert, select

from newsmill.find import urls
from newsmill.keep import database
from newsmill.keep.ledger import Ledger
from newsmill.keep.tables import ledger as rows
from newsmill.model import Kind, Link, Politeness, Source

HERE = Path(__file__).resolve().parent
LIVE_EVERY = 50  # one feed in so many has news
WORDS = 9000  # of a page: about 60 KB of HTML, the median of real article pages (shared data, PERF.md)

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


def main() -> int:
    asked = arguments()
    worlds.check_nginx()
    with tempfile.TemporaryDirectory(prefix="newsmill-crawling-") as folder, served(Path(folder), asked.port):
        figures = {"feeds": feeds, "hosts": hosts, "known": known}[asked.question](asked, Path(folder))
    print(json.dumps(figures, indent=1))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("feeds", "hosts", "known"))
    parser.add_argument("--feeds", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=2, help="how long feeds are polled after the first round")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--pages", type=int, default=20, help="pages of each host")
    parser.add_argument("--delay", type=float, default=0.5, help="seconds between two requests to a host")
    parser.add_argument("--rows", type=int, default=1_000_000, help="addresses the ledger knows already")
    parser.add_argument("--port", type=int, default=8093)
    return parser.parse_args()


# ---- the three questions ---------------------------------------------------------------------------------------------------


def feeds(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Poll feeds every minute, one in fifty with one new article each time; start-up and the first round (whole bodies) left out."""
    with stack(folder) as (env, ledger):
        for number in range(asked.feeds):
            name = "live" if number % LIVE_EVERY == 0 else "feed"
            feed = f"http://{address(number)}:{asked.port}/{name}.xml"
            ledger.put_source(Source(f"s{number}", feeds=(feed,), every=timedelta(minutes=1), discover=False), now=now())
        with running(env, folder, "scheduler") as scheduler, running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= asked.feeds, 300)  # the one article of each
            first, began, before = (spent(crawler), spent(scheduler)), time.monotonic(), polled(ledger)
            for minute in range(asked.minutes):
                write_feed(folder / "www" / "live.xml", minute + 2)
                time.sleep(60)
            last, wall, after = (spent(crawler), spent(scheduler)), time.monotonic() - began, polled(ledger)
    polls = sum(after.values()) - sum(before.values())
    crawling, scheduling = (here.cpu - there.cpu for here, there in zip(last, first, strict=True))
    return {
        "polls a minute": round(polls / wall * 60),
        "of which not modified": round((after["not_modified"] - before["not_modified"]) / polls, 3),
        "crawler, CPU s per 1,000 polls": round(crawling / polls * 1000, 2),
        "scheduler, CPU s per 1,000 polls": round(scheduling / polls * 1000, 2),
        "share of one core": round((crawling + scheduling) / wall, 3),
        "crawler's peak MB": last[0].peak_mb,
    }


def hosts(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Fetch and archive the pages of many hosts politely; the same with Scrapy's own defaults, which keep nothing."""
    few = max(1, asked.pages // 5)
    ours = {pages: fetch(asked, folder, pages) for pages in (few, asked.pages)}
    peer = {pages: scrapy(asked, folder, pages) for pages in (few, asked.pages)}
    more = (asked.pages - few) * asked.hosts / 1000
    mine, theirs = (ours[asked.pages].cpu - ours[few].cpu) / more, (peer[asked.pages].cpu - peer[few].cpu) / more
    return {
        "pages": asked.pages * asked.hosts,
        "newsmill: fetch and archive, CPU s per 1,000": round(mine, 2),
        "scrapy: fetch alone, CPU s per 1,000": round(theirs, 2),
        "ratio": round(mine / theirs, 2),
        "newsmill peak MB": ours[asked.pages].peak_mb,
    }


def known(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The same fetching with an empty ledger and with one that knows many addresses; the latter offered again as well."""
    found: dict[str, object] = {}
    for count in (0, asked.rows):
        few, many = (fetch(asked, folder, pages, known=count) for pages in (max(1, asked.pages // 5), asked.pages))
        more = (asked.pages - max(1, asked.pages // 5)) * asked.hosts / 1000
        found[f"{count:,} known"] = {"CPU s per 1,000": round((many.cpu - few.cpu) / more, 2), "peak MB": many.peak_mb}
    return found


def fetch(asked: argparse.Namespace, folder: Path, pages: int, known: int = 0) -> Spent:
    """What the crawler spends on that many pages of each host."""
    with stack(folder) as (env, ledger):
        fill(ledger, known)
        names = [f"{address(number)}:{asked.port}" for number in range(asked.hosts)]
        for name in names:
            source = Source(name, homepage=None, politeness=Politeness(delay=asked.delay), discover=False, every=timedelta(days=1))
            ledger.put_source(source, now=now())
        ledger.add([Link(f"http://{name}/a/{page}.html", source=name) for page in range(pages) for name in names], now=now())
        with running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= pages * len(names), 600)
            return spent(crawler)


def scrapy(asked: argparse.Namespace, folder: Path, pages: int) -> Spent:
    """What plain Scrapy spends on the same."""
    names = [f"{address(number)}:{asked.port}" for number in range(asked.hosts)]
    command = [sys.executable, str(HERE / "peers" / "scrapy_fetch.py"), str(asked.delay), str(pages), *names]
    cost = measure.run(command, folder / "scrapy.log")
    return Spent(cost.cpu, max(kind.peak_mb for kind in cost.kinds.values()))


# ---- the world -------------------------------------------------------------------------------------------------------------


def address(number: int) -> str:
    """The host of that number: every address of 127.0.0.0/8 is this machine."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


@contextmanager
def served(root: Path, port: int) -> Iterator[None]:
    """Pages /a/0.html … /a/99.html and two feeds, on every host."""
    words = [f"{a}{b}{c}" for a in "bdfgklmnprstvw" for b in "aeiou" for c in ("", "n", "r", "s", "ling", "ten")]
    (root / "www" / "a").mkdir(parents=True)
    for number in range(100):
        draw = random.Random(number)
        text = "".join(f"<p>{' '.join(draw.choices(words, k=90))}.</p>\n" for _ in range(WORDS // 90))
        (root / "www" / "a" / f"{number}.html").write_text(f"<!doctype html><title>Page {number}</title><article>{text}</article>")
    for name in ("feed", "live"):
        write_feed(root / "www" / f"{name}.xml", 1)
    (root / "nginx.conf").write_text(NGINX.format(root=root, port=port))
    root.chmod(0o755)  # nginx's worker is another user
    nginx = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")])
    try:
        yield
    finally:
        nginx.terminate()
        nginx.wait()


def write_feed(path: Path, count: int) -> None:
    """A feed of that many items."""
    items = "".join(f"<item><title>Item {n}</title><link>/a/{n % 100}.html</link></item>" for n in range(count))
    path.write_text(f'<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>{items}</channel></rss>')


@contextmanager
def stack(folder: Path) -> Iterator[tuple[dict[str, str], Ledger]]:
    """A fresh embedded Newsmill: the environment of its processes, and its ledger."""
    with tempfile.TemporaryDirectory(prefix="nm-", dir=folder) as data:
        env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL")}
        env |= {"NEWSMILL_DATA": data, "NEWSMILL_ALLOW_NETS": "127.0.0.0/8", "NEWSMILL_CONTACT": "benchmark@localhost"}
        env |= {"NEWSMILL_HIGH_WATER": "1000000", "NEWSMILL_LEARN": "false", "LOG_LEVEL": "WARNING"}
        engine = database.connect(f"sqlite:///{data}/newsmill.sqlite")
        database.upgrade(engine)
        try:
            yield env, Ledger(engine, urls)
        finally:
            engine.dispose()


@contextmanager
def running(env: dict[str, str], folder: Path, role: str) -> Iterator[int]:
    """A process of Newsmill; its pid."""
    with (folder / f"{role}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "newsmill.cli.main", role], env=env, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def fill(ledger: Ledger, count: int) -> None:
    """That many addresses that ended long ago, of hosts like those that are fetched."""
    at = now() - timedelta(days=30)
    ended = {"state": "done", "outcome": "stored", "kind": "page", "found_by": "feed", "first_seen_at": at, "next_at": at, "ended_at": at}
    for start in range(0, count, 20_000):
        batch = [
            {"url_key": f"{number:032x}", "url": f"http://{address(number % 1000)}/old/{number}", "host": address(number % 1000), **ended}
            for number in range(start, min(start + 20_000, count))
        ]
        with database.writing(ledger._engine) as conn:
            conn.execute(insert(rows), batch)


def fetched(ledger: Ledger) -> int:
    with database.reading(ledger._engine) as conn:
        return conn.execute(select(func.count()).select_from(rows).where(rows.c.state == "fetched")).scalar_one()


def polled(ledger: Ledger) -> Counter[str]:
    """How often feeds were read so far, by what came of it."""
    rounds: Counter[str] = Counter()
    for row in ledger.outcomes(now().date() - timedelta(days=1)):
        if row.kind is Kind.FEED:
            rounds[row.outcome.value] += row.n
    return rounds


def spent(pid: int) -> Spent:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM"))
    own = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    below = sum(cpu_of(child) for child in measure.descendants(pid) if "valkey" not in command_of(child))
    return Spent((own + below) / measure.TICK, round(peak, 1))


def cpu_of(pid: int) -> int:
    """Clock ticks of one process; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for `done()`. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {seconds:.0f} s")
        time.sleep(0.5)


def now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())

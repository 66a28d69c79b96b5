"""CPU cost of the crawler alone, in three scenarios with local servers.

    python benchmarks/crawling.py feeds --feeds 1000 --minutes 2     feeds polled every minute; one in fifty changes
    python benchmarks/crawling.py hosts --hosts 200 --pages 20       polite fetching of many hosts, compared with Scrapy's defaults
    python benchmarks/crawling.py known --hosts 20 --delay 0.1        new pages among a thousand and among a million known ones

nginx serves every host from 127.0.0.0/8 (Debian, Ubuntu: `apt-get install nginx-light`). The result is the difference between a long
and a short run, which excludes start-up. The scheduler runs with the crawler for `feeds`; no worker runs.
"""

from __future__ import annotations

import argparse
import json
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
import world as worlds
from sqlalchemy import func, insert, select

from newsmill.model import Kind, Link, Politeness, Source
from newsmill.storage import database, schema_version
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import ledger as rows
from newsmill.text import urls

HERE = Path(__file__).resolve().parent
FEEDS_PER_LIVE_FEED = 50  # one of them changes
FEW_LISTED, MANY_LISTED = 50, 5_000  # known URLs in the sitemap of a host


def main() -> int:
    options = arguments()
    worlds.check_nginx()
    measure.end_cleanly()
    with tempfile.TemporaryDirectory(prefix="newsmill-crawling-") as folder, served(Path(folder), options.port):
        figures = {"feeds": feeds, "hosts": hosts, "known": known}[options.question](options, Path(folder))
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
    parser.add_argument("--rows", default="1000,100000,1000000", help="URLs that the ledger knows (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8093)
    return parser.parse_args()


def feeds(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Poll feeds every minute; one in fifty has a new article each time. Excludes start-up and the first round with full bodies."""
    with open_crawler_store(folder) as (env, ledger):
        for number in range(options.feeds):
            name = "live" if number % FEEDS_PER_LIVE_FEED == 0 else "feed"
            feed = f"http://{make_host(number)}:{options.port}/{name}.xml"
            ledger.sources.put(Source(f"s{number}", feeds=(feed,), every=timedelta(minutes=1), discover=False), now=now())
        with running(env, folder, "scheduler") as scheduler, running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= options.feeds, 300)  # each has one article
            first, began, before = (spent(crawler), spent(scheduler)), time.monotonic(), polled(ledger)
            for minute in range(options.minutes):
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


def hosts(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Fetch and archive the pages of many hosts politely, and fetch them with Scrapy's defaults, which store nothing."""
    few = max(1, options.pages // 5)
    ours = {pages: fetch(options, folder, pages) for pages in (few, options.pages)}
    peer = {pages: scrapy(options, folder, pages) for pages in (few, options.pages)}
    more = (options.pages - few) * options.hosts / 1000
    mine, theirs = (ours[options.pages].cpu - ours[few].cpu) / more, (peer[options.pages].cpu - peer[few].cpu) / more
    return {
        "pages": options.pages * options.hosts,
        "newsmill: fetch and archive, CPU s per 1,000": round(mine, 2),
        "scrapy: fetch alone, CPU s per 1,000": round(theirs, 2),
        "ratio": round(mine / theirs, 2),
        "newsmill peak MB": ours[options.pages].peak_mb,
    }


def known(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Measure the cost of a new and of a known URL in a sitemap, for a small and a large ledger."""
    found: dict[str, object] = {}
    few, many, filled = options.pages // 5, options.pages, 0
    template = folder / "known.sqlite"
    for count in map(int, options.rows.split(",")):
        engine = database.connect(f"sqlite:///{template}")
        schema_version.upgrade(engine)
        fill(Ledger(engine), filled, count, options.hosts, options.port)
        engine.dispose()  # the last connection writes the log into the file when it closes
        filled = count
        listed = [min(known, count // options.hosts) for known in (FEW_LISTED, MANY_LISTED)]
        little, pages = (read_sitemaps(options, folder, template, listed[0], new) for new in (few, many))
        figures = {"CPU ms per new page": round((pages.cpu - little.cpu) / (many - few) / options.hosts * 1000, 2)}
        if listed[1] > listed[0]:
            links = read_sitemaps(options, folder, template, listed[1], few)
            figures["CPU s per 1,000 known URLs"] = round((links.cpu - little.cpu) / (listed[1] - listed[0]) / options.hosts * 1000, 3)
            pages = max(pages, links, key=lambda spent: spent.peak_mb)
        found[f"{count:,} known"] = figures | {"peak MB": pages.peak_mb, "MB of the database": round(template.stat().st_size / 1e6)}
    return found


def read_sitemaps(options: argparse.Namespace, folder: Path, template: Path, listed: int, new: int) -> Spent:
    """Return the cost of the crawler for one sitemap per host with known and new URLs, and for fetching the new ones."""
    write_sitemaps(folder, options.hosts, options.port, listed, new)
    with open_crawler_store(folder, template) as (env, ledger):
        for name in names(options):
            sitemap = f"http://{name}/maps/{name.partition(':')[0]}.xml"
            source = Source(name, sitemaps=(sitemap,), politeness=Politeness(options.delay), discover=False, every=timedelta(days=1))
            ledger.sources.put(source, now=now())
        with running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= new * options.hosts, 600)
            return spent(crawler)


def names(options: argparse.Namespace) -> list[str]:
    return [f"{make_host(number)}:{options.port}" for number in range(options.hosts)]


def fetch(options: argparse.Namespace, folder: Path, pages: int) -> Spent:
    """Return the cost of the crawler for `pages` pages of each host."""
    with open_crawler_store(folder) as (env, ledger):
        for name in names(options):
            source = Source(name, homepage=None, politeness=Politeness(delay=options.delay), discover=False, every=timedelta(days=1))
            ledger.sources.put(source, now=now())
        ledger.links.add([Link(f"http://{name}/a/{page}.html", source=name) for page in range(pages) for name in names(options)], now=now())
        with running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= pages * options.hosts, 600)
            return spent(crawler)


def scrapy(options: argparse.Namespace, folder: Path, pages: int) -> Spent:
    """Return the cost of Scrapy for the same pages."""
    command = [sys.executable, str(HERE / "peers.py"), "fetch", str(options.delay), str(pages), *names(options)]
    cost = measure.run(command, folder / "scrapy.log")
    return Spent(cost.cpu, max(kind.peak_mb for kind in cost.kinds.values()))


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
        schema_version.upgrade(engine)
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
        with database.writing(ledger.sources._engine) as conn:
            conn.exec_driver_sql("PRAGMA cache_size=-300000")  # kB; keys are hashes, and the filling is not measured
            conn.execute(insert(rows), batch)


def fetched(ledger: Ledger) -> int:
    with database.reading(ledger.sources._engine) as conn:
        return conn.execute(select(func.count()).select_from(rows).where(rows.c.state == "fetched")).scalar_one()


def polled(ledger: Ledger) -> Counter[str]:
    """Return the number of feed polls so far, by outcome."""
    rounds: Counter[str] = Counter()
    for row in ledger.counters.list_outcomes(now().date() - timedelta(days=1)):
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


if __name__ == "__main__":
    sys.exit(main())

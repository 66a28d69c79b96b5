"""Time from publication to storage on ordinary sites, without and beside hosts whose pages cost much CPU.

    python benchmarks/fairness.py [--hostile 0,4,20] [--seconds 120] [--kinds text,elements] [--workers 2] [--database postgres]

Five ordinary sites publish an article every three seconds each. A hostile host publishes a page a second: 3.7 MB of text (`text`), 40,000
elements (`elements`), or 8,000 elements (`medium`). The feeds are read every ten seconds. Crawler, scheduler and workers are the real
processes. Articles published in the last 20 s are left out. An article that is not stored counts with its age at the end.
Exits with 1 if the p95 beside hostile hosts is more than 1.5 times that of the first run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from statistics import quantiles

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]  # the package tests/chaos must come before chaos.py of this folder

from chaos.installation import Installation, Plan, Role, free_port  # noqa: E402
from chaos.site import World  # noqa: E402
from sqlalchemy import select  # noqa: E402

from newsmill.model import Politeness, Source  # noqa: E402
from newsmill.storage.schema import documents  # noqa: E402

HONEST = 5
ARTICLE_SECONDS = 3.0  # between two articles of an ordinary site
HOSTILE_SECONDS = 1.0  # between two pages of a hostile host
FEED_ITEMS = 60
POLL = timedelta(seconds=10)
WARM_UP_SECONDS = 10.0  # in which the processes start
GRACE_SECONDS = 20.0
MAX_RATIO = 1.5
KINDS = ("text", "elements", "medium")
PAGE = re.compile(r"^/20\d\d/\d\d/\d\d/(\d+)-")
WORDS = World(0, 1, 1).words


@dataclass(frozen=True)
class Sites:
    """The sites: the ordinary ones first, then the hostile ones, on one port. They publish from `start` (Unix time) on."""

    port: int
    hostile: int
    kinds: tuple[str, ...]
    start: float

    @property
    def world(self) -> World:
        return World(self.port, HONEST + self.hostile, 1 << 30)

    def count_published(self, site: int, now: float) -> int:
        return max(0, int((now - self.start) / (ARTICLE_SECONDS if site < HONEST else HOSTILE_SECONDS)))

    def feed(self, site: int, now: float) -> bytes:
        count, sites = self.count_published(site, now), HONEST + self.hostile
        items = []
        for index in range(max(0, count - FEED_ITEMS), count):
            number = index * sites + site
            at = format_datetime(datetime.fromtimestamp(self.start + index, UTC))
            title = self.world.title(number)
            items.append(f"<item><title>{title}</title><link>{self.world.url(number)}</link><pubDate>{at}</pubDate></item>")
        return f"<?xml version='1.0'?><rss version='2.0'><channel><title>Site</title>{''.join(items)}</channel></rss>".encode()

    def page(self, number: int) -> bytes:
        site = number % (HONEST + self.hostile)
        if site < HONEST:
            return self.world.article(number)
        kind = self.kinds[(number // (HONEST + self.hostile) + site) % len(self.kinds)]
        return expensive_page(kind).replace(b"@", self.world.title(number).encode())


@cache
def expensive_page(kind: str) -> bytes:
    """A page of this kind; "@" stands for its title."""
    sentence = " ".join(WORDS[:12]).capitalize() + "."
    paragraph = f"<p>{' '.join([sentence] * 7)}</p>"
    body = {
        "text": lambda: paragraph * (3_700_000 // len(paragraph)),
        "elements": lambda: f"<p>{sentence[:40]}</p>" * 39_900,
        "medium": lambda: f"<p>{sentence[:40]}</p>" * 8_000,
    }[kind]()
    return f"<!DOCTYPE html><html><head><title>@</title></head><body><article><h1>@</h1>{body}</article></body></html>".encode()


async def serve(sites: Sites) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode("ascii", "replace")
                site = int(writer.get_extra_info("sockname")[0].rpartition(".")[2]) - 2
                status, kind, body = b"404 Not Found", b"text/plain", b"not found"
                if path == "/feed.xml":
                    status, kind, body = b"200 OK", b"application/rss+xml", sites.feed(site, time.time())
                elif match := PAGE.match(path):
                    status, kind, body = b"200 OK", b"text/html; charset=utf-8", sites.page(int(match.group(1)))
                writer.write(b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body)) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(answer, f"127.0.0.{2 + n}", sites.port) for n in range(HONEST + sites.hostile)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


class Fairness(Installation):
    """Newsmill with the sources of these sites."""

    def __init__(self, folder: Path, sites: Sites, plan: Plan) -> None:
        super().__init__(folder, sites.world, plan)
        del self.roles["web"]
        words = (str(sites.port), str(sites.hostile), ",".join(sites.kinds), str(sites.start))
        self.site = Role("site", ["setpriv", "--pdeathsig", "KILL", sys.executable, __file__, "serve", *words])

    def prepare(self) -> None:
        politeness = Politeness(self.plan.delay, self.plan.concurrency)
        for number, home in enumerate(self.world.homes()):
            name = f"{'site' if number < HONEST else 'hostile'}-{number}"
            source = Source(name, feeds=(f"{home}/feed.xml",), every=POLL, politeness=politeness, discover=False, revisit=())
            self.ledger.sources.put(source, now=datetime.now(UTC))


@dataclass(frozen=True)
class Measured:
    """Of one run: seconds from publication to storage of each ordinary article, and what became of the hostile pages."""

    hostile: int
    seconds: list[float]
    stored: int
    hostile_pages: str
    cpu: float
    load: float

    @property
    def p95(self) -> float:
        return quantiles(self.seconds, n=20)[18]

    def line(self, baseline: Measured | None) -> str:
        ratio = f"{self.p95 / baseline.p95:.2f}" if baseline else "1"
        p50 = quantiles(self.seconds, n=20)[9]
        stored = f"{self.stored} of {len(self.seconds)}"
        cells = [self.hostile, stored, f"{p50:.1f}", f"{self.p95:.1f}", ratio, self.hostile_pages, f"{self.cpu:.0f}", f"{self.load:.1f}"]
        return f"| {' | '.join(map(str, cells))} |"


def measure(hostile: int, options: argparse.Namespace) -> Measured:
    sites = Sites(free_port(), hostile, tuple(options.kinds.split(",")), round(time.time() + WARM_UP_SECONDS))
    plan = Plan(database=options.database, workers=options.workers, delay=1.0, concurrency=1, lease=60.0)
    with (
        tempfile.TemporaryDirectory(prefix="nm-fairness-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        Fairness(Path(folder), sites, plan) as installation,
    ):
        end = sites.start + options.seconds
        while time.time() < end:
            installation.tend()
            time.sleep(0.5)
        cpu, load, now = installation.cpu_seconds(), os.getloadavg()[0], time.time()
        stored_at = read_times(installation)
        outcomes = {str(outcome): n for outcome, n in installation.ledger.progress.count().outcomes.items() if n}
        deferred = installation.ledger.deferred.count()
    published = [
        (sites.world.url(index * (HONEST + hostile) + site), sites.start + (index + 1) * ARTICLE_SECONDS)
        for index in range(int((options.seconds - GRACE_SECONDS) / ARTICLE_SECONDS))
        for site in range(HONEST)
    ]
    ordinary = tuple(sites.world.homes()[:HONEST])
    outcomes["stored"] = sum(not url.startswith(ordinary) for url in stored_at)
    outcomes["deferred"] = deferred
    return Measured(
        hostile,
        [stored_at.get(url, now) - at for url, at in published],
        sum(url in stored_at for url, _ in published),
        ", ".join(f"{name} {n}" for name, n in outcomes.items() if n),
        cpu,
        load,
    )


def read_times(installation: Installation) -> dict[str, float]:
    """When each document was stored (Unix time), by URL."""
    with installation.engine.connect() as conn:
        return {row.url: row.stored_at.timestamp() for row in conn.execute(select(documents.c.url, documents.c.stored_at))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostile", default="0,4,20", help="numbers of hostile hosts, one run each; the first is the baseline")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each run")
    parser.add_argument("--kinds", default="text,elements", help=f"pages of the hostile hosts, in turns: {', '.join(KINDS)}")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.workers} workers", flush=True)
    print("| hostile hosts | stored | p50, s | p95, s | p95 relative | hostile pages | CPU, s | load |\n|---|---|---|---|---|---|---|---|")
    runs: list[Measured] = []
    for hostile in map(int, options.hostile.split(",")):
        runs.append(measure(hostile, options))
        print(runs[-1].line(runs[0] if len(runs) > 1 else None), flush=True)
    return 0 if all(run.p95 <= MAX_RATIO * runs[0].p95 for run in runs) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        port, hostile_hosts, page_kinds, start_at = sys.argv[2:6]
        asyncio.run(serve(Sites(int(port), int(hostile_hosts), tuple(page_kinds.split(",")), float(start_at))))
        sys.exit()
    sys.exit(main())

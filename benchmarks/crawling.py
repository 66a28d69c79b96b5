"""What does the crawler cost by itself? Three questions, each on local servers, answered in CPU seconds of the crawler's process.

    python benchmarks/crawling.py feeds --feeds 1000 --minutes 2     feeds polled once a minute, of which one in fifty has news
    python benchmarks/crawling.py hosts --hosts 200 --pages 20       polite fetching of many hosts at once, beside Scrapy as it comes
    python benchmarks/crawling.py known --hosts 20 --delay 0.1        new pages among a thousand and among a million known ones

nginx serves every host from 127.0.0.0/8 (Debian, Ubuntu: `apt-get install nginx-light`). Start-up is taken off by measuring a short and
a long run. The scheduler runs beside the crawler for the feeds; no worker runs, so that what is measured is finding and fetching alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import measure
import world as worlds
from loopback import Spent, address, fetched, fill, now, polled, running, served, spent, stack, until, write_feed, write_sitemaps

from newsmill.model import Link, Politeness, Source
from newsmill.storage import database
from newsmill.storage.ledger import Ledger

HERE = Path(__file__).resolve().parent
LIVE_EVERY = 50  # one feed in so many has news
FEW_LISTED, MANY_LISTED = 50, 5_000  # known addresses in a host's sitemap


def main() -> int:
    asked = arguments()
    worlds.check_nginx()
    measure.end_cleanly()
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
    parser.add_argument("--rows", default="1000,100000,1000000", help="addresses the ledger knows already (default: %(default)s)")
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
    """Sitemaps of known addresses and new ones, with few and with many known to the ledger: the price of a new page, and of a known one."""
    found: dict[str, object] = {}
    few, many, filled = asked.pages // 5, asked.pages, 0
    template = folder / "known.sqlite"
    for count in map(int, asked.rows.split(",")):
        engine = database.connect(f"sqlite:///{template}")
        database.upgrade(engine)
        fill(Ledger(engine), filled, count, asked.hosts, asked.port)
        engine.dispose()  # the last connection writes the log back into the file
        filled = count
        listed = [min(known, count // asked.hosts) for known in (FEW_LISTED, MANY_LISTED)]
        little, pages = (read_sitemaps(asked, folder, template, listed[0], new) for new in (few, many))
        figures = {"CPU ms per new page": round((pages.cpu - little.cpu) / (many - few) / asked.hosts * 1000, 2)}
        if listed[1] > listed[0]:
            links = read_sitemaps(asked, folder, template, listed[1], few)
            figures["CPU s per 1,000 known addresses"] = round((links.cpu - little.cpu) / (listed[1] - listed[0]) / asked.hosts * 1000, 3)
            pages = max(pages, links, key=lambda spent: spent.peak_mb)
        found[f"{count:,} known"] = figures | {"peak MB": pages.peak_mb, "MB of the database": round(template.stat().st_size / 1e6)}
    return found


def read_sitemaps(asked: argparse.Namespace, folder: Path, template: Path, listed: int, new: int) -> Spent:
    """What the crawler spends on a sitemap of each host, with so many known and so many new addresses, and on fetching the new ones."""
    write_sitemaps(folder, asked.hosts, asked.port, listed, new)
    with stack(folder, template) as (env, ledger):
        for name in names(asked):
            sitemap = f"http://{name}/maps/{name.partition(':')[0]}.xml"
            source = Source(name, sitemaps=(sitemap,), politeness=Politeness(asked.delay), discover=False, every=timedelta(days=1))
            ledger.put_source(source, now=now())
        with running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= new * asked.hosts, 600)
            return spent(crawler)


def names(asked: argparse.Namespace) -> list[str]:
    return [f"{address(number)}:{asked.port}" for number in range(asked.hosts)]


def fetch(asked: argparse.Namespace, folder: Path, pages: int) -> Spent:
    """What the crawler spends on that many pages of each host."""
    with stack(folder) as (env, ledger):
        for name in names(asked):
            source = Source(name, homepage=None, politeness=Politeness(delay=asked.delay), discover=False, every=timedelta(days=1))
            ledger.put_source(source, now=now())
        ledger.add([Link(f"http://{name}/a/{page}.html", source=name) for page in range(pages) for name in names(asked)], now=now())
        with running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= pages * asked.hosts, 600)
            return spent(crawler)


def scrapy(asked: argparse.Namespace, folder: Path, pages: int) -> Spent:
    """What plain Scrapy spends on the same."""
    command = [sys.executable, str(HERE / "peers" / "scrapy_fetch.py"), str(asked.delay), str(pages), *names(asked)]
    cost = measure.run(command, folder / "scrapy.log")
    return Spent(cost.cpu, max(kind.peak_mb for kind in cost.kinds.values()))


if __name__ == "__main__":
    sys.exit(main())

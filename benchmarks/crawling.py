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
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import measure
import world as worlds
from loopback import (
    Spent,
    fetched,
    fill,
    make_host,
    now,
    open_crawler_store,
    polled,
    running,
    served,
    spent,
    until,
    write_feed,
    write_sitemaps,
)

from newsmill.model import Link, Politeness, Source
from newsmill.storage import database
from newsmill.storage.ledger import Ledger

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


# ---- the three scenarios ---------------------------------------------------------------------------------------------------


def feeds(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Poll feeds every minute; one in fifty has a new article each time. Excludes start-up and the first round with full bodies."""
    with open_crawler_store(folder) as (env, ledger):
        for number in range(options.feeds):
            name = "live" if number % FEEDS_PER_LIVE_FEED == 0 else "feed"
            feed = f"http://{make_host(number)}:{options.port}/{name}.xml"
            ledger.put_source(Source(f"s{number}", feeds=(feed,), every=timedelta(minutes=1), discover=False), now=now())
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
        database.upgrade(engine)
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
            ledger.put_source(source, now=now())
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
            ledger.put_source(source, now=now())
        ledger.add([Link(f"http://{name}/a/{page}.html", source=name) for page in range(pages) for name in names(options)], now=now())
        with running(env, folder, "crawler") as crawler:
            until(lambda: fetched(ledger) >= pages * options.hosts, 600)
            return spent(crawler)


def scrapy(options: argparse.Namespace, folder: Path, pages: int) -> Spent:
    """Return the cost of Scrapy for the same pages."""
    command = [sys.executable, str(HERE / "peers" / "scrapy_fetch.py"), str(options.delay), str(pages), *names(options)]
    cost = measure.run(command, folder / "scrapy.log")
    return Spent(cost.cpu, max(kind.peak_mb for kind in cost.kinds.values()))


if __name__ == "__main__":
    sys.exit(main())

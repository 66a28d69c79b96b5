"""Checks that no article is lost, duplicated or stuck when processes are killed at random. A seed makes runs repeatable.

    python benchmarks/chaos.py --seed 1 --kills 200 --pages 4000 [--database postgres] [--what worker,crawler,redis] [--poison 100]

It serves local articles with known text, and runs `newsmill crawler`, `worker` and `scheduler` with a real Redis and database. It restarts
processes that end, as docker does. The seed determines process and time of each kill. Exits with 1 if an article is lost, stored twice,
stored with a wrong text, or still pending when nothing progresses. `--baseline` runs a plain Scrapy + RQ pipeline instead.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]  # the package tests/chaos must come before this file of the same name

from chaos.backlog import backlog  # noqa: E402
from chaos.installation import Plan, free_port  # noqa: E402
from chaos.killer import FREEZES, OUTAGES, TARGETS, intents  # noqa: E402
from chaos.plain import baseline  # noqa: E402
from chaos.run import chaos  # noqa: E402
from chaos.site import ORDERS, World  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument(
        "--what",
        default="",
        help=f"processes to kill, separated by commas: {','.join((*TARGETS, *FREEZES))} (default: the first {len(TARGETS)})",
    )
    parser.add_argument("--outages", default="", help=f"also once each: {','.join(OUTAGES)}, or any of the above")
    parser.add_argument("--outage", type=float, default=10.0, help="duration of an outage, freeze or out-of-memory episode in seconds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--crawlers", type=int, default=1)
    parser.add_argument("--poison", type=int, default=0, help="every N-th article crashes its extraction process (0: none)")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between two requests to one site")
    parser.add_argument("--high-water", type=int, default=10, help="segments above which the crawler pauses")
    parser.add_argument("--lease", type=float, help="duration of all leases in seconds (default: 60)")
    parser.add_argument("--longest-pause", type=float, default=60.0, help="maximum delay of a restart in seconds")
    parser.add_argument("--kinds", default="", help=f"kinds of poison, separated by commas: {','.join(ORDERS)} (default: all in turn)")
    parser.add_argument("--wall", type=float, default=30.0, help="time limit of a page in seconds, with --poison")
    parser.add_argument("--cpu", type=int, default=20, help="CPU limit of a page in seconds, with --poison")
    parser.add_argument("--keep", type=Path, help="an empty folder with a short name that keeps logs and tables")
    parser.add_argument("--workers-off", type=float, help="no kills: measure the crawler for this many seconds without a worker")
    parser.add_argument("--baseline", action="store_true", help="run a plain Scrapy + RQ pipeline instead of Newsmill")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    targets = [name for name in options.what.split(",") if name]
    extra = [name for name in options.outages.split(",") if name]
    if unknown := {*targets, *extra} - {*TARGETS, *FREEZES, *OUTAGES}:
        sys.exit(f"unknown target: {', '.join(sorted(unknown))}; expected {', '.join((*TARGETS, *FREEZES, *OUTAGES))}")
    targets = targets or [name for name in TARGETS if name != "oom" and (name != "database" or options.database == "postgres")]
    world = World(free_port(), options.sites, options.pages, options.poison, options.kinds)
    head = f"{time.strftime('%Y-%m-%d')}, seed {options.seed}, {{}}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"python benchmarks/chaos.py {' '.join(sys.argv[1:])}"
    if options.baseline:
        targets = [name for name in targets if name in ("worker", "crawler", "child", "redis", "flushall", "oom")]
        lines = baseline(
            world, options.workers, intents(options.seed, options.kills, targets, extra), hold=options.outage, say=print_progress
        )
        print("\n".join((command, head.format("plain Scrapy + RQ"), *lines)), flush=True)
        return 0
    plan = Plan(
        options.database,
        options.workers,
        options.crawlers,
        options.delay,
        lease=options.lease,
        reader="chaos.reader:read" if options.poison else None,
        limits={"wall": options.wall, "cpu": options.cpu},
        high_water=options.high_water,
        longest_pause=options.longest_pause,
    )
    if options.workers_off:
        seen = backlog(world, replace(plan, workers=0), options.workers_off)
        print("\n".join((command, head.format(options.database), *seen.lines())), flush=True)
        return 0 if seen.good else 1
    report = chaos(
        world, plan, intents(options.seed, options.kills, targets, extra), hold=options.outage, say=print_progress, keep=options.keep
    )
    print("\n".join((command, head.format(options.database), *report.lines())), flush=True)
    return 0 if report.good else 1


def print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

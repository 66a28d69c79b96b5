"""Is anything lost, doubled or stuck when processes are killed at random? One command, one seed, one verdict.

    python benchmarks/chaos.py --seed 1 --kills 200 --pages 4000 [--database postgres] [--what worker,crawler,redis] [--poison 100]

A local world of articles whose number and text are known, the real `newsmill crawler`, `worker` and `scheduler` with a real Redis and
database, restarted when they die as docker would, and a killer that draws process and instant from the seed. Exits with 1 when an article
is lost, stored twice, stored wrong, or still owed when nothing moves any more. `--baseline` holds a plain Scrapy + RQ pipeline against
the same killer.
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
sys.path[:0] = [str(HERE.parent / "tests")]  # the harness is the tests' package `chaos`; before this folder, where this file has its name

from chaos.backlog import backlog  # noqa: E402
from chaos.killer import OUTAGES, TARGETS, intents  # noqa: E402
from chaos.plain import baseline  # noqa: E402
from chaos.run import chaos  # noqa: E402
from chaos.site import ORDERS, World  # noqa: E402
from chaos.stack import Plan, free_port  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--what", default="", help=f"whom to strike, with commas: {','.join(TARGETS)} (default: all there are)")
    parser.add_argument("--outages", default="", help=f"besides, once each: {','.join(OUTAGES)}, or any of the above")
    parser.add_argument("--outage", type=float, default=10.0, help="seconds an outage or an out-of-memory episode takes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--poison", type=int, default=0, help="every N-th article kills its reader (0: none)")
    parser.add_argument("--delay", type=float, default=0.0, help="politeness: seconds between two requests to one site")
    parser.add_argument("--high-water", type=int, default=10, help="segments the crawler may be ahead: it is to be at work all the time")
    parser.add_argument("--lease", type=float, help="seconds of all leases, instead of Newsmill's 60")
    parser.add_argument("--longest-pause", type=float, default=60.0, help="seconds before a process that died again and again is started")
    parser.add_argument("--kinds", default="", help=f"what the poison does, with commas: {','.join(ORDERS)} (default: all in turn)")
    parser.add_argument("--wall", type=float, default=30.0, help="seconds a page may take, with --poison")
    parser.add_argument("--cpu", type=int, default=20, help="seconds of CPU a page may take, with --poison")
    parser.add_argument("--keep", type=Path, help="an empty folder with a short name for logs and tables, to look at afterwards")
    parser.add_argument("--workers-off", type=float, help="no kills: this many seconds without a worker, and how far the crawler gets")
    parser.add_argument("--baseline", action="store_true", help="a plain Scrapy + RQ pipeline instead of Newsmill")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    targets = [name for name in asked.what.split(",") if name]
    extra = [name for name in asked.outages.split(",") if name]
    if unknown := {*targets, *extra} - {*TARGETS, *OUTAGES}:
        sys.exit(f"nobody can strike {', '.join(sorted(unknown))}; there are {', '.join((*TARGETS, *OUTAGES))}")
    targets = targets or [name for name in TARGETS if name != "oom" and (name != "database" or asked.database == "postgres")]
    world = World(free_port(), asked.sites, asked.pages, asked.poison, asked.kinds)
    head = f"{time.strftime('%Y-%m-%d')}, seed {asked.seed}, {{}}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"python benchmarks/chaos.py {' '.join(sys.argv[1:])}"
    if asked.baseline:
        targets = [name for name in targets if name in ("worker", "crawler", "child", "redis", "flushall", "oom")]
        lines = baseline(world, asked.workers, intents(asked.seed, asked.kills, targets, extra), hold=asked.outage, say=say)
        print("\n".join((command, head.format("plain Scrapy + RQ"), *lines)), flush=True)
        return 0
    plan = Plan(
        asked.database,
        asked.workers,
        asked.delay,
        lease=asked.lease,
        reader="chaos.reader:read" if asked.poison else None,
        limits={"wall": asked.wall, "cpu": asked.cpu},
        high_water=asked.high_water,
        longest_pause=asked.longest_pause,
    )
    if asked.workers_off:
        seen = backlog(world, replace(plan, workers=0), asked.workers_off)
        print("\n".join((command, head.format(asked.database), *seen.lines())), flush=True)
        return 0 if seen.good else 1
    report = chaos(world, plan, intents(asked.seed, asked.kills, targets, extra), hold=asked.outage, say=say, keep=asked.keep)
    print("\n".join((command, head.format(asked.database), *report.lines())), flush=True)
    return 0 if report.good else 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

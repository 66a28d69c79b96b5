"""Does a worker grow? One worker reads the same archive again and again, and the memory of it and its page reader is watched.

    python benchmarks/memory.py --pages 50000 [--minutes 60] [--sites 8] [--articles 250] [--learn] [--json FILE]

A local world of real pages is crawled once; then all that was stored is opened again as often as it takes, without the network, for a
single `newsmill worker` that runs through. `--learn` has the sites learnt first, so that most pages go the fast way. Memory is the resident
set, looked at every second; a figure is the largest of a tenth of the pages. Ends with 1 when a process was ever over --most MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import measure
import systems
import world as worlds

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import now
from newsmill.model import Outcome, State

TENTHS = 10
LOOK_EVERY = 1.0  # seconds


def main() -> int:
    asked = arguments()
    worlds.check_nginx()
    measure.end_cleanly()
    with tempfile.TemporaryDirectory(prefix="newsmill-memory-") as root:
        folder = Path(root)
        env = systems.environment(folder, learn=asked.learn)
        with worlds.serve(folder / "world", asked.port, asked.sites, asked.articles) as world:
            systems.crawl(world, folder, 2, env)
        samples = read_again(asked.pages, time.monotonic() + asked.minutes * 60, env, folder)
    figures = tenths(samples)
    for kind, peaks in figures.items():
        print(f"{kind}: MB in each tenth of {samples[-1][0]:,} pages: {', '.join(f'{mb:.0f}' for mb in peaks)}")
    if asked.json:
        asked.json.write_text(json.dumps({"pages": samples[-1][0], "peak_mb": figures}, indent=1))
    return int(any(mb > asked.most for peaks in figures.values() for mb in peaks))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=50_000, help="pages the worker reads")
    parser.add_argument("--minutes", type=float, default=600, help="then it ends with what was read until then")
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--articles", type=int, default=250, help="of each site")
    parser.add_argument("--learn", action="store_true", help="with the profiles that the crawl learns")
    parser.add_argument("--most", type=float, default=250, help="MB that a process may have")
    parser.add_argument("--port", type=int, default=8097)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def read_again(pages: int, until: float, env: dict[str, str], folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Have one worker read that many pages; how many it had read and what its processes held, look by look."""
    settings = configuration.load(env)
    samples: list[tuple[int, dict[str, float]]] = []
    with context.open_context(settings) as store, context.open_redis(settings) as redis, (folder / "worker.log").open("wb") as log:
        queue = context.open_queue(settings, redis.url)
        worker = subprocess.Popen([*systems.COMMAND, "worker"], env=os.environ | env, stdout=log, stderr=log)
        done = opened = 0
        with suppress(KeyboardInterrupt):  # told to stop: with what was read until then
            while done < pages and time.monotonic() < until:
                if done == opened:
                    opened += store.ledger.retry(now=now(), outcome=Outcome.STORED)
                if not queue.depth():  # also a page whose reader died, and which is tried again
                    queue.enqueue_missing(store.ledger.pending_segments(now=now(), limit=100_000))
                time.sleep(LOOK_EVERY)
                states = store.ledger.progress().states
                done = opened - states.get(State.FETCHED, 0) - states.get(State.PROCESSING, 0)
                samples.append((done, resident(worker.pid)))
                if len(samples) % 60 == 0:
                    print(*samples[-1], file=sys.stderr, flush=True)
                if worker.poll() is not None:
                    sys.exit(f"the worker ended: {(folder / 'worker.log').read_text()[-2000:]}")
        worker.terminate()
        worker.wait(60)
        queue.close()
    return samples


def resident(root: int) -> dict[str, float]:
    """MB of the largest process of each kind, at or below `root`."""
    found: dict[str, float] = defaultdict(float)
    for pid in (root, *measure.descendants(root)):
        try:
            kind = measure.kind_of(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
            status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        for row in status.splitlines():
            if row.startswith("VmRSS"):
                found[kind] = max(found[kind], int(row.split()[1]) / 1024)
    return dict(found)


def tenths(samples: list[tuple[int, dict[str, float]]]) -> dict[str, list[float]]:
    """The largest figure of each kind within each tenth of the pages."""
    pages = samples[-1][0] or 1
    figures: dict[str, list[float]] = {kind: [0.0] * TENTHS for kind in sorted({kind for _, seen in samples for kind in seen})}
    for done, seen in samples:
        tenth = min(TENTHS - 1, done * TENTHS // pages)
        for kind, mb in seen.items():
            figures[kind][tenth] = max(figures[kind][tenth], round(mb, 1))
    return figures


if __name__ == "__main__":
    sys.exit(main())

"""Memory growth of a worker: one worker extracts the same archive repeatedly.

    python benchmarks/memory.py --pages 50000 [--minutes 60] [--sites 8] [--articles 250] [--learn] [--json FILE]

The benchmark crawls a local world of real pages once. Then a single `newsmill worker` extracts its archive until --pages is reached.
`--learn` learns site profiles first, so that most pages take the fast path. The result is the resident set of each kind of process,
sampled every second: the maximum in each tenth of the pages. Exits with 1 if a process exceeds --most MB.
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
SECONDS_PER_SAMPLE = 1.0  # seconds between two samples


def main() -> int:
    options = arguments()
    worlds.check_nginx()
    measure.end_cleanly()
    with tempfile.TemporaryDirectory(prefix="newsmill-memory-") as root:
        folder = Path(root)
        env = systems.environment(folder, learn=options.learn)
        with worlds.serve(folder / "world", options.port, options.sites, options.articles) as world:
            systems.crawl(world, folder, 2, env)
        samples = extract_repeatedly(options.pages, time.monotonic() + options.minutes * 60, env, folder)
    figures = tenths(samples)
    for kind, peaks in figures.items():
        print(f"{kind}: MB in each tenth of {samples[-1][0]:,} pages: {', '.join(f'{mb:.0f}' for mb in peaks)}")
    if options.json:
        options.json.write_text(json.dumps({"pages": samples[-1][0], "peak_mb": figures}, indent=1))
    return int(any(mb > options.most for peaks in figures.values() for mb in peaks))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=50_000, help="pages to extract")
    parser.add_argument("--minutes", type=float, default=600, help="time limit")
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--articles", type=int, default=250, help="per site")
    parser.add_argument("--learn", action="store_true", help="use the profiles that the crawl learns")
    parser.add_argument("--most", type=float, default=250, help="limit in MB")
    parser.add_argument("--port", type=int, default=8097)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def extract_repeatedly(pages: int, until: float, env: dict[str, str], folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Return samples of extracted pages and of memory by kind of process, while one worker extracts `pages` pages."""
    settings = configuration.load(env)
    samples: list[tuple[int, dict[str, float]]] = []
    with context.open_context(settings) as store, context.open_redis(settings) as redis, (folder / "worker.log").open("wb") as log:
        queue = context.open_queue(settings, redis.url)
        worker = subprocess.Popen([*systems.COMMAND, "worker"], env=os.environ | env, stdout=log, stderr=log)
        done = opened = 0
        with suppress(KeyboardInterrupt):  # use the samples so far
            while done < pages and time.monotonic() < until:
                if done == opened:
                    opened += store.ledger.retries.retry(now=now(), outcome=Outcome.STORED)
                if not queue.depth():  # includes pages to retry after a crash
                    queue.enqueue_missing(store.ledger.segments.list_pending(now=now(), limit=100_000))
                time.sleep(SECONDS_PER_SAMPLE)
                states = store.ledger.progress.count().states
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
    """Return the MB of the largest process of each kind, in the process tree of `root`."""
    found: dict[str, float] = defaultdict(float)
    for pid in (root, *measure.descendants(root)):
        try:
            kind = measure.kind_of(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
            status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        except OSError:  # the process has ended
            continue
        for row in status.splitlines():
            if row.startswith("VmRSS"):
                found[kind] = max(found[kind], int(row.split()[1]) / 1024)
    return dict(found)


def tenths(samples: list[tuple[int, dict[str, float]]]) -> dict[str, list[float]]:
    """Return the maximum of each kind in each tenth of the pages."""
    pages = samples[-1][0] or 1
    figures: dict[str, list[float]] = {kind: [0.0] * TENTHS for kind in sorted({kind for _, seen in samples for kind in seen})}
    for done, seen in samples:
        tenth = min(TENTHS - 1, done * TENTHS // pages)
        for kind, mb in seen.items():
            figures[kind][tenth] = max(figures[kind][tenth], round(mb, 1))
    return figures


if __name__ == "__main__":
    sys.exit(main())

"""What does it cost to turn news pages into stored documents? One command, on a world of local sites with known truth.

    python benchmarks/throughput.py --sites 8 --pages 250 --processes 2 [--repeat 3] [--mature] [--reprocess] [--only newsmill,rq-batches]
        [--json FILE]
    python benchmarks/throughput.py --only newsmill,trafilatura-cli,newspaper4k,news-please --peers-in DIR

Newsmill end to end (fetch, archive, queue, clean, store, everything durable; the embedded default) and its peers take turns on the same
pages. `--mature` adds Newsmill with the sites' profiles learnt before, `--reprocess` the same pages read once more from the archive.
`--peers-in` names a folder where the peers news-please and newspaper4k get an environment each, made with pip the first time.
Politeness is off, the server is nginx on loopback. The figure is CPU seconds per 1,000 stored
articles, of all processes with their children and Redis; wall time on a shared machine says little. Start-up is taken off by running
a small world as well: (CPU large - CPU small) / (articles large - articles small).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import environments
import measure
import rivals
import world as worlds
from report import Run, summary, table, verdict
from systems import SYSTEMS, TAUGHT, redis_bytes_per_page, teach

SMALL = 10  # the small world has a tenth of the pages, at least 10 a site


def measure_one(name: str, size: str, world: worlds.World, processes: int) -> Run:
    """Run one system in a fresh folder, and hold its documents against the truth."""
    with tempfile.TemporaryDirectory(prefix="newsmill-bench-") as folder:
        cost, documents = SYSTEMS[name](world, Path(folder), processes)
        with documents.open("rb") as lines:
            count = sum(1 for _ in lines)
        run = Run(name, size, cost, count, worlds.score(world, documents))
    share = f"{cost.cpu / max(1, run.articles) * 1000:.1f} CPU s per 1,000 with start-up"
    say(f"{name:14} {size:5} {run.articles:6} of {world.articles} articles, {cost.cpu:7.1f} CPU s, {cost.wall:6.1f} s wall, {share}")
    return run


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--pages", type=int, default=250, help="articles per site")
    parser.add_argument("--processes", type=int, default=2, help="Newsmill's worker processes")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each system on each world, taking turns")
    parser.add_argument("--only", default="newsmill,scrapy-inline", help="systems to run, with commas (default: %(default)s)")
    parser.add_argument("--mature", action="store_true", help="also Newsmill on sites it has learnt before")
    parser.add_argument("--reprocess", action="store_true", help="also Newsmill reading its archive again, sites learnt before")
    parser.add_argument("--peers-in", type=Path, help="folder for the environments of news-please and newspaper4k")
    parser.add_argument("--port", type=int, default=8090, help="first of two ports for the worlds")
    parser.add_argument("--json", type=Path, help="write every run and the summary to this file")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    wanted = [name for name in asked.only.split(",") if name]
    wanted += ["newsmill-mature"] * asked.mature + ["newsmill-reprocess"] * asked.reprocess
    names = list(dict.fromkeys(wanted))  # --only may name what an option names too
    if unknown := set(names) - set(SYSTEMS):
        sys.exit(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    worlds.check_nginx()
    measure.end_cleanly()
    apart = set(names) & set(environments.PINNED)
    if apart and asked.peers_in is None:
        sys.exit(f"say with --peers-in in which folder {' and '.join(sorted(apart))} may be installed")
    rivals.pythons.update(environments.install(sorted(apart), asked.peers_in or Path()))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="newsmill-world-") as root, ExitStack() as stack:
        sizes = {"small": max(10, asked.pages // SMALL), "large": asked.pages}
        say(f"building two worlds of {asked.sites} sites, {sizes['small']} and {sizes['large']} articles each")
        served = {
            size: stack.enter_context(worlds.serve(Path(root) / size, asked.port + n, asked.sites, pages))
            for n, (size, pages) in enumerate(sizes.items())
        }
        if set(names) & set(TAUGHT):
            say("learning the sites")
            teach(served["large"], Path(root) / "teaching", asked.processes)
        for _ in range(asked.repeat):
            runs += [measure_one(name, size, served[size], asked.processes) for size in served for name in names]
        megabytes = served["large"].megabytes
        queued = redis_bytes_per_page(Path(root) / "queue")
    rows = [summary(name, runs) for name in names]
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}, {time.strftime('%Y-%m-%d')}"
    )
    print(f"{asked.sites} sites x {asked.pages} articles, {megabytes} MB of HTML, {asked.processes} worker processes; {machine}\n")
    print(table(rows) + "\n")
    print("\n".join(verdict(row) for row in rows))
    print(f"\nRedis memory per page that waits for a worker: {queued} bytes")
    if asked.json:
        about = {
            "machine": machine,
            "arguments": {name: str(value) for name, value in vars(asked).items()},
            "redis_bytes_per_page": queued,
        }
        asked.json.write_text(json.dumps(about | {"summary": rows, "runs": [asdict(run) for run in runs]}, indent=1))
    kept = next((row["truth"] for row in rows if row["system"] == "newsmill"), None)
    return int(kept is not None and bool(kept["missing"] or kept["stored_more_than_once"] or kept["not_an_article"]))  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())

"""CPU cost of turning news pages into stored documents, on local sites with known articles.

    python benchmarks/throughput.py --sites 8 --pages 250 --processes 2 [--repeat 3] [--mature] [--reprocess] [--only newsmill,rq-batches]
        [--json FILE]
    python benchmarks/throughput.py --only newsmill,trafilatura-cli,newspaper4k,news-please --peers-in DIR

Newsmill with the embedded default (fetch, archive, queue, extract, store) and its peers process the same pages in turn. `--mature` adds
Newsmill with existing profiles, `--reprocess` another extraction from the archive. `--peers-in` is a folder for the environments of
the peers news-please and newspaper4k, which pip creates at the first run. The server is nginx on loopback, without delays between requests.
The result is CPU seconds per 1,000 stored articles, of all processes with their children and Redis. A run on a small world excludes
start-up: (CPU large - CPU small) / (articles large - articles small).
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
from report import Run, format_result, summary, table
from systems import LEARNING_SYSTEMS, SYSTEMS, learn_sites, redis_bytes_per_page

SMALL_WORLD_DIVISOR = 10  # the small world has a tenth of the pages, at least 10 per site


def measure_one(name: str, size: str, world: worlds.World, processes: int) -> Run:
    """Run one system in a new folder, and compare its documents with the known articles."""
    with tempfile.TemporaryDirectory(prefix="newsmill-throughput-") as folder:
        cost, documents = SYSTEMS[name](world, Path(folder), processes)
        with documents.open("rb") as lines:
            count = sum(1 for _ in lines)
        run = Run(name, size, cost, count, worlds.score(world, documents))
    share = f"{cost.cpu / max(1, run.articles) * 1000:.1f} CPU s per 1,000 with start-up"
    print_progress(
        f"{name:14} {size:5} {run.articles:6} of {world.articles} articles, {cost.cpu:7.1f} CPU s, {cost.wall:6.1f} s wall, {share}"
    )
    return run


def print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--pages", type=int, default=250, help="articles per site")
    parser.add_argument("--processes", type=int, default=2, help="Newsmill's worker processes")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each system on each world, taking turns")
    parser.add_argument("--only", default="newsmill,scrapy-inline", help="systems to run, separated by commas (default: %(default)s)")
    parser.add_argument("--mature", action="store_true", help="also Newsmill with profiles learned before")
    parser.add_argument("--reprocess", action="store_true", help="also Newsmill extracting its archive again, with profiles learned before")
    parser.add_argument("--peers-in", type=Path, help="folder for the environments of news-please and newspaper4k")
    parser.add_argument("--port", type=int, default=8090, help="first of two ports for the worlds")
    parser.add_argument("--json", type=Path, help="write every run and the summary to this file")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    wanted = [name for name in options.only.split(",") if name]
    wanted += ["newsmill-mature"] * options.mature + ["newsmill-reprocess"] * options.reprocess
    names = list(dict.fromkeys(wanted))  # --only may name a system of another option
    if unknown := set(names) - set(SYSTEMS):
        sys.exit(f"unknown system: {', '.join(sorted(unknown))}; expected {', '.join(SYSTEMS)}")
    worlds.check_nginx()
    measure.end_cleanly()
    apart = set(names) & set(environments.PINNED)
    if apart and options.peers_in is None:
        sys.exit(f"{' and '.join(sorted(apart))} need an environment; set a folder for it with --peers-in")
    rivals.pythons.update(environments.install(sorted(apart), options.peers_in or Path()))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="newsmill-world-") as root, ExitStack() as exit_stack:
        sizes = {"small": max(10, options.pages // SMALL_WORLD_DIVISOR), "large": options.pages}
        print_progress(f"building two worlds of {options.sites} sites, {sizes['small']} and {sizes['large']} articles each")
        served = {
            size: exit_stack.enter_context(worlds.serve(Path(root) / size, options.port + n, options.sites, pages))
            for n, (size, pages) in enumerate(sizes.items())
        }
        if set(names) & set(LEARNING_SYSTEMS):
            print_progress("learning profiles")
            learn_sites(served["large"], Path(root) / "teaching", options.processes)
        for _ in range(options.repeat):
            runs += [measure_one(name, size, served[size], options.processes) for size in served for name in names]
        megabytes = served["large"].megabytes
        queued = redis_bytes_per_page(Path(root) / "queue")
    rows = [summary(name, runs) for name in names]
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}, {time.strftime('%Y-%m-%d')}"
    )
    print(f"{options.sites} sites x {options.pages} articles, {megabytes} MB of HTML, {options.processes} worker processes; {machine}\n")
    print(table(rows) + "\n")
    print("\n".join(format_result(row) for row in rows))
    print(f"\nRedis memory per waiting page: {queued} bytes")
    if options.json:
        about = {
            "machine": machine,
            "arguments": {name: str(value) for name, value in vars(options).items()},
            "redis_bytes_per_page": queued,
        }
        options.json.write_text(json.dumps(about | {"summary": rows, "runs": [asdict(run) for run in runs]}, indent=1))
    kept = next((row["truth"] for row in rows if row["system"] == "newsmill"), None)
    return int(kept is not None and bool(kept["missing"] or kept["stored_more_than_once"] or kept["not_an_article"]))  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())

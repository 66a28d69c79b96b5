"""CPU cost of turning news pages into stored documents, on local sites with known articles.

    python benchmarks/throughput.py --sites 8 --pages 250 --processes 2 [--repeat 3] [--mature] [--reprocess]
        [--only newsmill,trafilatura-cli] [--json FILE]
    python benchmarks/throughput.py --warc FILE… [--profiles FILE] [--processes 2] [--repeat 3]

Newsmill with the embedded default (fetch, archive, queue, extract, store) and its peers process the same pages in turn. `--mature` adds
Newsmill with existing profiles, `--reprocess` another extraction from the archive. The server is nginx on loopback,
without delays between requests. The result is CPU seconds per 1,000 stored articles, of all processes with their children and Redis. A run
on a small world excludes start-up: (CPU large - CPU small) / (articles large - articles small).

With `--warc`, the systems extract the pages of these WARC files instead: warcio with trafilatura, `newsmill extract --format parquet`
without and with site profiles, and the engines that are installed. Here, a run on as many files of one page excludes start-up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median

import measure
import world as worlds
from measure import Cost
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
    parser.add_argument("--port", type=int, default=8090, help="first of two ports for the worlds")
    parser.add_argument("--warc", nargs="+", help="extract the pages of these WARC files instead")
    parser.add_argument("--profiles", help="with --warc: site profiles that `newsmill extract --learn` or `newsmill profiles export` wrote")
    parser.add_argument("--json", type=Path, help="write every run and the summary to this file")
    return parser.parse_args()


HTTP = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<article><h1>A page</h1>" + "<p>The council met and kept the ferry running.</p>" * 20
)
RECORD = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://paper.example/1\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
SOURCES = "{sources}"  # in a command: the files as arguments; in a program: their list
EXTRACT = ("-m", "newsmill", "extract", SOURCES, "--format", "parquet", "-o", "{out}", "-p", "{processes}")
READ = "import read_documents; print(read_documents({arguments}{sources}, '{out}').count())"
ENGINES = {
    "ray": f"from newsmill.engines.ray {READ.replace('{arguments}', '')}",
    "pyspark": "from pyspark.sql import SparkSession; spark = SparkSession.builder.master('local[{processes}]').getOrCreate(); "
    f"from newsmill.engines.spark {READ.replace('{arguments}', 'spark, ')}",
    "datatrove": "from newsmill.engines.datatrove import NewsmillReader; from datatrove.executor import LocalPipelineExecutor; "
    "LocalPipelineExecutor([NewsmillReader({sources}, '{out}')], tasks={files}, workers={processes}, logging_dir='{out}-logs').run()",
}


def measure_warc(sources: Sequence[str], profiles: str | None, processes: int, repeat: int) -> None:
    """Print the CPU of each system for the files without start-up, and its median ratio: of an engine to `newsmill extract`."""
    peer = ("warcio + trafilatura", (str(Path(__file__).with_name("peers.py")), "warc", SOURCES))
    systems: dict[str, tuple[str, ...]] = dict([peer, ("newsmill extract", EXTRACT)])
    if profiles is not None:
        systems["newsmill extract --profiles"] = (*EXTRACT, "--profiles", profiles)
    systems |= {name: ("-c", code) for name, code in ENGINES.items() if find_spec(name) is not None}
    spent: dict[str, list[float]] = {name: [] for name in systems}
    with tempfile.TemporaryDirectory(prefix="newsmill-warc-") as folder:
        small = [str(Path(folder) / f"small-{number}.warc") for number in range(len(sources))]
        for path in small:
            Path(path).write_text(f"{RECORD}Content-Length: {len(HTTP)}\r\n\r\n{HTTP}\r\n\r\n", newline="")
        for turn, (name, command) in product(range(repeat), systems.items()):
            costs = [
                measure.run(
                    [sys.executable, *fill_command(command, files, processes, f"{folder}/{turn}-{name}-{kind}")],
                    Path(folder) / "log",
                    os.environ | {"PYSPARK_PYTHON": sys.executable},
                ).cpu
                for kind, files in (("small", small), ("whole", [str(Path(source).absolute()) for source in sources]))
            ]
            spent[name].append(costs[1] - costs[0])
            base = "newsmill extract" if name in ENGINES else peer[0]
            ratio = median(ours / theirs for ours, theirs in zip(spent[name], spent[base], strict=False))
            print(f"{name:28} {spent[name][-1]:7.2f} CPU s, start-up {costs[0]:5.2f}, ratio {ratio:.2f}", flush=True)


def fill_command(command: Sequence[str], sources: Sequence[str], processes: int, out: str) -> Iterator[str]:
    """The words of a command or program for these files."""
    for part in command:
        if part == SOURCES:
            yield from sources
        else:
            yield part.format(sources=list(sources), files=len(sources), processes=processes, out=out)


def main() -> int:
    options = arguments()
    if options.warc is not None:
        measure.end_cleanly()
        measure_warc(options.warc, options.profiles, options.processes, options.repeat)
        return 0
    wanted = [name for name in options.only.split(",") if name]
    wanted += ["newsmill-mature"] * options.mature + ["newsmill-reprocess"] * options.reprocess
    names = list(dict.fromkeys(wanted))  # --only may name a system of another option
    if unknown := set(names) - set(SYSTEMS):
        sys.exit(f"unknown system: {', '.join(sorted(unknown))}; expected {', '.join(SYSTEMS)}")
    worlds.check_nginx()
    measure.end_cleanly()
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


PEERS = ("trafilatura-cli", "scrapy-inline")  # the first of these with runs is the reference for the others
COLUMNS = (
    "system",
    "runs",
    "articles",
    "CPU s per 1,000, start-up off (range)",
    "with start-up",
    "of the peer's (range)",
    "articles per wall s",
    "MB written per 1,000, start-up off",
    "peak MB",
    "CPU share",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system on one world."""

    system: str
    size: str  # large or small
    cost: Cost
    documents: int
    truth: Mapping[str, object]

    @property
    def articles(self) -> int:
        """The number of distinct stored articles of the world: the unit of all systems, however many copies they keep."""
        return int(str(self.truth["stored_once"])) + int(str(self.truth["stored_more_than_once"]))


def summary(name: str, runs: Sequence[Run]) -> dict[str, object]:
    """Return medians and ranges of the runs of one system."""
    large = [r for r in runs if r.system == name and r.size == "large"]
    small = [r for r in runs if r.system == name and r.size == "small"]
    base = median(r.cost.cpu for r in small)
    base_articles = median(r.articles for r in small)
    written = median(r.cost.written_mb for r in small)
    by_turn = [(r.cost.cpu - base) / max(1, r.articles - base_articles) * 1000 for r in large]
    marginal = sorted(by_turn)
    with_start = sorted(r.cost.cpu / max(1, r.articles) * 1000 for r in large)
    last = large[-1]
    return {
        "system": name,
        "runs": len(large),
        "articles": last.articles,
        "cpu_per_1000": round(median(marginal), 1),
        "cpu_per_1000_range": [round(marginal[0], 1), round(marginal[-1], 1)],
        "cpu_per_1000_by_turn": by_turn,
        "cpu_per_1000_with_start": round(median(with_start), 1),
        "articles_per_wall_second": round(median(r.articles / r.cost.wall for r in large), 1),
        "written_mb_per_1000": round(median((r.cost.written_mb - written) / max(1, r.articles - base_articles) * 1000 for r in large), 1),
        "peak_mb": {kind: max(r.cost.kinds[kind].peak_mb for r in large if kind in r.cost.kinds) for kind in last.cost.kinds},
        "cpu_share": shares(last.cost),
        "left_behind": sum(r.cost.left_behind for r in runs if r.system == name),
        "truth": {key: value for key, value in last.truth.items() if key not in ("f1_by_site", "missing_urls")},
    }


def shares(cost: Cost) -> dict[str, float]:
    """Return the share of each kind of process in the sampled CPU."""
    total = sum(kind.cpu for kind in cost.kinds.values()) or 1.0
    return {name: round(kind.cpu / total, 3) for name, kind in sorted(cost.kinds.items(), key=lambda pair: -pair[1].cpu)}


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the summaries as a Markdown table, for a terminal and for README.md."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    peer = next((row for name in PEERS for row in rows if row["system"] == name), None)
    for row in rows:
        low, high = row["cpu_per_1000_range"]  # type: ignore[misc]
        peak = ", ".join(f"{kind} {mb:.0f}" for kind, mb in row["peak_mb"].items())  # type: ignore[attr-defined]
        share = ", ".join(f"{kind} {part:.0%}" for kind, part in row["cpu_share"].items())  # type: ignore[attr-defined]
        cpu = f"{row['cpu_per_1000']} ({low} to {high}) | {row['cpu_per_1000_with_start']} | {ratio(row, peer) if peer else ''}"
        figures = f"{cpu} | {row['articles_per_wall_second']} | {row['written_mb_per_1000']}"
        lines.append(f"| {row['system']} | {row['runs']} | {row['articles']} | {figures} | {peak} | {share} |")
    return "\n".join(lines)


def ratio(row: Mapping[str, object], peer: Mapping[str, object]) -> str:
    """Return the median and the range of the ratio, computed per turn because the speed of a shared machine varies."""
    turns = zip(row["cpu_per_1000_by_turn"], peer["cpu_per_1000_by_turn"], strict=True)  # type: ignore[call-overload]
    quotients = sorted(ours / theirs for ours, theirs in turns)
    return f"{median(quotients):.2f} ({quotients[0]:.2f} to {quotients[-1]:.2f})"


def format_result(row: Mapping[str, object]) -> str:
    """Return one line that compares the stored articles with the known ones."""
    truth: Mapping[str, object] = row["truth"]  # type: ignore[assignment]
    fields = (
        "expected",
        "stored_once",
        "missing",
        "stored_more_than_once",
        "not_an_article",
        "f1",
        "title_exact",
        "authors_equal",
        "footers_surviving",
    )
    return f"{row['system']}: " + ", ".join(f"{name} {truth[name]}" for name in fields)


if __name__ == "__main__":
    sys.exit(main())

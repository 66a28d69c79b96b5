"""The peers of Newsmill in `throughput.py`: what one would write with Scrapy, RQ and trafilatura, and three programs that do it all.

The programs are told the articles' addresses, because none of them finds the articles of these sites as a spider does; so finding, lists
and traps, which the others pay for, cost them nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import environments
import measure
import world as worlds

HERE = Path(__file__).resolve().parent

System = Callable[[worlds.World, Path, int], tuple[measure.Cost, Path]]

pythons: dict[str, Path] = {}  # of the peers with an environment of their own; filled before they run


def scrapy_inline(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """One Scrapy process that cleans in its callbacks; `processes` does not apply."""
    documents = folder / "inline.jsonl"
    command = [sys.executable, str(HERE / "peers" / "scrapy_inline.py"), str(documents), *world.homepages]
    return measure.run(command, folder / "inline.log"), documents


def rq_batches(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Scrapy, RQ with 32 pages a job, trafilatura in that many workers: a queue, but nothing durable."""
    documents = folder / "rq.jsonl"
    command = [sys.executable, str(HERE / "peers" / "rq_batches.py"), str(documents), str(processes), *world.homepages]
    return measure.run(command, folder / "rq.log"), documents


def trafilatura_cli(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """`trafilatura --input-file` over the articles' own addresses, which it is told; metadata and JSON, one thread."""
    addresses, config, out = told(world, folder), folder / "trafilatura.cfg", folder / "out"
    shipped = subprocess.run(
        [sys.executable, "-c", "import trafilatura.settings as s; print(s.__file__)"], check=True, capture_output=True, text=True
    )
    text = (Path(shipped.stdout.strip()).parent / "settings.cfg").read_text()
    config.write_text(
        re.sub(r"(?im)^sleep_time\s*=.*$", "SLEEP_TIME = 0", re.sub(r"(?im)^ssrf_protection\s*=.*$", "SSRF_PROTECTION = off", text))
    )
    command = [str(Path(sys.executable).parent / "trafilatura"), "--input-file", str(addresses), "--output-dir", str(out)]
    cost = measure.run([*command, "--json", "--with-metadata", "--parallel", "1", "--config-file", str(config)], folder / "cli.log")
    documents = folder / "cli.jsonl"
    with documents.open("w", encoding="utf-8") as lines:
        for path in sorted(out.rglob("*.json")):
            found = json.loads(path.read_text(encoding="utf-8"))
            authors = [name for name in (found.get("author") or "").split("; ") if name]
            kept = {"url": found.get("source") or found.get("url"), "title": found.get("title"), "text": found.get("text")}
            lines.write(json.dumps(kept | {"authors": authors, "published_at": found.get("date")}) + "\n")
    return cost, documents


def own_environment(name: str, script: str, world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """A peer that runs with its own Python (environments.py) over the articles' addresses."""
    documents = folder / f"{name}.jsonl"
    command = [str(pythons[name]), str(HERE / "peers" / script), str(documents), str(told(world, folder))]
    return measure.run(command, folder / f"{name}.log"), documents


def told(world: worlds.World, folder: Path) -> Path:
    """The articles' own addresses, one a line."""
    addresses = folder / "addresses.txt"
    rows = [json.loads(line) for line in world.truth.read_text(encoding="utf-8").splitlines()]
    addresses.write_text("".join(f"{row['url']}\n" for row in rows if row["expected"] == "article"))
    return addresses


RIVALS: Mapping[str, System] = {
    "scrapy-inline": scrapy_inline,
    "rq-batches": rq_batches,
    "trafilatura-cli": trafilatura_cli,
    "news-please": partial(own_environment, "news-please", "news_please.py"),
    "newspaper4k": partial(own_environment, "newspaper4k", "newspaper4k.py"),
}
assert environments.PINNED.keys() <= RIVALS.keys()

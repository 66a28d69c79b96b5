"""The peers of Newsmill in `throughput.py`: small programs with Scrapy, RQ and trafilatura, and three existing programs.

The existing programs get the URLs of the articles, because none of them discovers articles on these sites. They have no discovery cost.
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

pythons: dict[str, Path] = {}  # interpreters of the peers with their own environment; filled by throughput.py


def scrapy_inline(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run one Scrapy process that extracts in its callbacks; `processes` does not apply."""
    documents = folder / "inline.jsonl"
    command = [sys.executable, str(HERE / "peers" / "scrapy_inline.py"), str(documents), *world.homepages]
    return measure.run(command, folder / "inline.log"), documents


def rq_batches(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run Scrapy, RQ with 32 pages per job, and trafilatura in `processes` workers; nothing is durable."""
    documents = folder / "rq.jsonl"
    command = [sys.executable, str(HERE / "peers" / "rq_batches.py"), str(documents), str(processes), *world.homepages]
    return measure.run(command, folder / "rq.log"), documents


def trafilatura_cli(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run `trafilatura --input-file` over the URLs of the articles; metadata and JSON, one thread."""
    urls_file, config, out = write_urls(world, folder), folder / "trafilatura.cfg", folder / "out"
    shipped = subprocess.run(
        [sys.executable, "-c", "import trafilatura.settings as s; print(s.__file__)"], check=True, capture_output=True, text=True
    )
    text = (Path(shipped.stdout.strip()).parent / "settings.cfg").read_text()
    config.write_text(
        re.sub(r"(?im)^sleep_time\s*=.*$", "SLEEP_TIME = 0", re.sub(r"(?im)^ssrf_protection\s*=.*$", "SSRF_PROTECTION = off", text))
    )
    command = [str(Path(sys.executable).parent / "trafilatura"), "--input-file", str(urls_file), "--output-dir", str(out)]
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
    """Run a peer with its own Python (environments.py) over the URLs of the articles."""
    documents = folder / f"{name}.jsonl"
    command = [str(pythons[name]), str(HERE / "peers" / script), str(documents), str(write_urls(world, folder))]
    return measure.run(command, folder / f"{name}.log"), documents


def write_urls(world: worlds.World, folder: Path) -> Path:
    """Write a file with the URLs of the articles, one per line."""
    urls_file = folder / "urls.txt"
    rows = [json.loads(line) for line in world.truth.read_text(encoding="utf-8").splitlines()]
    urls_file.write_text("".join(f"{row['url']}\n" for row in rows if row["expected"] == "article"))
    return urls_file


RIVALS: Mapping[str, System] = {
    "scrapy-inline": scrapy_inline,
    "rq-batches": rq_batches,
    "trafilatura-cli": trafilatura_cli,
    "news-please": partial(own_environment, "news-please", "news_please.py"),
    "newspaper4k": partial(own_environment, "newspaper4k", "newspaper4k.py"),
}
assert environments.PINNED.keys() <= RIVALS.keys()

"""The systems that `throughput.py` runs in turn on a world: Newsmill without profiles, learning, mature and reprocessing, and its peers.

A system gets a served world, a new folder and a number of processes. It returns its cost and its documents as JSON lines.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import measure
import world as worlds

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.processes.supervisor import Supervisor
from newsmill.cli.processes.up import make_children
from newsmill.cli.terminal import now
from newsmill.model import Outcome

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-m", "newsmill.cli.main"]
SECONDS_PER_CHECK = 0.5  # between two checks of the ledger

System = Callable[[worlds.World, Path, int], tuple[measure.Cost, Path]]


def newsmill(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run `newsmill crawl` with its embedded store and Redis, without profiles; the export is not part of the cost."""
    env = environment(folder)
    return crawl(world, folder, processes, env), export(folder, env)


def newsmill_learning(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run the same crawl and learn every site meanwhile; changed documents are cleaned again. This is the one-time cost of a new site."""
    env = environment(folder, learn=True)
    return crawl(world, folder, processes, env), export(folder, env)


def newsmill_mature(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run the same crawl with existing profiles of the sites (see `learn_sites`)."""
    env = environment(folder)
    give_profiles(world, env)
    return crawl(world, folder, processes, env), export(folder, env)


def newsmill_reprocess(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Extract and store every archived page of a mature crawl again, without the network; the crawl is not part of the cost."""
    env = environment(folder)
    give_profiles(world, env)
    crawl(world, folder, processes, env)
    cost = measure.run([sys.executable, __file__, str(processes)], folder / "reprocess.log", env)
    return cost, export(folder, env)


def environment(folder: Path, *, learn: bool = False) -> dict[str, str]:
    """Return the settings of Newsmill for one run."""
    env = os.environ | {
        "NEWSMILL_DATA": str(folder / "data"),
        "NEWSMILL_ALLOW_NETS": "127.0.0.0/8",
        "NEWSMILL_CONTACT": "benchmark@localhost",
        "NEWSMILL_LEARN": str(learn).lower(),
    }
    for name in ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL"):
        env.pop(name, None)
    return env


def crawl(world: worlds.World, folder: Path, processes: int, env: Mapping[str, str]) -> measure.Cost:
    """Crawl the whole world once and return the cost."""
    command = [*COMMAND, "crawl", *world.homepages, "--processes", str(processes), "--delay", "0", "--json"]
    return measure.run(command, folder / "newsmill.log", env)


def export(folder: Path, env: Mapping[str, str]) -> Path:
    """Export the documents as JSON lines and return the file."""
    documents = folder / "newsmill.jsonl"
    done = subprocess.run([*COMMAND, "export", "--format", "jsonl"], env=env, check=True, capture_output=True, text=True)
    with documents.open("w", encoding="utf-8") as lines:
        for line in done.stdout.split("\n")[:-1]:  # a text may contain other line separators
            document = json.loads(line)
            document["authors"] = [author["name"] for author in document["authors"]]  # the known articles have only names
            lines.write(json.dumps(document) + "\n")
    status = subprocess.run([*COMMAND, "status", "--json"], env=env, check=True, capture_output=True, text=True)
    (folder / "status.json").write_text(status.stdout)
    return documents


_taught: dict[tuple[str, ...], Path] = {}  # hosts of a world → database with their profiles


def learn_sites(world: worlds.World, folder: Path, processes: int) -> None:
    """Learn the sites of a world once; `give_profiles` copies the profiles to runs on worlds with the same hosts, on any port."""
    folder.mkdir()
    env = environment(folder, learn=True)
    crawl(world, folder, processes, env)
    shutil.copytree(folder / "data", folder / "taught")
    _taught[hosts(world)] = folder / "taught" / "newsmill.sqlite"


def hosts(world: worlds.World) -> tuple[str, ...]:
    return tuple(sorted(str(urlsplit(page).hostname) for page in world.homepages))


def give_profiles(world: worlds.World, env: Mapping[str, str]) -> None:
    """Create a new store with the profiles of the sites."""
    subprocess.run([*COMMAND, "db", "upgrade"], env=env, check=True, capture_output=True)
    source = _taught[hosts(world)]
    target = Path(env["NEWSMILL_DATA"]) / source.name
    port = urlsplit(world.homepages[0]).port
    with sqlite3.connect(source) as known, sqlite3.connect(target) as store:
        newest: dict[str, tuple[object, ...]] = {}
        cursor = known.execute("SELECT * FROM profiles ORDER BY site, version")
        names = [column[0] for column in cursor.description]
        for row in cursor:
            newest[row[0]] = row
        for row in newest.values():
            fields = dict(zip(names, row, strict=True))
            site = re.sub(r":\d+$", f":{port}", str(fields["site"]))
            data = json.loads(str(fields["data"])) | {"site": site}
            fields |= {"site": site, "data": json.dumps(data), "applied": 1} | {name: 0 for name in names if name.endswith("_pages")}
            marks = ", ".join("?" * len(names))
            store.execute(f"INSERT INTO profiles ({', '.join(names)}) VALUES ({marks})", [fields[name] for name in names])


SEGMENTS = 2000  # enqueued to measure the memory of one
PAGES_IN_ONE = 32  # pages of a full segment


def redis_bytes_per_page(folder: Path) -> float:
    """Return the bytes in Redis for a page that waits for a worker.

    Full segments are enqueued on a private server, whose memory is then read.
    """
    from newsmill.queue.embedded_redis import EmbeddedRedis
    from newsmill.queue.queue import Queue, connect_redis

    with EmbeddedRedis(folder) as redis:
        queue = Queue(connect_redis(redis.url))
        before = int(queue.connection.info("memory")["used_memory"])  # type: ignore[index]
        for number in range(SEGMENTS):
            queue.enqueue(f"20261125T120000Z-{number:08x}")
        after = int(queue.connection.info("memory")["used_memory"])  # type: ignore[index]
        queue.close()
    return round((after - before) / SEGMENTS / PAGES_IN_ONE, 1)


def scrapy_inline(world: worlds.World, folder: Path, processes: int) -> tuple[measure.Cost, Path]:
    """Run one Scrapy process that extracts in its callbacks; `processes` does not apply."""
    documents = folder / "inline.jsonl"
    command = [sys.executable, str(HERE / "peers.py"), "inline", str(documents), *world.homepages]
    return measure.run(command, folder / "inline.log"), documents


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


def write_urls(world: worlds.World, folder: Path) -> Path:
    """Write a file with the URLs of the articles, one per line."""
    urls_file = folder / "urls.txt"
    rows = [json.loads(line) for line in world.truth.read_text(encoding="utf-8").splitlines()]
    urls_file.write_text("".join(f"{row['url']}\n" for row in rows if row["expected"] == "article"))
    return urls_file


def reprocess(processes: int) -> None:
    """Requeue all stored pages, start workers and the scheduler, and wait until all are stored."""
    settings = configuration.load()
    with context.open_context(settings) as store, context.open_redis(settings):
        requeued = store.ledger.retries.retry(now=now(), outcome=Outcome.STORED)
        children = [child for child in make_children(processes) if child.name != "crawler"]
        with Supervisor(children, environ=os.environ, logs=context.logs_folder(settings), report=print) as supervisor:
            while any(store.ledger.progress.count().states.get(state, 0) for state in ("fetched", "processing")):
                time.sleep(SECONDS_PER_CHECK)
                supervisor.watch()
        print(f"{requeued} pages extracted again")


SYSTEMS: Mapping[str, System] = {
    "newsmill": newsmill,
    "newsmill-learning": newsmill_learning,
    "newsmill-mature": newsmill_mature,
    "newsmill-reprocess": newsmill_reprocess,
    "scrapy-inline": scrapy_inline,
    "trafilatura-cli": trafilatura_cli,
}
LEARNING_SYSTEMS = ("newsmill-mature", "newsmill-reprocess")  # need `learn_sites` first


if __name__ == "__main__":
    reprocess(int(sys.argv[1]))

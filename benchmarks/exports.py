"""Time and memory of exports from a generated store of N documents: each format, in its own process.

python benchmarks/exports.py --documents 100000
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from newsmill import urls
from newsmill.model import Author, Block, BlockType, Document, Image, Link
from newsmill.storage import database, schema
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ledger

WORDS = ("harbour", "bridge", "council", "vote", "water", "night", "open", "shut", "train", "school", "price", "city", "river", "weather")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = (
    ["--format", "jsonl"],
    ["--format", "jsonl", "--as", "zyte"],
    ["--format", "csv"],
    ["--format", "jsonld"],
    ["--format", "parquet"],
    ["--format", "parquet", "--partition", "day"],
    ["--format", "text"],
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    count = parser.parse_args().documents
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), count)
        print(f"{count:,} documents, {(Path(folder) / 'newsmill.sqlite').stat().st_size / 1e6:,.0f} MB")
        print(f"{'':32}{'docs/s':>10}{'per CPU s':>10}{'peak MB':>10}{'MB out':>10}")
        for number, arguments in enumerate(RUNS):
            seconds, spent, peak = run(Path(folder), [*arguments, "--to", f"{folder}/out{number}"])
            size = sum(path.stat().st_size for path in Path(folder, f"out{number}").rglob("*") if path.is_file())
            print(f"{' '.join(arguments):32}{count / seconds:>10,.0f}{count / spent:>10,.0f}{peak:>10.0f}{size / 1e6:>10,.0f}", flush=True)


def run(folder: Path, arguments: list[str]) -> tuple[float, float, float]:
    """Return seconds, CPU seconds and peak megabytes of one `newsmill export`, including its start."""
    began = time.monotonic()
    environment = {**os.environ, "NEWSMILL_DATA": str(folder)}
    child = subprocess.Popen([sys.executable, "-m", "newsmill.cli.main", "export", *arguments], env=environment, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"newsmill export {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def fill(folder: Path, count: int) -> None:
    """Fill a store with generated documents of about 3,000 characters each, over a year and twenty sources."""
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    database.upgrade(engine)
    ledger = Ledger(engine)
    ledger.add([Link("https://paper.example/")], now=BEGAN)
    page = {"ledger_id": ledger.traces()[0].id, "site": "paper.example"}
    rows = ({**to_row(one), **page, "stored_at": one.first_seen_at} for one in made(count))
    while batch := [row for _, row in zip(range(1000), rows, strict=False)]:
        with database.writing(engine) as conn:
            conn.execute(insert(schema.documents), batch)
    engine.dispose()


def made(count: int) -> Iterator[Document]:
    chance = random.Random(7)
    for number in range(count):
        url = f"https://paper.example/{number}"
        paragraphs = [" ".join(chance.choices(WORDS, k=60)) + "." for _ in range(8)]
        at = BEGAN + timedelta(days=365) * number / count
        yield replace(
            EMPTY,
            id=urls.make_key(url),
            url=url,
            requested_url=url,
            canonical_url=url,
            source=f"source-{number % 20}",
            title=" ".join(chance.choices(WORDS, k=8)),
            text="\n\n".join(paragraphs),
            blocks=tuple(Block(BlockType.PARAGRAPH, text) for text in paragraphs),
            published_at=at,
            first_seen_at=at,
            fetched_at=at,
            word_count=480,
        )


_UNKNOWN = dict.fromkeys(Document.__dataclass_fields__)
EMPTY = Document(
    **{
        **_UNKNOWN,
        "site_name": "The Paper",
        "language": "en",
        "authors": (Author("Ann Example"), Author("Bo Example")),
        "tags": ("one", "two", "three"),
        "images": (Image("https://paper.example/i.jpg", caption="A harbour"),),
        "image": "https://paper.example/i.jpg",
        "live_updates": (),
        "rights": {"meta robots": "max-image-preview:large"},
        "extractor": "trafilatura 2.3.1",
        "warnings": (),
        "content_hash": "0" * 32,
        "provenance": {"title": "json-ld", "authors": "json-ld", "published_at": "json-ld"},
        "revision": 1,
        "published_source": "json-ld",
        "published_precision": "second",
    }
)


if __name__ == "__main__":
    main()

"""What the pages cost the server: CPU and bytes of each, over a store of a given size.

    PYTHONPATH=. python benchmarks/pages.py --documents 1000000 --sources 1000

The store is made of rows alone (no archive), on SQLite in a temporary folder; a million documents take five minutes and 4 GB. A page is
asked for in this process, without a socket, so that its CPU is this process's own. The explanation of a document is not among them: it
reads the page again in a child. How fast searches are, benchmarks/search.py says.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert
from starlette.testclient import TestClient

from newsmill.keep import database
from newsmill.keep.documents import to_row
from newsmill.keep.overview import Overview
from newsmill.keep.tables import counts, documents, ledger
from newsmill.model import Block, BlockType, Document, Source
from newsmill.web.app import create_app
from newsmill.web.config import WebConfig
from newsmill.web.house import House, open_house

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
DAYS = 200  # over which the documents came
TEXT = "The council met on Tuesday evening and voted, after two hours of debate, to keep the ferry running through the winter months. " * 12
ROUNDS = 7


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--documents", type=int, default=100_000)
    asked.add_argument("--sources", type=int, default=200)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="newsmill-pages-") as folder:
        engine = database.connect(f"sqlite:///{Path(folder) / 'newsmill.sqlite'}")
        database.upgrade(engine)
        house = open_house(engine, str(Path(folder) / "archive"), now=lambda: NOW)
        fill(house, options.documents, options.sources)
        measure(house)
        engine.dispose()


def fill(house: House, many: int, sources: int) -> None:
    """Sources, one ledger row and one document each, and the counters as the ledger would have them."""
    for number in range(sources):
        house.ledger.put_source(Source(name(number), homepage=f"https://{name(number)}/"), now=NOW)
    every = rows(many, sources)
    while batch := list(islice(every, 5000)):
        with house.engine.begin() as conn:
            conn.execute(insert(ledger), [row for row, _ in batch])
            conn.execute(insert(documents), [row for _, row in batch])
    kinds = ("found", "stored", "duplicate", "not_article", "gone", "timeout", "http_error")
    counted = [
        {"day": (NOW - timedelta(days=back)).date(), "source": name(number), "kind": "page", "outcome": kind, "n": 3 + number % 7}
        for back in range(30)
        for number in range(sources)
        for kind in kinds
    ]
    with house.engine.begin() as conn:
        conn.execute(insert(counts), counted)


def name(number: int) -> str:
    return f"paper-{number:04d}.example"


def rows(many: int, sources: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Ledger row and document, oldest first."""
    made = to_row(document())
    for number in range(many):
        at = NOW - timedelta(days=DAYS) * (many - number) / many
        source = name(number * 7919 % sources)
        url, key = f"https://{source}/town/{number}", f"{number:032x}"
        ended = {"state": "done", "outcome": "stored", "ended_at": at, "document_id": key}
        if number % 50 == 0:
            ended = {"state": "failed", "outcome": "timeout", "ended_at": at, "document_id": None}
        row = {"id": number + 1_000_000, "url_key": key, "url": url, "host": source, "source": source, "kind": "page", "found_by": "feed"}
        times = {"published_at": at, "first_seen_at": at, "fetched_at": at, "stored_at": at}
        ours = {"id": key, "ledger_id": number + 1_000_000, "url": url, "requested_url": url, "source": source, "site": source}
        title = f"Council votes to keep the ferry running, report {number}"
        yield row | {"first_seen_at": at, "next_at": at} | ended, made | ours | times | {"title": title, "content_hash": key}


def document() -> Document:
    """What all documents have in common."""
    fields: dict[str, Any] = dict.fromkeys(Document.__dataclass_fields__)
    fields |= dict.fromkeys(("authors", "tags", "images", "live_updates", "warnings"), ()) | {"rights": {}, "provenance": {}}
    fields |= {"id": "", "url": "", "requested_url": "", "content_hash": "", "first_seen_at": NOW, "fetched_at": NOW, "revision": 1}
    known = {"description": TEXT[:120], "text": TEXT, "blocks": (Block(BlockType.PARAGRAPH, TEXT),), "language": "en", "word_count": 250}
    return Document(**fields | known | {"extractor": "none", "published_source": "meta", "published_precision": "second"})


def measure(house: House) -> None:
    """A line per page: the median of ROUNDS."""
    app = create_app(house, WebConfig(rate=1_000_000))
    newest = f"/documents/{Overview(house.engine).newest(1)[0].id}"
    with TestClient(app, base_url="http://127.0.0.1:8470") as client:
        print(f"{'page':<28} {'CPU ms':>8} {'KB':>8}")
        for path in ("/", newest, "/sources", "/sources?after=" + name(50), f"/sources/{name(3)}", "/ops", "/ops/address?url=" + name(3)):
            spent = []
            for _ in range(ROUNDS):
                before = time.process_time()
                answer = client.get(path, headers={"accept": "text/html"})
                spent.append(time.process_time() - before)
            print(f"{path[:28]:<28} {1000 * median(spent):>8.1f} {len(answer.content) / 1000:>8.1f}")


if __name__ == "__main__":
    main()

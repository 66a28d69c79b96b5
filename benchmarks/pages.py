"""Cost of the web pages, the feeds, the API and the exports: CPU and bytes of each, with a store of a given size.

    python benchmarks/pages.py --documents 100000 --sources 1000 [--database URL]

The store is generated, on SQLite in a temporary folder or in an empty Postgres. 100,000 documents take three minutes and 1 GB. The
newest document has an archived page of 14 KB, which its explanation reads in a child process. Requests run in this process, without a
socket. `ours` is the CPU of this process (with SQLite's), the median of ROUNDS. `children` is the mean CPU of the page reader, and
`database` that of a local Postgres. Half the documents contain "harbour", one in ten "festival", one in a thousand "lighthouse".
With the temporary SQLite store, each format is then exported by a command of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from growth import server_time
from measure import TICK, descendants, run
from sqlalchemy import insert, text, update
from starlette.testclient import TestClient

from newsmill.context import AppContext, build_context
from newsmill.model import Block, BlockType, Document, Page, Source
from newsmill.search.indexer import index_changed
from newsmill.storage import database, schema_version
from newsmill.storage.documents import to_row
from newsmill.storage.schema import counts, documents, ledger, segments
from newsmill.storage.statistics import Statistics
from newsmill.storage.tokens import Scope
from newsmill.text import urls
from newsmill.web.config import WebConfig
from newsmill.web.server import create_app

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
DAYS = 200  # days over which the documents are spread
SENTENCE = "The council met on Tuesday evening and voted, after two hours of debate, to keep the ferry running through the winter months. "
KINDS = ("found", "stored", "duplicate", "not_article", "gone", "timeout", "http_error")
ROUNDS = 7
EXPORTS = (
    ("--format", "jsonl"),
    ("--format", "jsonl", "--as", "zyte"),
    ("--format", "csv"),
    ("--format", "jsonld"),
    ("--format", "parquet"),
    ("--format", "parquet", "--partition", "day"),
    ("--format", "text"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--days", type=int, default=30, help="of counters")
    parser.add_argument("--database", help="an empty one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newsmill-pages-") as folder:
        engine = database.connect(options.database or f"sqlite:///{Path(folder) / 'newsmill.sqlite'}")
        schema_version.upgrade(engine)
        context = build_context(engine, str(Path(folder) / "archive"), now=lambda: NOW)
        fill(context, options.documents, options.sources, options.days)
        measure(context)
        engine.dispose()
        if options.database is None:
            measure_exports(Path(folder), options.documents)


def fill(context: AppContext, many: int, sources: int, days: int) -> None:
    """Write the sources, a ledger row, a document and its words for each number, and the counters that the ledger would have."""
    for number in range(sources):
        context.ledger.sources.put(Source(name(number), homepage=f"https://{name(number)}/"), now=NOW)
    every = rows(many, sources)
    while batch := list(islice(every, 2000)):
        with context.engine.begin() as conn:
            conn.execute(insert(ledger), [row for row, _ in batch])
            conn.execute(insert(documents), [row for _, row in batch])
            index_changed(conn, [row for _, row in batch])
    for back in range(days):
        day = {"day": (NOW - timedelta(days=back)).date(), "kind": "page"}
        counted = [{**day, "source": name(number), "outcome": kind, "n": 3 + number % 7} for number in range(sources) for kind in KINDS]
        with context.engine.begin() as conn:
            conn.execute(insert(counts), counted)
    if context.engine.dialect.name == "postgresql":  # Postgres also does this, a little later; SQLite never does
        with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("VACUUM ANALYZE"))
    archive(context)


def archive(context: AppContext) -> None:
    """Archive a page for the newest document."""
    newest = Statistics(context.engine).newest(1)[0]
    paragraphs = "".join(f"<p>{number}. {SENTENCE}</p>" for number in range(100))
    body = f"<html lang=en><title>{newest.title}</title><body><article><h1>{newest.title}</h1>{paragraphs}</article></body></html>".encode()
    page = Page(newest.url, newest.url, NOW, 200, (("Content-Type", "text/html; charset=utf-8"),), body)
    saved = context.archive.write([page], now=NOW)
    place = {"segment": saved.id, "offset": saved.offsets[0]}
    with context.engine.begin() as conn:
        conn.execute(insert(segments).values(id=saved.id, pages=1, length=saved.length, created_at=NOW))
        conn.execute(update(ledger).where(ledger.c.url == newest.url).values(url_key=urls.make_key(newest.url), **place))
        conn.execute(update(documents).where(documents.c.id == newest.id).values(archive_ref=f"{saved.id}@{saved.offsets[0]}"))


def name(number: int) -> str:
    return f"paper-{number:04d}.example"


def rows(many: int, sources: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield pairs of ledger row and document, oldest first."""
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
        content = {"title": f"Council votes to keep the ferry running, report {number}", "text": words(number), "content_hash": key}
        yield row | {"first_seen_at": at, "next_at": at} | ended, made | ours | times | content


def words(number: int) -> str:
    """Return the text of a document: 250 words."""
    each = ((2, "harbour"), (10, "festival"), (1000, "lighthouse"))
    return SENTENCE * 11 + " ".join(word for often, word in each if number % often == 0) + f" report {number} of this year."


def document() -> Document:
    """Return the fields that all documents share."""
    fields: dict[str, Any] = dict.fromkeys(Document.__dataclass_fields__)
    fields |= dict.fromkeys(("authors", "tags", "images", "live_updates", "warnings"), ()) | {"rights": {}, "provenance": {}}
    fields |= {"id": "", "url": "", "requested_url": "", "content_hash": "", "first_seen_at": NOW, "fetched_at": NOW, "revision": 1}
    known = {"description": SENTENCE, "text": "", "blocks": (Block(BlockType.PARAGRAPH, words(0)),), "language": "en", "word_count": 250}
    return Document(**fields | known | {"extractor": "none", "published_source": "meta", "published_precision": "second"})


def paths(newest: str) -> Iterator[str]:
    """Yield the paths to request."""
    yield from ("/", f"/documents/{newest}", f"/documents/{newest}/explain", f"/documents/{newest}/page", f"/documents/{newest}/archived")
    yield from ("/sources", f"/sources?after={name(50)}", f"/sources/{name(3)}", "/ops", f"/ops/url?url={name(3)}")
    queries: tuple[str, ...] = (
        "",
        "harbour",
        "festival",
        "lighthouse",
        '"winter months"',
        '"festival ferry"',
        f"source:{name(3)}",
        "lang:en",
    )
    queries += ("harbour -festival", "harbour OR festival", "harbour after:2026-11", f"harbour source:{name(3)}", "nosuchword")
    yield from (f"/search?q={query}" for query in queries)
    yield "/search?q=harbour&order=newest"
    yield from (f"/feeds/{kind}?q={query}" for kind in ("json", "atom", "rss") for query in ("", "harbour"))
    yield from (
        "/api/v1/documents?limit=50",
        f"/api/v1/documents/{newest}",
        "/api/v1/search?q=harbour",
        "/api/v1/search/over-time?q=harbour",
    )
    yield from (
        "/api/v1/search/by-source?q=harbour",
        f"/api/v1/sources/{name(3)}",
        "/api/v1/ledger",
        "/api/v1/ledger/counts",
        "/api/v1/health",
    )


def measure(context: AppContext) -> None:
    """Measure and print a line per page."""
    del sys.modules["__main__"].__file__  # otherwise a child process runs this file first; the main file of `newsmill web` has three lines
    app = create_app(context, WebConfig(rate=1_000_000))
    newest = Statistics(context.engine).newest(1)[0].id
    token = context.tokens.add("benchmark", Scope.READ, now=context.now())
    with TestClient(app, base_url="http://127.0.0.1:8470", headers={"authorization": f"Bearer {token}"}) as client:
        print(f"{'page':<46} {'ours ms':>8} {'children':>8} {'database':>8} {'KB':>8}")
        for path in paths(newest):
            client.get(path)  # loads modules and data that later requests reuse
            before, spent = children(), []
            with server_time(context.engine) as server:
                for _ in range(ROUNDS):
                    began = time.process_time()
                    answer = client.get(path, headers={"accept-encoding": "identity"})
                    spent.append(time.process_time() - began)
            others = (1000 * (children() - before) / ROUNDS, 1000 * server[0] / ROUNDS)
            size = len(answer.content) / 1000
            label = path.replace(newest, "ID")[:46] + ("" if answer.status_code == 200 else f" {answer.status_code}!")
            print(f"{label:<46} {1000 * median(spent):>8.1f} {others[0]:>8.1f} {others[1]:>8.1f} {size:>8.1f}", flush=True)


def children() -> float:
    """Return the CPU seconds of the descendants of this process, and of those that they have waited for."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in descendants(os.getpid())]
    return sum(int(field) for row in fields for field in row[11:15]) / TICK


def measure_exports(folder: Path, documents: int) -> None:
    """Print speed, peak memory and size of each export, including the start of its command."""
    print(f"{'export':<46} {'docs/s':>8} {'per CPU s':>10} {'peak MB':>8} {'MB':>8}")
    for number, arguments in enumerate(EXPORTS):
        out = folder / f"out{number}"
        command = [sys.executable, "-m", "newsmill.cli.main", "export", *arguments, "--to", str(out)]
        cost = run(command, folder / "export.log", {**os.environ, "NEWSMILL_DATA": str(folder)})
        speeds = f"{documents / cost.wall:>8,.0f} {documents / cost.cpu:>10,.0f}"
        peak = max(kind.peak_mb for kind in cost.kinds.values())
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
        print(f"{' '.join(arguments):<46} {speeds} {peak:>8.0f} {size:>8,.0f}", flush=True)


if __name__ == "__main__":
    main()

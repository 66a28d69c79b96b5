"""Measurement of the storage of new documents, as in a crawler and a worker; used by growth.py and growth_pages.py."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, text, update

from newsmill.model import Document, ExtractionResult, LeasedUrl, Link, Outcome, OutcomeRecord, Segment
from newsmill.search import indexer
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Fetched, Ledger, Result
from newsmill.storage.schema import hosts

PAGES = (
    indexer.MAX_LISTED_DOCUMENTS
)  # pages of a round: a process merges GIN's pending list after this number, so each round includes one merge
SEGMENT, COMMIT = 32, 16  # pages that a crawler saves together, and that a worker stores together


def store(engine: Engine, made: list[Document]) -> tuple[float, float]:
    """Return CPU of this process and the database server, and wall time, in ms per page, from the fetched page to the stored document."""
    book, now = Ledger(engine), datetime.now(UTC)
    found = [replace(document, published_at=now, first_seen_at=now, fetched_at=now) for document in made]
    by_url = {document.url: document for document in found}
    leased = lease(engine, book, [Link(document.url, source=document.source, found_by="feed") for document in found], now)
    claims = []
    for rows in (leased[first : first + SEGMENT] for first in range(0, len(leased), SEGMENT)):
        segment = Segment(f"{now:%Y%m%dT%H%M%SZ}-{rows[0].id:08x}", len(rows), 1000, now)
        book.save_segment(segment, [Fetched(row.id, row.fence, n, row.url, 200) for n, row in enumerate(rows)], now=now)
        claims += book.claim_segment(segment.id, "benchmark", seconds=600, now=now)
    assert len(claims) == len(found), (len(leased), len(claims))
    results = [Result(claim, ExtractionResult(OutcomeRecord(Outcome.STORED), by_url[claim.url])) for claim in claims]
    with server_time(engine) as server:
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(0, len(found), COMMIT):
            book.store(results[number : number + COMMIT], now=now, owner="benchmark", seconds=600)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    return 1000 * (cpu + server[0]) / len(found), 1000 * wall / len(found)


def lease(engine: Engine, book: Ledger, links: list[Link], now: datetime) -> list[LeasedUrl]:
    """Add new URLs to the ledger and lease them as a crawler does."""
    with writing(engine) as conn:  # release the hosts of the last turn
        conn.execute(update(hosts).values(owner=None, lease_until=None, next_fetch_at=None))
    book.add(links, now=now)
    leased = []
    for host in book.lease_hosts("benchmark", limit=10_000, seconds=60, now=now):
        leased += book.lease_urls(host.host, "benchmark", limit=len(links), seconds=60, now=now)
    assert {row.url for row in leased} == {link.url for link in links}, (len(leased), len(links))
    return leased


@contextmanager
def server_time(engine: Engine) -> Iterator[list[float]]:
    """Yield a list that gets the CPU seconds of all processes of a local Postgres; 0 for SQLite."""
    spent = [0.0]
    before = _server_cpu(engine)
    yield spent
    spent[0] = _server_cpu(engine) - before


def _server_cpu(engine: Engine) -> float:
    if engine.dialect.name != "postgresql":
        return 0.0
    with reading(engine) as conn:
        pids = conn.execute(text("SELECT pid FROM pg_stat_activity")).scalars().all()
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process is on another machine, or has ended
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")

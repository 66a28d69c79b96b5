"""Stores new documents the way a crawler and a worker do, and says what that costs: the part that growth.py and growth_pages.py share."""

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
from newsmill.search import pending_list
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Fetched, Ledger, Result
from newsmill.storage.schema import hosts

PAGES = (
    pending_list.MAX_LISTED_DOCUMENTS
)  # of a round: after as many a process empties GIN's pending list, so each round pays for that once
SEGMENT, COMMIT = 32, 16  # pages: as a crawler saves them, as a worker stores them


def store(engine: Engine, made: list[Document]) -> tuple[float, float]:
    """CPU (ours and the database server's) and wall time per page of these new pages, from the fetched page to the stored document."""
    book, now = Ledger(engine), datetime.now(UTC)
    found = [replace(document, published_at=now, first_seen_at=now, fetched_at=now) for document in made]
    by_url = {document.url: document for document in found}
    owed = lease(engine, book, [Link(document.url, source=document.source, found_by="feed") for document in found], now)
    claims = []
    for rows in (owed[first : first + SEGMENT] for first in range(0, len(owed), SEGMENT)):
        segment = Segment(f"{now:%Y%m%dT%H%M%SZ}-{rows[0].id:08x}", len(rows), 1000, now)
        book.save_segment(segment, [Fetched(row.id, row.fence, n, row.url, 200) for n, row in enumerate(rows)], now=now)
        claims += book.claim_segment(segment.id, "bench", seconds=600, now=now)
    assert len(claims) == len(found), (len(owed), len(claims))
    results = [Result(claim, ExtractionResult(OutcomeRecord(Outcome.STORED), by_url[claim.url])) for claim in claims]
    with server_time(engine) as server:
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(0, len(found), COMMIT):
            book.store(results[number : number + COMMIT], now=now, owner="bench", seconds=600)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    return 1000 * (cpu + server[0]) / len(found), 1000 * wall / len(found)


def lease(engine: Engine, book: Ledger, links: list[Link], now: datetime) -> list[LeasedUrl]:
    """These new addresses in the ledger, and leased as a crawler leases them."""
    with writing(engine) as conn:  # the last turn's hosts are free again
        conn.execute(update(hosts).values(owner=None, lease_until=None, next_fetch_at=None))
    book.add(links, now=now)
    owed = []
    for host in book.lease_hosts("bench", limit=10_000, seconds=60, now=now):
        owed += book.lease_urls(host.host, "bench", limit=len(links), seconds=60, now=now)
    assert {row.url for row in owed} == {link.url for link in links}, (len(owed), len(links))
    return owed


@contextmanager
def server_time(engine: Engine) -> Iterator[list[float]]:
    """CPU seconds of a local Postgres's processes, all of them; nothing where there is none."""
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
        except OSError:  # another machine's, or gone
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")

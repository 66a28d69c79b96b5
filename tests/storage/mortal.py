"""A process that may be killed at any instant; a module of its own, because the process must be able to import it."""

from __future__ import annotations

from multiprocessing.synchronize import Event

from rows import Mill, after, document_of, good

from newsmill.model import ClaimedPage
from newsmill.storage import database
from newsmill.storage.ledger import Ledger


def crawl_and_read(url: str, number: int, begun: Event) -> None:
    """A crawler and a worker in one, in small steps, until nothing is pending. Later `number`s have later clocks and find leases ended."""
    engine = database.connect(url)
    mill = Mill(Ledger(engine), now=after(minutes=2 * number), crawler=f"c{number}", worker=f"w{number}", segments=number * 1000)
    mill.ledger.url_leases.expire(now=mill.now)
    begun.set()
    while mill.lease(limit=5):
        mill.save()
        read(mill)
    read(mill)
    engine.dispose()


def read(mill: Mill) -> None:
    for segment in mill.ledger.segments.list_pending(now=mill.now, limit=100):
        for claim in mill.claim(segment):
            read_one(mill, claim)
    while (claim := mill.claim_deferred()) is not None:
        read_one(mill, claim)


def read_one(mill: Mill, claim: ClaimedPage) -> None:
    if mill.ledger.claims.mark_in_progress(claim, now=mill.now):
        mill.store(good(claim, document_of(claim.url, first_seen_at=mill.now)))

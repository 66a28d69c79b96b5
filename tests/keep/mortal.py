"""A process that may die at any step; a module of its own, because the process must be able to import it."""

from __future__ import annotations

import random

from rows import Mill, after, document_of, good

from newsmill.find import urls
from newsmill.keep import database
from newsmill.keep.ledger import Ledger


def crawl_and_die(url: str, seed: int) -> None:
    """A crawler and a worker in one process, which gives up at a random point without cleaning up."""
    chance = random.Random(seed)
    engine = database.connect(url)
    mill = Mill(Ledger(engine, urls), now=after(minutes=2 * seed), crawler=f"c{seed}", worker=f"w{seed}", segments=seed * 1000)

    def may_die() -> bool:
        return chance.random() < 0.1

    mill.ledger.expire_leases(now=mill.now)
    while not may_die():
        if not mill.lease(limit=10) or may_die():
            break
        mill.save()
        if may_die():
            break
    for segment in mill.ledger.owed_segments(now=mill.now, limit=100):
        claims = mill.claim(segment)
        for claim in claims:
            if chance.random() < 0.05:
                engine.dispose()
                return
            mill.ledger.mark_in_hand(claim, now=mill.now)
            mill.store(good(claim, document_of(claim.url, first_seen_at=mill.now)))
    engine.dispose()

"""The totals of the counters: the database keeps them for every writer, and no two transactions deadlock."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from rows import NOON, Mill, good, links
from sqlalchemy import Engine, delete, func, insert, select, update

from newsmill.model import Outcome
from newsmill.storage.counter_repair import describe_wrong_totals, repair_totals
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import count_totals, counts

Totals = dict[tuple[str, str, str], int]


def both(engine: Engine) -> tuple[Totals, Totals]:
    """The totals, and the counters added up."""
    key = (counts.c.source, counts.c.kind, counts.c.outcome)
    with reading(engine) as conn:
        kept = {(row.source, row.kind, row.outcome): row.n for row in conn.execute(select(count_totals)) if row.n}
        summed = {tuple(row[:3]): int(row[3]) for row in conn.execute(select(*key, func.sum(counts.c.n)).group_by(*key)) if row[3]}
    return kept, summed


def test_totals_are_the_sums_of_the_days(engine: Engine) -> None:
    mill = Mill(Ledger(engine))
    mill.store(*(good(claim) for claim in mill.fetch(*links(3))))
    mill.now += timedelta(days=2)
    mill.ledger.retries.retry(now=mill.now, outcome=Outcome.STORED, refetch=True)
    mill.store(*(good(claim) for claim in mill.fetch(*links(4))))
    kept, summed = both(engine)
    assert kept == summed
    assert {outcome: kept["paper", "page", outcome] for outcome in ("found", "stored", "unchanged")} == {
        "found": 4,
        "stored": 1,
        "unchanged": 3,
    }
    day, other = NOON.date(), NOON.date() - timedelta(days=400)
    row = {"source": "paper", "kind": "page", "outcome": "gone"}
    with writing(engine) as conn:  # a hand, or the program of before
        conn.execute(insert(counts), [row | {"day": day, "n": 5}, row | {"day": other, "n": 7}])
        conn.execute(update(counts).where(counts.c.outcome == "gone", counts.c.day == day).values(n=2))
        conn.execute(delete(counts).where(counts.c.outcome == "gone", counts.c.day == other))
    kept, summed = both(engine)
    assert kept == summed and kept["paper", "page", "gone"] == 2
    with writing(engine) as conn:
        conn.execute(update(count_totals).where(count_totals.c.outcome == "gone").values(n=5))
        conn.execute(update(counts).where(counts.c.outcome == "gone").values(n=3))
        assert repair_totals(conn) == ["paper page gone: the total of all days differs by -3"]
    assert both(engine)[0]["paper", "page", "gone"] == 3
    with writing(engine) as conn:
        assert describe_wrong_totals(conn) == []


def test_writers_of_the_same_counters_never_wait_in_a_circle(engine: Engine) -> None:
    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(25):
            tally = CounterUpdates()
            for _ in range(6):
                tally.add(NOON - timedelta(days=rng.randrange(3)), rng.choice("ab"), "page", rng.choice(("stored", "gone")))
            with writing(engine) as conn:
                tally.write(conn)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    kept, summed = both(engine)
    assert kept == summed and sum(kept.values()) == 4 * 25 * 6

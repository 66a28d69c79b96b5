"""Short runs of the harness with fixed seeds. The long ones are a command: `python benchmarks/chaos.py --help`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chaos.installation import Plan, free_port
from chaos.killer import TARGETS, intents
from chaos.results import Strike, back_to_progress
from chaos.run import chaos
from chaos.site import World, token


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database", "targets"),
    [
        ("sqlite", [target for target in TARGETS if target != "database"] + ["outage-redis", "outage-database"]),
        ("postgres", ["database", "worker", "crawler", "scheduler"]),  # the processes that write to it
    ],
    ids=["sqlite", "postgres"],
)
def test_nothing_is_lost_doubled_or_stuck(database: str, targets: list[str]) -> None:
    """Each kind of process is struck while four sites are crawled, and no outage needs a person: Redis away, Redis out of memory, SQLite
    locked by another program. Poison takes a minute to be quarantined, so the command tests it."""
    world = World(free_port(), sites=4, pages=120)
    plan = Plan(database, workers=2, delay=0.05, lease=5.0, high_water=4)
    report = chaos(world, plan, intents(20261125, 0, [], extra=targets), hold=4.0, say=print, keep=None)
    print("\n".join(report.lines()))
    assert report.good, report.lines()
    assert report.result.stored + len(report.result.quarantined) == 120
    assert report.strikes.total() >= len(targets) - 2  # at the end there may be nobody to strike
    assert {target for target in targets if target.startswith("o")} <= set(report.strikes), "outages meet somebody at any time"


def test_the_plan_comes_from_the_seed() -> None:
    assert intents(1, 50, TARGETS) == intents(1, 50, TARGETS) != intents(2, 50, TARGETS)
    assert {intent.target for intent in intents(1, 200, TARGETS)} == set(TARGETS)


def test_every_article_is_one_and_its_own() -> None:
    world = World(8000, 4, 50, poison=10)
    assert len(world.urls) == 50
    for number in random.Random(1).sample(range(50), 5):
        body = world.article(number).decode()
        assert token(number) in body
        assert (world.order(number) is not None) == ('name="chaos"' in body)
    assert [number for number in range(50) if world.order(number)] == [5, 15, 25, 35, 45]


def test_back_to_progress_counts_from_the_end_of_an_outage() -> None:
    stored = [(0.0, 0), (1.0, 5), (4.0, 9), (20.0, 12)]
    strikes = [Strike("worker", 2.0, 2.0, 5), Strike("outage-redis", 5.0, 15.0, 9), Strike("worker", 30.0, 30.0, 12)]
    assert back_to_progress(strikes, stored) == [2.0, 5.0]


def test_the_words_are_enough() -> None:
    assert len(set(Path(__file__).with_name("words.txt").read_text().split())) > 150

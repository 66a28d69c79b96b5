"""Calculations of the benchmarks, without running them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from newsmill.model import Kind, Link
from newsmill.storage import database, schema_version
from newsmill.storage.ledger import Ledger

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = {path.stem for path in BENCHMARKS.glob("*.py")}
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def benchmark_module() -> Iterator[Any]:
    """Imports a benchmark by its plain name; some test modules have the same name."""
    others = {name: sys.modules.pop(name) for name in NAMES & sys.modules.keys()}
    path = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path[:] = path
    for name in NAMES & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(others)


def test_start_up_is_subtracted_from_cpu_and_bytes(benchmark_module: Any) -> None:
    report, cost = benchmark_module("throughput"), benchmark_module("measure").Cost

    def run(size: str, articles: int, cpu: float, written: float) -> Any:
        truth = {"stored_once": articles, "stored_more_than_once": 0}
        return report.Run("it", size, cost(cpu, 10.0, 0, written_mb=written), articles, truth)

    row = report.summary("it", [run("small", 100, 5.0, 140.0), run("large", 1100, 35.0, 340.0)])
    assert (row["cpu_per_1000"], row["written_mb_per_1000"]) == (30.0, 200.0)
    assert row["cpu_per_1000_with_start"] == 31.8


def test_systems_are_compared_turn_by_turn(benchmark_module: Any) -> None:
    """The machine was half as fast in the second turn, which does not change the ratio."""
    report = benchmark_module("throughput")
    ours, theirs = ({"cpu_per_1000_by_turn": turns} for turns in ([10.0, 20.0, 9.0], [20.0, 40.0, 20.0]))
    assert report.ratio(ours, theirs) == "0.50 (0.45 to 0.50)"


def test_filled_urls_are_known_in_a_sitemap(benchmark_module: Any, tmp_path: Path) -> None:
    crawling = benchmark_module("crawling")
    engine = database.connect(f"sqlite:///{tmp_path / 'newsmill.sqlite'}")
    schema_version.upgrade(engine)
    ledger = Ledger(engine)
    crawling.fill(ledger, 0, 20, 5, 8093)
    crawling.fill(ledger, 20, 30, 5, 8093)
    (tmp_path / "www").mkdir()
    crawling.write_sitemaps(tmp_path, 1, 8093, known=6, new=2)
    sitemap = (tmp_path / "www" / "maps" / f"{crawling.make_host(0)}.xml").read_text()
    links = [Link(part.partition("<")[0], Kind.PAGE, None, "sitemap") for part in sitemap.split("<loc>")[1:]]
    added = ledger.links.add(links, now=NOW)
    engine.dispose()
    assert (added.known, added.new) == (6, 2)


# ---- scores of single pages, with a simple scorer instead of score.py


def words_f1(gold: str, found: str) -> tuple[float, float, float]:
    left, right = set(gold.split()), set(found.split())
    share = 2 * len(left & right) / (len(left) + len(right)) if right else 0.0
    return share, share, share


ROW = {"text": "Rain fell.\n\nIt was cold.", "without_optional": "It was cold."}
SCORE = SimpleNamespace(WORD=re.compile(r"\w+"), plain=str, variants=lambda row: list(row.values()), token_page=words_f1)


@pytest.mark.parametrize(
    ("text", "exact"),
    [("Rain fell. It was cold!", True), ("It was cold.", True), ("It was cold. Rain fell.", False), ("Rain fell.", False), ("", False)],
)
def test_exact_means_the_words_of_one_variant_in_order(benchmark_module: Any, text: str, exact: bool) -> None:
    assert benchmark_module("quality").is_exact(SCORE, ROW, text) is exact


@pytest.mark.parametrize(
    ("ours", "theirs", "lost"),
    [
        (["x"], "It was cold.", True),
        (["x"], "x", False),
        (["x", "It was cold."], "It was cold.", False),
        (["It was"], "It was cold.", False),
    ],
)
def test_a_catastrophe_is_lost_in_every_form_and_found_by_trafilatura(
    benchmark_module: Any, ours: list[str], theirs: str, lost: bool
) -> None:
    assert benchmark_module("quality").is_catastrophe(SCORE, ROW, ours, theirs) is lost


def test_calibration_counts_pages_by_confidence(benchmark_module: Any) -> None:
    table = benchmark_module("quality").calibration([(0.99, 1.0), (0.99, 0.5), (0.82, 0.7)]).splitlines()
    assert [line.split() for line in table[1:]] == [
        ["0.80", "to", "0.85", "1", "0.820", "0.700", "0", "1"],
        ["0.98", "to", "1.00", "2", "0.990", "0.750", "1", "1"],
        ["expected", "minus", "F1", "over", "all:", "+0.2000"],
    ]

"""Publication days of the date cases of htmldate: `pytest -s tests/conformance/test_days.py` prints the rates."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsmill.extraction.html import parse_source, prepare_html
from newsmill.extraction.metadata.dates import find_published
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.text.charset import to_utf8

NOW = datetime(2026, 11, 25, tzinfo=UTC)  # when the pages count as fetched; all are older
MIN_RIGHT, MAX_WRONG = 0.91, 0.05  # shares of the pages of a set
Case = tuple[str, bytes, str | None]  # URL, page, gold day; None where the page has none


def cases(shared: Path) -> Iterator[Case]:
    """Every second of htmldate's own evaluation pages in the case collection, without those that are in the quality data too."""
    folder, measured = shared / "cases" / "dates", {gold["url"] for gold in gold_rows(shared)}
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text("utf-8").splitlines()]
    for number, case in enumerate(case for case in rows if case["kind"] == "html-page" and case["url"] not in measured):
        if number % 2 == 0:
            page = gzip.decompress((folder / next(iter(case["files"].values()))).read_bytes())
            yield case["url"], page, case["date"] if isinstance(case["date"], str) else None


def quality(shared: Path) -> Iterator[Case]:
    """htmldate's pages in the quality data."""
    for gold in gold_rows(shared):
        file = shared / "quality" / "data" / "htmldate" / "pages" / f"{gold['id']}.html.gz"
        yield gold["url"], gzip.decompress(file.read_bytes()), gold["date"][:10]


def gold_rows(shared: Path) -> list[dict[str, str]]:
    file = shared / "quality" / "data" / "htmldate" / "gold.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]


def day_of(url: str, page: bytes) -> str | None:
    markup = prepare_html(to_utf8(page, "text/html"))
    tree = parse_source(markup).tree
    found = None if tree is None else find_published(read_structured_data(tree, url, markup.html), url, NOW)
    return None if found is None else found.day


@pytest.mark.slow
@pytest.mark.parametrize("pages", [cases, quality])
def test_days_are_right_or_unknown(pages, shared: Path) -> None:
    counts: Counter[str] = Counter()
    for url, page, gold in pages(shared):
        day = day_of(url, page)
        counts["right" if day == gold else "absent" if day is None else "wrong"] += 1
    rates = {result: counts[result] / counts.total() for result in ("right", "wrong", "absent")}
    print(
        f"\n| days, {pages.__name__} | {counts.total()} pages | " + " | ".join(f"{name} {rate:.3f}" for name, rate in rates.items()) + " |"
    )
    assert rates["right"] >= MIN_RIGHT and rates["wrong"] <= MAX_WRONG

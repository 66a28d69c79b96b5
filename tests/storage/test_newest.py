"""The newest documents of the home page, and documents per day of publication."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from rows import NOON, SOURCE, Mill, document_of, good
from sqlalchemy import Engine

from newsmill.model import Link, Source
from newsmill.storage import newest_documents, publication_counts
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.newest_documents import list_newest
from newsmill.storage.publication_counts import count_by_publication

TODAY = NOON.replace(hour=0)


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    """One crawl of `paper`: 30 documents, each published a day before the other. Two older documents of `quiet`, and one of no source."""
    mill = Mill(ledger, now=NOON)
    for source in (SOURCE, Source("quiet", homepage="https://quiet.example/"), Source("empty", homepage="https://empty.example/")):
        ledger.sources.put(source, now=NOON)
    rows = [("paper", NOON - timedelta(minutes=number), NOON - timedelta(days=number)) for number in range(30)]
    rows += [("quiet", NOON - timedelta(hours=5), None), ("quiet", NOON - timedelta(hours=6), NOON - timedelta(days=3)), (None, NOON, None)]
    links = [Link(f"https://paper.example/{number}", source=source) for number, (source, _, _) in enumerate(rows)]
    claims = {claim.url: claim for claim in mill.fetch(*links)}
    results = []
    for link, (source, seen, published) in zip(links, rows, strict=True):
        document = document_of(
            link.url, content=link.url, title=link.url, first_seen_at=seen, published_at=published, published_precision=None
        )
        results.append(good(claims[link.url], replace(document, source=source)))
    mill.store(*results)
    return mill


def test_one_crawl_does_not_fill_the_list(engine: Engine, mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {by: list_newest(engine, 9, by) for by in ("published", "seen")}
    for found in whole.values():
        assert Counter(head.source for head in found.heads) == {"paper": 3, "quiet": 2, None: 1}
        assert found.max_per_source == 3
    assert [head.source for head in whole["seen"].heads][2:] == ["paper", "paper", "quiet", "quiet"]
    assert [head.source for head in whole["published"].heads] == ["paper"] * 3 + ["quiet", None, "quiet"], "undated ones come last"
    for by in whole:
        monkeypatch.setattr(newest_documents, "MAX_CANDIDATES", 5)  # all of one crawl
        found = list_newest(engine, 9, by)
        assert {head.source for head in found.heads} >= {"paper", "quiet"}
        assert list(found.heads) == sorted(found.heads, key=lambda head: newest_documents._order(head, by), reverse=True)


def test_few_sources_share_a_longer_list(engine: Engine, mill: Mill) -> None:
    for name in ("quiet", "empty"):
        SourceChanges(engine).remove(name, now=NOON)
    found = list_newest(engine, 9, "published")
    assert Counter(head.source for head in found.heads) == {"paper": 5, None: 1}
    assert found.max_per_source == 5


def test_documents_by_day_of_publication(engine: Engine, mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = count_by_publication(engine, TODAY - timedelta(days=3))
    assert rows is not None
    assert {(row.at, row.source): row.n for row in rows} == {
        (TODAY - timedelta(days=3), "quiet"): 1,
        **{(TODAY - timedelta(days=number), "paper"): 1 for number in range(4)},
    }
    monkeypatch.setattr(publication_counts, "MAX_COUNTED", 4)
    assert count_by_publication(engine, TODAY - timedelta(days=3)) is None

"""Removed and renamed sources leave no trace of the old name: documents, URLs, counters and the search index agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from rows import NOON, SITE, SOURCE, Mill, bad, document_of, ended, good, links
from sqlalchemy import Engine, insert, select, update

from newsmill.model import Link, Outcome, Source
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import counter_repair
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.schema import completeness, count_totals, counts, source_patterns, sources

OTHER = Source("other", homepage="https://other.example/")


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    """Two documents, a failure and a pending page of "paper", and one document of "other"."""
    ledger.sources.put(SOURCE, now=NOON)
    ledger.sources.put(OTHER, now=NOON)
    mill = Mill(ledger)
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in [*mill.lease(), *mill.lease("other.example")]], now=NOON)
    first, second, third = mill.fetch(*links(3))
    mill.store(*(good(claim, document_of(claim.url, source="paper")) for claim in (first, second)), bad(third, Outcome.NO_TEXT))
    ledger.links.add([Link("https://other.example/1", source="other", found_by="feed")], now=NOON)
    mill.lease("other.example")
    (foreign,) = mill.claim(mill.save())
    mill.store(good(foreign, document_of(foreign.url, source="other")))
    ledger.links.add([Link(f"{SITE}/pending", source="paper", found_by="feed")], now=NOON)
    return mill


def count_rows(engine: Engine, source: str) -> dict[str, int]:
    with reading(engine) as conn:
        totals = {f"{row.kind} {row.outcome}": row.n for row in conn.execute(select(count_totals).where(count_totals.c.source == source))}
        days = {f"{row.kind} {row.outcome}": row.n for row in conn.execute(select(counts).where(counts.c.source == source))}
    assert totals == days
    return totals


def check_counters(engine: Engine) -> None:
    with writing(engine) as conn:
        assert counter_repair.find_wrong_counters(conn) == []
        assert counter_repair.describe_wrong_totals(conn) == []


def find(engine: Engine, query: str) -> list[str | None]:
    while index_pending(engine):
        pass
    return sorted(hit.source or "" for hit in Search(engine).search(query).hits)


def test_a_removed_source_is_gone(engine: Engine, ledger: Ledger, mill: Mill) -> None:
    removed = SourceChanges(engine).remove("paper", now=NOON)
    assert (removed.documents, removed.urls) == (2, 6)  # three pages, one pending, two listings
    assert [source.name for source in ledger.sources.list_all()] == ["other"]
    assert ledger.traces.list_all(source="paper") == []
    assert Documents(engine).count() == 1
    assert count_rows(engine, "paper") == {}
    check_counters(engine)
    assert find(engine, "quoted") == ["other"]
    assert SourceChanges(engine).remove("paper", now=NOON).urls == 0


def test_documents_can_stay(engine: Engine, ledger: Ledger, mill: Mill) -> None:
    removed = SourceChanges(engine).remove("paper", now=NOON, keep_documents=True)
    assert (removed.documents, removed.urls) == (0, 4)
    assert Documents(engine).count("paper") == 2
    assert count_rows(engine, "paper") == {"page found": 2, "page stored": 2}
    check_counters(engine)
    assert find(engine, "quoted") == ["other", "paper", "paper"]
    ledger.sources.put(SOURCE, now=NOON)  # may be followed again
    assert ledger.progress.count("paper").outcomes == {Outcome.STORED: 2}


def test_a_renamed_source_keeps_everything(engine: Engine, ledger: Ledger, mill: Mill) -> None:
    before, listed = count_rows(engine, "paper"), len(ledger.traces.list_all(source="paper"))
    assert SourceChanges(engine).rename(SOURCE, "gazette", now=NOON) == 2
    assert ledger.sources.get("paper") is None
    assert ledger.sources.get("gazette") == replace(SOURCE, name="gazette")
    assert (len(ledger.traces.list_all(source="gazette")), ledger.traces.list_all(source="paper")) == (listed, [])
    assert count_rows(engine, "gazette") == before
    assert count_rows(engine, "paper") == {}
    check_counters(engine)
    assert find(engine, "source:gazette") == ["gazette", "gazette"]
    assert find(engine, "source:paper") == []


def test_a_renamed_source_keeps_its_age_and_what_was_learned(engine: Engine, ledger: Ledger, mill: Mill) -> None:
    """Without its age, its rhythm and its completeness would begin anew."""
    later, week = NOON + timedelta(days=30), {"computed_at": NOON, "articles": 90, "late": 0, "at_most": 0.01, "unknown": None}
    with writing(engine) as conn:
        conn.execute(insert(completeness), [{"source": "paper", "week": NOON.date(), **week}])
        conn.execute(insert(source_patterns), [{"source": "paper", "computed_at": NOON, "pattern": {}}])
        conn.execute(update(sources).where(sources.c.name == "paper").values(script_pages=7))

    def read(name: str) -> list[Sequence[object]]:
        tables = {sources: sources.c.name, completeness: completeness.c.source, source_patterns: source_patterns.c.source}
        with reading(engine) as conn:
            rows = [conn.execute(select(table).where(column == name)).mappings().all() for table, column in tables.items()]
        return [[{key: value for key, value in row.items() if key not in ("name", "source", "plan")} for row in found] for found in rows]

    before = read("paper")
    SourceChanges(engine).rename(SOURCE, "gazette", now=later)
    assert (read("gazette"), read("paper")) == (before, [[], [], []])


def test_a_removed_source_loses_what_is_being_fetched(engine: Engine, ledger: Ledger, mill: Mill) -> None:
    rows = mill.lease()
    assert rows
    SourceChanges(engine).remove("paper", now=NOON)
    assert ledger.url_endings.end([ended(row, Outcome.LISTED) for row in rows], now=NOON) == 0
    check_counters(engine)

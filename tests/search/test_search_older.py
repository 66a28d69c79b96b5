"""The search in a database that an SQLite older than 3.43 made (Debian 12 has 3.40): its tables keep a copy of the words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from articles import article, found, numbers, store
from sqlalchemy import Engine, delete, text, update

from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import database, schema_version
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import documents


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    engine = database.connect(f"sqlite:///{tmp_path / 'older.db'}")
    schema_version.upgrade(engine)
    yield engine
    engine.dispose()


def test_an_older_sqlite_finds_the_same(older: Engine) -> None:
    with reading(older) as conn:
        made = conn.execute(text("SELECT sql FROM sqlite_master WHERE name = 'search_words'")).scalars().all()
    assert len(made) == 1 and not any("contentless" in one for one in made)
    search = Search(older)
    store(
        older,
        article(1, "The harbours open at noon.", source="paper"),
        article(2, "At noon the old harbour shuts.", source="the-paper"),
        article(3, "东京都的猫", language="zh"),
    )
    assert numbers(search, "harbour") == ["2", "1"]
    assert found(search, '"old harbour"') == {"2"} == found(search, "noon -open") == found(search, "source:the-paper")
    assert found(search, "东京") == {"3"}
    assert search.count_by_source("noon") == (("paper", 1), ("the-paper", 1))
    with writing(older) as conn:
        conn.execute(update(documents).where(documents.c.url.endswith("/1")).values(text="The ferry leaves.", content_hash="new"))
        conn.execute(delete(documents).where(documents.c.url.endswith("/3")))
    assert index_pending(older) == 1
    assert (found(search, "harbour"), found(search, "ferries"), found(search, "东京")) == ({"2"}, {"1"}, set())

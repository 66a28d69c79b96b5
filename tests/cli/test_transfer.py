"""The transfer of an embedded database to Postgres."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import services
from command_result import Newsmill
from rows import NOON, Mill, document_of, good, links
from sqlalchemy import Engine, select, text

from newsmill import settings
from newsmill.context import open_context
from newsmill.model import Link, Source
from newsmill.search import index_copy
from newsmill.search.indexer import index_pending
from newsmill.storage import clock, database, schema_version
from newsmill.storage import transfer as transfer_of_rows
from newsmill.storage.database import reading, writing
from newsmill.storage.marks import MarkChange, Marks
from newsmill.storage.processes import Heartbeat
from newsmill.storage.saved_searches import SavedSearches
from newsmill.storage.schema import metadata
from newsmill.storage.tokens import Scope, Tokens
from newsmill.storage.transfer import count_rows, transfer

DOCUMENTS = 250  # more than a batch of the index
MADE_AGAIN = ("processes", "search_entries")  # search_entries has a column that only Postgres fills


def read_tables(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with reading(engine) as conn:
        return {
            table.name: sorted((tuple(row) for row in conn.execute(select(table))), key=lambda row: str(row[:2]))
            for table in metadata.tables.values()
            if table.name not in MADE_AGAIN
        }


def read_entries(engine: Engine) -> set[tuple[object, ...]]:
    with reading(engine) as conn:
        return {
            tuple(row) for row in conn.execute(text("SELECT document_id, moment, source, authors, site, vector::text FROM search_entries"))
        }


TEXTS = (  # lemmas, common bigrams, compounds, scripts without spaces, a lead and a body
    {"language": "en", "title": "Ferries to the islands", "text": "The ferries were late.\n\n" + "It is to be said of the ferries. " * 40},
    {
        "language": "de",
        "title": "Kommunalwahlen",
        "text": "Die Häuser der Kommunalwahlen\n\n" + "und in der Häfen. " * 40,
        "description": "Straßen",
    },
    {
        "language": "ja",
        "title": "東京都の猫",
        "text": "東京都™ ½ Ünïcode's\n\n" + "猫が好き。" * 90,
        "published_at": None,
        "section": "Sport & Spiel",
    },
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with documents and what users have made."""
    monkeypatch.chdir(tmp_path)
    with open_context(settings.load(), create=True) as store:
        store.ledger.sources.put(Source("paper", feeds=("https://paper.example/rss",)), now=NOON)
        mill = Mill(store.ledger, now=NOON)
        claims = mill.fetch(*links(DOCUMENTS))
        while claims:
            titles = {claim.url: f"Harbour {claim.url.rpartition('/')[2]}" for claim in claims}
            for some in (claims[at : at + 25] for at in range(0, len(claims), 25)):  # one commit may take 5 s
                mill.store(*(good(claim, document_of(claim.url, title=titles[claim.url], text=titles[claim.url])) for claim in some))
            claims = mill.fetch()
        texts = [Link(f"https://paper.example/text{number}", source="paper") for number in range(len(TEXTS))]
        mill.store(*(good(claim, document_of(claim.url, **fields)) for claim, fields in zip(mill.fetch(*texts), TEXTS, strict=True)))
        mill.ledger.links.add(links(1), now=NOON, again=True)  # the first document gets a second revision
        (claim,) = mill.claim(mill.save(mill.lease()))
        mill.store(good(claim, document_of(claim.url, title="Harbour 0", text="The harbour is closed")))
        Marks(store.engine, "ann").change([document_of(claim.url).id], MarkChange(starred=True, add_tags=("To read",)), now=NOON)
        Tokens(store.engine).add("ann", Scope.READ, now=NOON)
        SavedSearches(store.engine).add("ann", "Ports", "harbour", now=NOON)
    return tmp_path / "newsmill-data"


def test_every_row_is_in_postgres_and_is_found(data: Path, postgres_url: str, newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "DATABASE_URL is not set" in newsmill("db", "copy").err
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{data}/other.sqlite")
    assert ("DATABASE_URL is not set to a Postgres" in newsmill("db", "copy").err, (data / "other.sqlite").exists()) == (True, False)
    monkeypatch.delenv("DATABASE_URL")
    before = {document["id"]: document for document in newsmill("export", "harbour").lines}
    assert newsmill("db", "upgrade").code == 0  # makes the fingerprints
    url = services.make_database(postgres_url, "newsmill_transfer")
    monkeypatch.setenv("DATABASE_URL", url)
    source, target = database.connect(f"sqlite:///{data}/newsmill.sqlite"), database.connect(url)
    heartbeat = Heartbeat(source, role="crawler")
    heartbeat.beat(clock.read_clock(source))
    running = newsmill("db", "copy")
    assert (running.code, "(crawler); stop them first" in running.err) == (2, True)
    heartbeat.stop()
    with writing(source) as conn:  # changed since it was indexed
        conn.execute(text("UPDATE documents SET section = 'Wahlen' WHERE title = 'Kommunalwahlen'"))
    monkeypatch.setattr(index_copy, "CHUNK_DOCUMENTS", 100)
    done = newsmill("db", "copy")
    assert (done.code, "copied the database of" in done.err) == (0, True), done.err
    index_pending(source)
    assert read_tables(target) == read_tables(source)
    assert {document["id"]: document for document in newsmill("export", "harbour").lines} == before
    assert len(before) >= DOCUMENTS
    findings = [finding["check"] for finding in newsmill("doctor", "--json").json]
    assert findings == ["segment_missing"], "the test has no archive"
    with open_context(settings.load()) as store:
        assert store.ledger.links.add([Link("https://paper.example/new")], now=NOON).new == 1, "the number of a new row is free"
    entries = read_entries(target)
    with writing(target) as conn:
        conn.execute(text("INSERT INTO search_pending SELECT id FROM documents ON CONFLICT DO NOTHING"))
    index_pending(target, 2 * DOCUMENTS)
    assert entries == read_entries(target), "the copied index is the one that indexing makes"
    with reading(target) as conn:
        assert not conn.execute(text("SELECT tgname FROM pg_trigger WHERE tgenabled <> 'O'")).all()
        assert "gin" in conn.execute(text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_search_entries_vector'")).scalar_one()
    again = newsmill("db", "copy")
    assert (again.code, "has rows (" in again.err) == (2, True)
    source.dispose()
    target.dispose()


def test_an_interrupted_transfer_leaves_nothing(data: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = database.connect(services.make_database(postgres_url, "newsmill_interrupted"))
    schema_version.upgrade(target)
    source = database.connect(f"sqlite:///{shutil.copy(data / 'newsmill.sqlite', data / 'copy.sqlite')}")
    monkeypatch.setattr(transfer_of_rows, "BATCH_ROWS", 50)
    rows: list[int] = []

    def stop(count: int) -> None:
        rows.append(count)
        if sum(rows) > count_rows(source) / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(source, target, stop)
    assert count_rows(target) == 0
    transfer(source, target, rows.append)
    assert count_rows(target) == count_rows(source)
    source.dispose()
    target.dispose()

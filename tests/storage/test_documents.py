"""Documents: in and out unchanged, found by any URL, streamed in a stable order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import FULL, NOON, SITE, Mill, NewDatabase, after, document_of, good, links
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError

from newsmill.model import Block, BlockType, Document, ListItem, Markup, Outcome, TableCell, TextLink
from newsmill.storage import documents as module
from newsmill.storage import schema
from newsmill.storage.columns import make_storable, make_storable_json
from newsmill.storage.database import writing
from newsmill.storage.documents import Documents, to_row
from newsmill.storage.ledger import Ledger
from newsmill.text import urls


def store(ledger: Ledger, *found: Document) -> None:
    """Documents, each of a page of its own."""
    mill = Mill(ledger)
    claims = {claim.url: claim for claim in mill.fetch(*(replace(links(1)[0], url=document.requested_url) for document in found))}
    mill.store(*(good(claims[urls.normalize(document.requested_url)], document) for document in found))


def test_every_field_has_a_column() -> None:
    names = {field.name for field in fields(Document)}
    assert names == set(schema.documents.c.keys()) - {"ledger_id", "site", "stored_at", "changed_at"}


def test_a_document_comes_back_as_it_went_in(ledger: Ledger, documents: Documents) -> None:
    full = replace(FULL, id=urls.make_key(FULL.url), text_seen_at=NOON, original_url="https://agency.example/a")
    empty = document_of(
        f"{SITE}/empty", text="", text_seen_at=NOON, blocks=(), authors=(), tags=(), images=(), live_updates=(), rights={}, warnings=()
    )
    store(ledger, full, empty)
    assert documents.get(full.id) == full
    assert documents.get(empty.id) == empty


def test_markup_comes_back_and_what_says_nothing_takes_no_room(ledger: Ledger, documents: Documents) -> None:
    markup = Markup(3, (TextLink(0, 1, "https://a.example/"),), (ListItem(0, 1, 1, 2),), (TableCell(0, 1, 0, 1, True),))
    blocks = (Block(BlockType.PARAGRAPH, "a"), Block(BlockType.LIST, "b", layer="model", reason="won back", path="body/ul", markup=markup))
    store(ledger, document_of(f"{SITE}/a", blocks=blocks))
    found = documents.get(urls.make_key(f"{SITE}/a"))
    assert found is not None and found.blocks == blocks
    assert to_row(found)["blocks"][0] == {"type": "paragraph", "text": "a"}


def test_doubtful_documents_are_counted_by_an_index(ledger: Ledger, documents: Documents, engine: Engine) -> None:
    values = (0.0, 0.0, 1.0, None)
    store(ledger, *(document_of(f"{SITE}/{n}", confidence=value) for n, value in enumerate(values)))
    assert documents.count_doubtful() == 2 == sum(document.doubtful for document in documents.iterate())
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with writing(engine) as conn:
        if engine.dialect.name == "postgresql":
            conn.execute(text("SET LOCAL enable_seqscan = off"))
        plan = str(conn.execute(text(f"{explain} SELECT count(*) FROM documents WHERE confidence < 0.5")).all())
    assert "ix_documents_confidence" in plan


def test_the_archive_reference_is_filled_in(ledger: Ledger, documents: Documents) -> None:
    store(ledger, document_of(f"{SITE}/a", archive_ref=None))
    found = documents.get(urls.make_key(f"{SITE}/a"))
    assert found is not None and found.archive_ref == "20261125T120000Z-00000001@0"


NO_UPDATE = {
    "sqlite": ["CREATE TRIGGER refuse BEFORE UPDATE ON documents BEGIN SELECT RAISE(ABORT, 'written'); END"],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written'; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
ALLOW_UPDATE = {"sqlite": "DROP TRIGGER refuse", "postgresql": "DROP FUNCTION refuse CASCADE"}


@pytest.fixture
def written_documents_refused(engine: Engine) -> Iterator[None]:
    """The database takes new documents only."""
    with writing(engine) as conn:
        for statement in NO_UPDATE[engine.dialect.name]:
            conn.execute(text(statement))
    yield
    with writing(engine) as conn:
        conn.execute(text(ALLOW_UPDATE[engine.dialect.name]))


@pytest.mark.usefixtures("written_documents_refused")
def test_a_page_read_again_that_says_the_same_is_not_written(ledger: Ledger, documents: Documents) -> None:
    mill, full = Mill(ledger), document_of(f"{SITE}/0")
    (claim,) = mill.fetch(*links(1))
    mill.store(good(claim, full))
    before = documents.get(full.id)
    for reading, is_written in ((full, False), (replace(full, rights={"tdm": "no"}), True), (replace(full, modified_at=NOON), True)):
        ledger.retries.retry(now=mill.now, outcome=Outcome.STORED)
        (claim,) = mill.claim(claim.segment)
        with pytest.raises(DBAPIError, match="written") if is_written else nullcontext():
            assert mill.store(good(claim, reading)) == {Outcome.STORED: 1}
        mill.now += timedelta(minutes=2)
    assert documents.get(full.id) == before


@given(st.text())
def test_what_no_database_stores_is_taken_out_and_nothing_else(text: str) -> None:
    clean = make_storable(text)
    assert "\0" not in clean
    clean.encode()
    assert make_storable(clean) == clean
    assert make_storable_json({text: [text, 1, None]}) == {clean: [clean, 1, None]}


def test_a_document_with_hostile_text_is_stored(ledger: Ledger, documents: Documents) -> None:
    nasty = "a\0b\ud800c"
    store(ledger, document_of(f"{SITE}/a", title=nasty, text=nasty, tags=(nasty,), rights={"robots": nasty}))
    found = documents.get(f"{SITE}/a")
    assert found is not None and (found.title, found.tags, found.rights) == ("ab\ufffdc", ("ab\ufffdc",), {"robots": "ab\ufffdc"})


def test_any_address_finds_it(ledger: Ledger, documents: Documents) -> None:
    store(ledger, document_of(f"{SITE}/amp/1", canonical=f"{SITE}/one"))
    for key_or_url in (urls.make_key(f"{SITE}/one"), f"{SITE}/one", f"{SITE}/one?utm_source=x#y", f"{SITE}/amp/1"):
        found = documents.get(key_or_url)
        assert found is not None and found.canonical_url == f"{SITE}/one"
    assert documents.get(f"{SITE}/two") is None
    assert documents.get("not a URL at all") is None
    assert documents.get("") is None
    for odd in ("\0", "\udcff"):  # in the path of a request, or in an argument of a command
        assert documents.get(odd) is documents.find_image(odd) is None


def fill(engine: Engine, count: int, size: int = 10) -> None:
    """Many documents of one page; what the reader sees does not depend on the ledger."""
    ledger = Ledger(engine)
    ledger.links.add(links(1), now=NOON)
    found = ledger.traces.list_all()[0].id
    row = {**to_row(FULL), "ledger_id": found, "stored_at": NOON, "text": "x" * size}
    with writing(engine) as conn:
        for at in range(0, count, 100):
            rows = [
                {
                    **row,
                    "id": f"{n * 7919 % 100003:032x}",
                    "source": f"s{n % 2}",
                    "first_seen_at": after(minutes=n // 3),
                    "stored_at": after(days=n % 5),
                }
                for n in range(at, min(at + 100, count))
            ]
            conn.execute(insert(schema.documents), rows)


def test_a_large_store_is_counted_roughly_on_postgres(
    engine: Engine, ledger: Ledger, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert documents.estimate_count() == (0, True)
    store(ledger, *(document_of(f"{SITE}/{number}") for number in range(5)))
    assert documents.estimate_count() == (5, True)
    monkeypatch.setattr(module, "MAX_EXACT_COUNT", 3)
    if engine.dialect.name == "postgresql":
        assert documents.estimate_count() == (5, True), "nobody has looked yet"
        with writing(engine) as conn:
            conn.execute(text("ANALYZE documents"))
        assert documents.estimate_count() == (5, False)
    else:
        assert documents.estimate_count() == (5, True)


def test_iteration_is_complete_in_order_and_filtered(engine: Engine, documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    fill(engine, 100)
    every = list(documents.iterate())
    assert len({document.id for document in every}) == 100 == documents.count()
    assert every == sorted(every, key=lambda document: (document.first_seen_at, document.id))
    assert [d.id for d in documents.iterate(source="s1")] == [d.id for d in every if d.source == "s1"]
    in_order = [f"{n:032x}" for day in (3, 4) for n in sorted(n * 7919 % 100003 for n in range(day, 100, 5))]
    assert [d.id for d in documents.iterate(since=after(days=3))] == in_order, "as stored: no page of them sorts all"
    assert documents.count(since=after(days=3)) == 40
    assert list(documents.iterate(source="none")) == []


def test_iteration_survives_writes_between_its_steps(
    engine: Engine, ledger: Ledger, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    fill(engine, 10)
    stream = documents.iterate()
    first = next(stream)
    store(ledger, document_of(f"{SITE}/new", first_seen_at=after(days=1)))
    assert len([first, *stream]) == 11


def test_iteration_holds_no_more_than_a_page(new_database: NewDatabase) -> None:
    from newsmill.storage import database

    engine = database.connect(new_database())
    fill(engine, 1000, size=20_000)  # 20 MB of text
    tracemalloc.start()
    try:
        assert sum(1 for _ in Documents(engine).iterate()) == 1000
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()
        engine.dispose()

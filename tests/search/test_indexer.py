"""GIN's list of new words on Postgres: who empties it and when, and that nobody waits for it or misses anything."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import services
from rows import Mill, document_of, good, links
from sqlalchemy import Engine, text, update

from newsmill.search.indexer import index_pending
from newsmill.search.pending_list import MAX_LISTED_DOCUMENTS, PendingList
from newsmill.search.search import Search
from newsmill.storage import database, schema_version
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import documents

LISTED = text("SELECT gin_clean_pending_list('ix_search_entries_vector')")  # how many pages the list had; empties it


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """A database of its own, without autovacuum, which empties the list too."""
    engine = database.connect(services.make_database(postgres_url, "newsmill_pending_list"))
    schema_version.upgrade(engine)
    with writing(engine) as conn:
        conn.execute(text("ALTER TABLE search_entries SET (autovacuum_enabled = false)"))
    yield engine
    engine.dispose()


def listed(engine: Engine) -> int:
    with reading(engine) as conn:
        pages: int = conn.execute(LISTED).scalar_one()
    return pages


def store(engine: Engine, ledger: Ledger, count: int) -> None:
    """So many new documents, twenty to a commit."""
    mill, first = Mill(ledger), Search(engine).count()
    claims = [claim for at in range(first, first + count, 20) for claim in mill.fetch(*links(min(at + 20, first + count))[at:])]
    for at in range(0, count, 20):
        mill.store(*(good(claim, document_of(claim.url, text="The ferry leaves.", language="en")) for claim in claims[at : at + 20]))


def test_the_list_grows_between_two_cleanings_and_is_searched(engine: Engine) -> None:
    book = Ledger(engine)
    store(engine, book, MAX_LISTED_DOCUMENTS - 20)
    assert Search(engine).count("ferry") == MAX_LISTED_DOCUMENTS - 20
    store(engine, book, 20)
    assert listed(engine) == 0 and Search(engine).count("ferry") == MAX_LISTED_DOCUMENTS
    store(engine, book, 20)
    assert listed(engine) > 0 and Search(engine).count("ferry") == MAX_LISTED_DOCUMENTS + 20


def test_a_page_that_stored_nothing_counts_for_nothing(engine: Engine) -> None:
    store(engine, Ledger(engine), 20)
    PendingList(engine).add(0)
    assert listed(engine) > 0


def test_nobody_waits_for_another_who_is_at_it(engine: Engine) -> None:
    store(engine, Ledger(engine), 20)
    with writing(engine) as conn:
        conn.execute(text("SELECT pg_advisory_xact_lock(x'70656e64696e67'::bigint)"))
        PendingList(engine, max_documents=1).add(20)
    assert listed(engine) > 0
    store(engine, Ledger(engine), 20)
    PendingList(engine, max_documents=1).add(20)
    assert listed(engine) == 0


def test_an_account_that_may_not_sort_the_index_stores_all_the_same(engine: Engine) -> None:
    with writing(engine) as conn:
        conn.execute(text("DROP ROLE IF EXISTS newsmill_stranger"))
        conn.execute(text("CREATE ROLE newsmill_stranger"))
    as_stranger = engine.url.update_query_dict({"options": "-c role=newsmill_stranger"})
    stranger = database.connect(as_stranger.render_as_string(hide_password=False))
    store(engine, Ledger(engine), 20)
    PendingList(stranger, max_documents=1).add(20)
    stranger.dispose()
    assert listed(engine) > 0


def test_whoever_catches_up_empties_it_too(engine: Engine) -> None:
    store(engine, Ledger(engine), 200)
    listed(engine)
    with writing(engine) as conn:
        conn.execute(update(documents).values(text="The harbour shuts."))
    assert index_pending(engine) == 200
    assert listed(engine) == 0 and Search(engine).count("harbour") == 200


def test_workers_that_empty_it_beside_one_another_lose_nothing(engine: Engine) -> None:
    mill = Mill(Ledger(engine))
    mill.ledger.links.add(links(96), now=mill.now)
    leased = mill.lease()
    segments = [mill.save(leased[at : at + 32]) for at in range(0, 96, 32)]

    def work(segment: str) -> None:
        mine = Mill(Ledger(engine), worker=segment)
        mine.ledger.results._pending_list = PendingList(engine, max_documents=8)
        claims = mine.claim(segment)
        for at in range(0, len(claims), 4):
            mine.store(*(good(claim, document_of(claim.url, text="The ferry leaves.", language="en")) for claim in claims[at : at + 4]))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, segments))
    assert Search(engine).count("ferry") == 96


def test_the_list_holds_more_than_one_process_puts_there(engine: Engine) -> None:
    """Else the commit that fills it sorts it, and others wait for that commit."""
    with reading(engine) as conn:
        options = conn.execute(text("SELECT reloptions FROM pg_class WHERE relname = 'ix_search_entries_vector'")).scalar_one()
    assert options == ["gin_pending_list_limit=16384"]


def test_vectors_are_stored_as_they_are(engine: Engine) -> None:
    """Postgres would try to compress each, which never works, and searches would unpack them."""
    with reading(engine) as conn:
        wanted = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'search_entries'::regclass AND attname = 'vector'"
        assert conn.execute(text(wanted)).scalar_one() == "e"

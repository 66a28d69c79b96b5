"""A takedown leaves no word of the article in the search index: in none of its tables, and after VACUUM not in the file of SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from rows import NOON, SITE, document_of, good, links
from sqlalchemy import Engine, select, text
from takedown_store import REASON, Store, erase_archived_pages, make_link, make_store, take_down

from newsmill.search.search import Search
from newsmill.storage import database
from newsmill.storage.database import reading
from newsmill.storage.schema import search_endings, search_forms

# Words with nothing in common, so that each is in the file as it is: FTS5 keeps what a word shares with the one before it only once.
RARE = ("Qhrzdzieck", "Zvoltmunga", "Xylkrbotha")


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Store:
    store = make_store(engine, tmp_path)
    store.store(*links(20), text="ferry harbour kept")
    store.show(f"{SITE}/secret", f"{RARE[0]} on the ferry", f"The harbour and {RARE[1]}.")
    store.show(f"{SITE}/secret", f"{RARE[0]} on the ferry", f"The harbour and {RARE[1]} and {RARE[2]}.")  # a second revision
    return store


def list_forms(engine: Engine) -> set[str]:
    with reading(engine) as conn:
        return set(conn.execute(select(search_forms.c.form)).scalars())


def test_the_words_that_only_the_article_had_are_forgotten(store: Store, engine: Engine) -> None:
    assert RARE[0].lower() in list_forms(engine)
    take_down(store.app, [f"{SITE}/secret"], REASON)
    assert {word.lower() for word in RARE} & list_forms(engine) == set()
    assert {"ferry", "harbour"} <= list_forms(engine), "other articles have them"
    assert {len(Search(engine).search(word).hits) for word in RARE} == {0}
    assert len(Search(engine).search("harbour").hits) == 20
    store.show(f"{SITE}/later", RARE[0], "Another article.")
    assert RARE[0].lower() in list_forms(engine), "although this process has registered the word before the takedown"


def test_the_compounds_that_only_the_article_had_are_forgotten(store: Store, engine: Engine) -> None:
    for path, words in (("secret-2", "Xylkrbothawahlen Kommunalwahlen"), ("other", "Kommunalwahlen")):
        (claim,) = store.fetch(make_link(f"{SITE}/{path}"))
        made = good(claim, document_of(claim.url, title=words, text=words, language="de"))
        store.app.ledger.results.store([made], now=NOON, owner="worker", seconds=60)
    assert list_compounds(engine) == {"xylkrbothawahlen", "kommunalwahlen"}
    take_down(store.app, [f"{SITE}/secret-2"], REASON)
    assert list_compounds(engine) == {"kommunalwahlen"}


def list_compounds(engine: Engine) -> set[str]:
    with reading(engine) as conn:
        return {ending[::-1] for ending in conn.execute(select(search_endings.c.ending)).scalars()}


def test_after_vacuum_no_word_is_in_the_file(sqlite_url: str, tmp_path: Path) -> None:
    engine = database.connect(sqlite_url)
    store = make_store(engine, tmp_path)
    store.store(*links(20), text="ferry harbour kept")
    store.show(f"{SITE}/secret", f"{RARE[0]} on the ferry", f"The harbour and {RARE[1]} and {RARE[2]}.")
    assert all(word in read_file(engine) for word in RARE)
    take_down(store.app, [f"{SITE}/secret"], REASON)
    assert any(word in read_file(engine) for word in RARE), "FTS5 has only marked the row as deleted"
    erase_archived_pages(store.app)
    assert [word for word in RARE if word in read_file(engine)] == []
    assert len(Search(engine).search("harbour").hits) == 20
    with reading(engine) as conn:
        assert conn.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    engine.dispose()


def read_file(engine: Engine) -> list[str]:
    """The rare words that the file has after VACUUM, in any case."""
    with reading(engine) as conn:
        conn.execute(text("VACUUM"))
        conn.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    content = Path(str(engine.url.database)).read_bytes().lower()
    return [word for word in RARE if word.lower().encode()[1:] in content]  # the first letter may be shared with another word

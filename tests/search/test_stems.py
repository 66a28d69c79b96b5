"""The stems that a process remembers are those that Postgres makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from newsmill.search import indexer as module
from newsmill.search.entry import STEMMERS
from newsmill.search.indexer import dictionary_name, stem_words
from newsmill.storage import database
from newsmill.storage.database import reading

WORDS = {"ferries", "harbours", "the", "häuser", "новости", "東京", "q"}

STEM_QUERY = text("SELECT (ts_lexize(CAST(:how AS regdictionary), :word))[1]")


@pytest.fixture
def engine(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Postgres only, because SQLite has its own stemmer. The cache is empty."""
    monkeypatch.setattr(module, "_stem_cache", {})
    engine = database.connect(postgres_database)
    yield engine
    engine.dispose()


def made(engine: Engine, how: str, word: str) -> str | None:
    with reading(engine) as conn:
        found: str | None = conn.execute(STEM_QUERY, {"how": how, "word": word}).scalar_one()
    return found


@pytest.mark.parametrize("stemmer", ["", *sorted(set(STEMMERS.values()))])
def test_each_word_has_its_dictionary_s_stem_and_those_it_drops_stay(engine: Engine, stemmer: str) -> None:
    how = dictionary_name(stemmer)
    with reading(engine) as conn:
        found = stem_words(conn, how, WORDS)
    assert {word: found[word] for word in WORDS} == {word: made(engine, how, word) or word for word in WORDS}


def test_they_are_asked_for_once_and_forgotten_when_there_are_too_many(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_STEMS", 3)
    with reading(engine) as conn:
        assert stem_words(conn, dictionary_name("english"), {"ferries", "boats"}) == {"ferries": "ferri", "boats": "boat"}
        assert stem_words(conn, dictionary_name("german"), {"boats"})["boats"] == "boat"
        assert stem_words(conn, dictionary_name("english"), {"boats"}) == {"ferries": "ferri", "boats": "boat"}
        assert stem_words(conn, dictionary_name("english"), {"boats", "seas"}) == {"seas": "sea", "boats": "boat"}
        assert (
            stem_words(conn, dictionary_name("english"), {"a", "b", "c", "boats"})["boats"] == "boat"
        )  # more than it may keep, all the same

"""A saved search of stories: each story that gets enough sources matches once, whatever becomes of it; on SQLite and Postgres."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from rows import NOON, insert_pages
from sqlalchemy import Engine, delete, select, update
from story_world import make_world, settle
from strikes import kill_at_each_step
from struck import match_stories

from newsmill.context import build_context
from newsmill.exceptions import ConfigError
from newsmill.model import Document
from newsmill.notifications.alerts import AlertSender, AlertWriter
from newsmill.search.indexer import index_pending
from newsmill.storage import database, schema, schema_version
from newsmill.storage.alert_schedule import Schedule
from newsmill.storage.alerts import Alerts, Channel
from newsmill.storage.database import reading, writing
from newsmill.storage.saved_searches import MATCH_AGE, SavedSearches
from newsmill.storage.stories import Stories
from newsmill.storage.story_edits import StoryEdits
from newsmill.storage.story_matches import WideStory

NOW = NOON + timedelta(days=1)


def name_of(document: Document) -> str:
    return (document.title or "").split()[0]


def make_sender(engine: Engine, folder: Path) -> AlertSender:
    return AlertSender(build_context(engine, str(folder / "archive")), cast(AlertWriter, None))


def add(engine: Engine, *found: Document) -> None:
    insert_pages(engine, *found)
    settle(engine)
    while index_pending(engine):
        pass


def test_a_story_matches_once_when_it_gets_enough_sources(engine: Engine, tmp_path: Path) -> None:
    world = make_world()
    harbour, council, copy = world[:4], world[4:7], world[-1]
    searches = SavedSearches(engine)
    add(engine, *council)
    wide = searches.add("ann", "Wide", "", story_sources=3, now=NOW)
    named = searches.add("ann", "Named", f"title:{name_of(harbour[0])}", story_sources=2, now=NOW)
    other = searches.add("ann", "Other", "nosuchword", story_sources=2, now=NOW)
    sender = make_sender(engine, tmp_path)

    def count() -> list[int]:
        sender.match_stories(NOW)
        return [found.matches for search in (wide, named, other) if (found := searches.get(search.id))]

    assert count() == [0, 0, 0], "a story that has its sources already is no news"
    add(engine, *harbour[:2])
    assert count() == [0, 1, 0]
    add(engine, copy)
    assert count() == [1, 1, 0]
    story = Stories(engine).of_documents([copy.id])[copy.id]
    first = min(harbour[:2], key=lambda document: document.first_seen_at)
    assert [match.document_id for match in searches.list_matches(wide.id, limit=9)] == [first.id]
    # growing, losing sources and getting them again, a merge into another story, and a split
    add(engine, *harbour[2:])
    for texts in (["Nothing of it is left."] * 3, [document.text for document in harbour[1:]]):
        with writing(engine) as conn:
            for document, text in zip(harbour[1:], texts, strict=True):
                conn.execute(update(schema.documents).where(schema.documents.c.id == document.id).values(text=text))
        settle(engine)
        assert count() == [1, 1, 0]
    elsewhere = Stories(engine).of_documents([council[0].id])[council[0].id]
    merged = StoryEdits(engine).merge([elsewhere.id, story.id], now=NOW)
    assert merged == elsewhere.id and count() == [1, 1, 0], "the story is another one, which had matched"
    assert count() == [1, 1, 0]
    # old news: an archive that is imported
    with writing(engine) as conn:
        conn.execute(delete(schema.compared_stories))
    sender.match_stories(NOON + timedelta(days=20))
    assert [found.matches for search in (wide, named) if (found := searches.get(search.id))] == [1, 1]
    sender.match_stories(NOW)
    searches.delete_old(now=NOW + 2 * MATCH_AGE)
    with reading(engine) as conn:
        assert conn.execute(select(schema.compared_stories)).first() is None
    assert searches.remove(wide.id)


def test_a_merge_into_a_story_that_had_too_few_sources_is_no_news(engine: Engine, tmp_path: Path) -> None:
    world = make_world()
    small, big = world[7:9], world[:4]
    searches = SavedSearches(engine)
    wide = searches.add("ann", "Wide", "", story_sources=4, now=NOW)
    add(engine, *small)
    add(engine, *big)
    sender = make_sender(engine, tmp_path)
    sender.match_stories(NOW)
    ids = [Stories(engine).of_documents([one.id])[one.id].id for one in (small[0], big[0])]
    assert StoryEdits(engine).merge(ids, now=NOW) == min(ids) == ids[0]
    sender.match_stories(NOW)
    found = searches.get(wide.id)
    assert found is not None and found.matches == 1


def test_a_story_that_goes_on_after_a_merge_is_no_news_a_month_later(engine: Engine) -> None:
    searches = SavedSearches(engine)
    wide = searches.add("ann", "Wide", "", story_sources=3, now=NOON)
    counts = {"documents": 40, "texts": 40, "sources": 9}
    seconds = [int((NOON + timedelta(days=day)).timestamp()) for day in (0, 1, 2, 33)]
    with writing(engine) as conn:
        rows = [
            {"id": 1, "first_second": seconds[0], "last_second": seconds[3], "merged_into": None, **counts},
            {"id": 2, "first_second": seconds[1], "last_second": seconds[2], "merged_into": 1, **dict.fromkeys(counts, 0)},
        ]
        conn.execute(schema.stories.insert(), rows)
    searches.record_stories(wide, [(WideStory(2, 3, ("d",)), "d")], now=NOON + timedelta(days=2))
    for _ in range(2):
        assert searches.list_wide_stories(wide, now=NOON + timedelta(days=33)) == []
        searches.delete_old(now=NOON + timedelta(days=33))
    searches.delete_old(now=NOON + timedelta(days=33) + 2 * MATCH_AGE)
    with reading(engine) as conn:
        assert conn.execute(select(schema.compared_stories)).all() == []


def test_a_story_waits_for_the_search_index(engine: Engine, tmp_path: Path) -> None:
    world = make_world()
    searches = SavedSearches(engine)
    named = searches.add("ann", "Named", f"title:{name_of(world[0])}", story_sources=2, now=NOW)
    insert_pages(engine, *world[:2])
    settle(engine)
    sender = make_sender(engine, tmp_path)
    sender.match_stories(NOW)
    while index_pending(engine):
        pass
    sender.match_stories(NOW)
    found = searches.get(named.id)
    assert found is not None and found.matches == 1


@pytest.mark.parametrize(("query", "sources", "message"), [("", None, "query"), ("", 1, "story_sources"), ("x", 1001, "from 2 to 1000")])
def test_a_search_that_can_match_nothing(engine: Engine, query: str, sources: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SavedSearches(engine).add("ann", "Bad", query, story_sources=sources, now=NOW)


@pytest.mark.slow
def test_a_kill_loses_no_story_and_announces_none_twice(tmp_path: Path) -> None:
    made, copy = tmp_path / "made.sqlite", tmp_path / "copy.sqlite"
    engine = database.connect(f"sqlite:///{made}")
    schema_version.upgrade(engine)
    search = SavedSearches(engine).add("ann", "Wide", "", story_sources=2, now=NOON)
    Alerts(engine).add(search, Channel.EMAIL, "ann@example.org", Schedule(), now=NOON)
    add(engine, *make_world())
    engine.dispose()

    def prepare() -> dict[str, str]:
        for path in tmp_path.glob("copy.sqlite*"):
            path.unlink()
        shutil.copy(made, copy)
        return {"url": f"sqlite:///{copy}"}

    for _ in kill_at_each_step(match_stories, {"folder": str(tmp_path)}, tmp_path / "log", prepare, every=3):
        engine = database.connect(f"sqlite:///{copy}")
        sender = make_sender(engine, tmp_path)
        for _ in range(2):
            sender.prepare(NOW)
        found = SavedSearches(engine).get(search.id)
        assert found is not None and found.matches == len(SavedSearches(engine).list_matches(search.id, limit=99)) == 3
        with reading(engine) as conn:
            assert [row.payload for row in conn.execute(select(schema.outbox))] == [{"until": 3}]
        engine.dispose()

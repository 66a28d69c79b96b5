"""Stories depend on the documents and on what persons decided: not on the order of arrival, on batches or on kills."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rows import NOON, document_of, insert_pages
from sqlalchemy import Engine, delete, func, select, text, update
from story_world import make_event, make_world, settle
from strikes import kill_at_each_step
from struck import correct_stories

from newsmill.archive.archive import Archive
from newsmill.exceptions import ConfigError
from newsmill.model import Document, StoryEventKind
from newsmill.storage import database, doctor, due_stories, schema, schema_version, story_rules
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.stories import Stories
from newsmill.storage.story_edits import StoryEdits
from newsmill.storage.story_rules import StoryRules, read_rules, set_rules
from newsmill.stories import MAX_COMPONENT, TERMS_VERSION, find_terms, pack

ORDERS = int(os.environ.get("NEWSMILL_STORY_ORDERS", "2"))


def read_stories(engine: Engine, found: Collection[Document]) -> set[frozenset[str]]:
    """The documents of each story, checked against its counts."""
    told = Stories(engine).of_documents([document.id for document in found])
    groups: dict[int, set[str]] = {}
    for document, story in told.items():
        groups.setdefault(story.id, set()).add(document)
    listed, _ = Stories(engine).page(pairs=True, limit=100)
    assert {story.id: story.documents for story in listed} == {story: len(ids) for story, ids in groups.items()}
    with reading(engine) as conn:  # no rows are left of pages that are gone or copies
        pages = set(conn.execute(select(schema.story_texts.c.ledger_id)).scalars())
        assert pages == set(conn.execute(select(schema.story_terms.c.ledger_id)).scalars())
        assert (
            len(pages)
            == conn.execute(
                select(func.count())
                .select_from(schema.copy_groups)
                .where(func.coalesce(schema.copy_groups.c.group_id, schema.copy_groups.c.ledger_id) == schema.copy_groups.c.ledger_id)
            ).scalar_one()
        )
    return {frozenset(ids) for ids in groups.values()}


def store(engine: Engine, order: Sequence[Document], batches: random.Random | None = None) -> None:
    for document in order:
        insert_pages(engine, document)
        if batches and batches.random() < 0.3:
            settle(engine)
    settle(engine)


@pytest.fixture
def world() -> list[Document]:
    return make_world()


@pytest.mark.parametrize("seed", range(ORDERS))
def test_stories_do_not_depend_on_the_order_of_arrival(engine: Engine, world: list[Document], seed: int) -> None:
    rng = random.Random(seed)
    store(engine, rng.sample(world, len(world)), rng)
    ids = [document.id for document in world]
    expected = {frozenset((*ids[:4], ids[-1])), frozenset(ids[4:7]), frozenset(ids[7:9])}
    assert read_stories(engine, world) == expected
    biggest = Stories(engine).page(order="biggest", limit=1)[0][0]
    assert (biggest.documents, biggest.texts, biggest.sources) == (5, 4, 5)


def test_a_removal_an_edit_and_a_new_document_decide_stories_again(engine: Engine, world: list[Document]) -> None:
    store(engine, world)
    a, b = (Stories(engine).of_documents([world[index].id])[world[index].id].id for index in (0, 4))
    with writing(engine) as conn:  # the copy stays, and is the story's text now; one text tells another event; one story ends
        conn.execute(delete(schema.documents).where(schema.documents.c.id.in_([world[0].id, world[8].id])))
        values = {"text": world[1].text, "title": world[1].title}
        conn.execute(update(schema.documents).where(schema.documents.c.id == world[4].id).values(**values))
    settle(engine)
    left = [document for document in world if document.id not in (world[0].id, world[8].id)]
    ids = [document.id for document in world]
    assert read_stories(engine, left) == {frozenset((*ids[1:5], ids[-1])), frozenset(ids[5:7])}
    told = Stories(engine).of_documents(ids)
    assert (told[ids[1]].id, told[ids[5]].id) == (a, b), "a story keeps its ID while it keeps most of its texts"


def test_what_a_person_decides_stays_decided(engine: Engine, world: list[Document]) -> None:
    store(engine, world)
    ids = [document.id for document in world]
    stories, edits = Stories(engine), StoryEdits(engine, "ann")
    a, b, c = (stories.of_documents([ids[index]])[ids[index]].id for index in (0, 4, 7))
    with pytest.raises(ConfigError):
        edits.merge([a, a], now=NOON)
    assert edits.merge([b, a], now=NOON) == min(a, b)
    merged = stories.get(max(a, b))
    assert merged is not None and merged.story.id == min(a, b) and merged.is_pinned, "links to a merged story lead to the other"
    assert [(event.kind, event.story_id, event.other_id, event.user) for event in merged.events] == [
        (StoryEventKind.MERGED, min(a, b), max(a, b), "ann")
    ]
    with pytest.raises(ConfigError):
        edits.split(c, [ids[0]], now=NOON)
    # an earlier original of the first text: the page that all links name becomes a copy
    original = document_of("https://original.example/", text=world[5].text, title="First", source="first", language="en")
    world.append(replace(original, published_at=NOON, first_seen_at=NOON))
    store(engine, world[-1:])
    assert (merged := stories.get(a)) is not None and merged.is_pinned
    split = edits.split(min(a, b), ids[4:6], now=NOON)
    expected = {frozenset((*ids[:4], ids[6], ids[10])), frozenset((*ids[4:6], original.id)), frozenset(ids[7:9])}
    assert read_stories(engine, world) == expected and split > max(a, b)
    with writing(engine) as conn:  # edits and a new page do not undo it
        conn.execute(update(schema.documents).values(title=schema.documents.c.title + " again"))
    settle(engine)
    assert read_stories(engine, world) == expected
    edits.pin(c, now=NOON)
    with writing(engine) as conn:
        conn.execute(update(schema.documents).where(schema.documents.c.id == ids[8]).values(text="Nothing of it is left.", title="Other"))
    settle(engine)
    assert read_stories(engine, world) == expected
    edits.pin(c, now=NOON, pinned=False)
    assert read_stories(engine, world) == expected - {frozenset(ids[7:9])}


def test_what_a_person_decides_outlasts_the_pages_that_its_links_name(engine: Engine, world: list[Document]) -> None:
    store(engine, world)
    ids = [document.id for document in world]
    stories, edits = Stories(engine), StoryEdits(engine, "ann")
    a, b = (stories.of_documents([ids[index]])[ids[index]].id for index in (0, 4))
    story = edits.merge([a, b], now=NOON)  # of 4 and 3 texts, the first of which has a copy
    split = edits.split(story, [ids[3], ids[5]], now=NOON)
    left = dict.fromkeys(ids)
    for gone in sorted((ids[0], ids[1], ids[3], ids[4]), key=ids.index):
        with writing(engine) as conn:
            conn.execute(delete(schema.documents).where(schema.documents.c.id == gone))
        settle(engine)
        del left[gone]
        apart = {frozenset({ids[3], ids[5]} & left.keys())} if ids[3] in left else set()
        expected = {frozenset({*ids[:3], ids[4], ids[6], ids[-1]} & left.keys()), frozenset(ids[7:9])} | apart
        assert read_stories(engine, [document for document in world if document.id in left]) == expected
    found = stories.get(story)
    assert found is not None and found.is_pinned and split > story
    with reading(engine) as conn:
        pages = set(conn.execute(select(schema.copy_groups.c.ledger_id)).scalars())
        assert all({row.one, row.other} <= pages for row in conn.execute(select(schema.story_links)))


def test_a_split_keeps_the_rest_of_a_merged_story_together(engine: Engine, world: list[Document]) -> None:
    store(engine, world)
    ids = [document.id for document in world]
    stories, edits = Stories(engine), StoryEdits(engine, "ann")
    story = edits.merge([stories.of_documents([ids[index]])[ids[index]].id for index in (0, 4)], now=NOON)
    for pair in ((0, 4), (3, 5), (2, 6), (1, 4)):  # one of them holds the links of the merge
        chosen = {ids[index] for index in pair}
        split = edits.split(story, chosen, now=NOON)
        first = chosen | ({ids[-1]} if ids[0] in chosen else set())  # with its copy
        assert read_stories(engine, world) == {frozenset(first), frozenset({*ids[:7], ids[-1]} - first), frozenset(ids[7:9])}
        story = edits.merge([story, split], now=NOON)
    assert read_stories(engine, world) == {frozenset({*ids[:7], ids[-1]}), frozenset(ids[7:9])}


def test_languages_stay_apart_unless_the_rules_join_them(engine: Engine) -> None:
    rng = random.Random(5)
    world = [
        replace(document, language=language)
        for number in range(2)
        for document, language in zip(make_event(rng, number, 4), ("en", "en", "de", "de"), strict=True)
    ]
    ids = [document.id for document in world]
    apart = {frozenset(ids[first : first + 2]) for first in range(0, 8, 2)}
    joined = {frozenset(ids[:4]), frozenset(ids[4:])}
    store(engine, world[:6])
    set_rules(engine, across_languages=True)
    store(engine, world[6:])
    assert read_stories(engine, world) == joined
    for across_languages, expected in ((False, apart), (True, joined)):
        for _ in range(2):
            set_rules(engine, across_languages=across_languages)
            settle(engine)
        assert read_stories(engine, world) == expected
    with reading(engine) as conn:
        assert read_rules(conn) == StoryRules(TERMS_VERSION, True, None)
    set_rules(engine, across_languages=True)
    assert due_stories.pending(engine) == 0, "nothing changed"


def test_texts_of_an_older_version_of_the_terms_are_read_again(
    engine: Engine, world: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, world)
    expected = read_stories(engine, world)
    monkeypatch.setattr(story_rules, "TERMS_VERSION", TERMS_VERSION + 1)
    monkeypatch.setattr(story_rules, "MAX_NOTED", 3)
    with writing(engine) as conn:  # as an older version found them
        conn.execute(update(schema.story_texts).values(terms=pack(find_terms(None, "", None), None)))
    for _ in range(5):
        set_rules(engine, across_languages=False)
        assert due_stories.pending(engine) <= 3
        settle(engine)
    assert read_stories(engine, world) == expected
    with reading(engine) as conn:
        assert not [row for row in conn.execute(select(schema.story_texts)) if row.terms == pack(find_terms(None, "", None), None)]


@pytest.mark.slow
def test_a_kill_leaves_every_story_whole(tmp_path: Path, world: list[Document]) -> None:
    made, copy = tmp_path / "made.sqlite", tmp_path / "copy.sqlite"
    engine = database.connect(f"sqlite:///{made}")
    schema_version.upgrade(engine)
    store(engine, world)
    ids = [document.id for document in world]
    chosen = [Stories(engine).of_documents([ids[index]])[ids[index]].id for index in (0, 4)]
    with writing(engine) as conn:
        conn.execute(update(schema.documents).values(title=schema.documents.c.title + " again"))
    engine.dispose()

    def check() -> set[frozenset[str]]:
        engine = database.connect(f"sqlite:///{copy}")
        findings = doctor.Doctor(engine, Ledger(engine), Archive(str(tmp_path))).examine(now=NOON)
        assert not [finding for finding in findings if finding.check in ("stories", "story_counts")]
        told = read_stories(engine, world)
        assert sum(map(len, told)) == len(ids) - 1, "no document is lost or in two stories"
        engine.dispose()
        return told

    def prepare() -> dict[str, str]:
        for path in tmp_path.glob("copy.sqlite*"):
            path.unlink()
        shutil.copy(made, copy)
        return {"url": f"sqlite:///{copy}"}

    states = {
        frozenset(check())
        for _ in kill_at_each_step(correct_stories, {"stories": chosen, "documents": ids[4:6]}, tmp_path / "log", prepare, every=16)
    }
    assert len(states) >= 2, "before the merge, and after it"
    assert {frozenset(ids[4:6]), frozenset((*ids[:4], ids[6], ids[-1]))} <= check()


def test_a_story_shows_who_was_first_and_what_each_added(engine: Engine, world: list[Document]) -> None:
    store(engine, world)
    detail = Stories(engine).get(Stories(engine).of_documents([world[0].id])[world[0].id].id)
    assert detail is not None and len(detail.members) == 5 == detail.story.documents
    assert [member.first_seen_at for member in detail.members] == sorted(member.first_seen_at for member in detail.members)
    assert detail.members[0].added == () and all(member.added for member in detail.members[1:] if not member.duplicate_of)
    assert all(member.shared_terms for member in detail.members)
    (copy,) = (member for member in detail.members if member.duplicate_of)
    assert copy.id == world[-1].id and copy.duplicate_of == world[0].id


def test_a_takedown_erases_terms_and_titles_at_once(engine: Engine, world: list[Document]) -> None:
    store(engine, world)
    taken = world[7]
    (story,) = Stories(engine).of_documents([taken.id]).values()
    Takedowns(engine).add([taken.id], "court order", now=NOON)
    with reading(engine) as conn:
        title = conn.execute(select(schema.stories.c.title).where(schema.stories.c.id == story.id)).scalar_one()
        terms = conn.execute(select(schema.story_texts.c.terms)).scalars().all()
    assert title is None and terms.count(pack(find_terms(None, "", None), None)) == 1
    settle(engine)
    assert taken.id not in {one for group in read_stories(engine, world) for one in group}


def test_a_component_above_the_limit_is_decided_in_parts(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path / 'newsmill.sqlite'}")
    schema_version.upgrade(engine)
    found = make_event(random.Random(5), 0, MAX_COMPONENT + 20)
    for start in range(0, len(found), 60):
        insert_pages(engine, *found[start : start + 60])
        settle(engine)
    told = read_stories(engine, found)
    assert sum(map(len, told)) == len(found) and max(map(len, told)) <= MAX_COMPONENT
    engine.dispose()


def test_who_notes_a_page_waits_for_nobody(engine: Engine, world: list[Document]) -> None:
    """An update of a document notes its page, as the decision on copies does. If one waited for the other, both could wait for ever."""
    if engine.dialect.name != "postgresql":
        return  # SQLite has one writer at a time
    store(engine, world)
    with reading(engine) as conn:
        pages = [
            conn.execute(select(schema.documents.c.ledger_id).where(schema.documents.c.id == one.id)).scalar_one() for one in world[:2]
        ]
    with writing(engine) as copies, writing(engine) as worker:
        for conn in (copies, worker):
            conn.execute(text("SET LOCAL lock_timeout = '1s'"))
        for index in (0, 1):
            due_stories.note_due(copies, [pages[index]])
            renamed = update(schema.documents).where(schema.documents.c.id == world[1 - index].id).values(title=f"Renamed {index}")
            worker.execute(renamed)
    with reading(engine) as conn:
        assert set(conn.execute(select(schema.stories_due.c.ledger_id)).scalars()) == set(pages)
    settle(engine)
    with reading(engine) as conn:
        assert conn.execute(select(schema.stories_due)).first() is None

"""The stories are what their definition says of the documents there are, in every order of arrivals, edits and takedowns."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from rows import NOON, document_of, insert_pages
from sqlalchemy import Engine, delete, select, update
from story_world import settle

from newsmill.model import Document
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.schema import copy_groups, documents
from newsmill.storage.stories import Stories
from newsmill.storage.story_decisions import MIN_RARE_TERMS
from newsmill.stories import MAX_COMPONENT, StoryDocument, are_linked, cluster, find_terms, rare_terms
from newsmill.text.urls import find_site

ORDERS = int(os.environ.get("NEWSMILL_STORY_ORDERS", "2"))
TEXTS, COPIES, REMOVED, EDITED = 90, 12, 8, 15


@pytest.fixture(scope="module")
def final(shared: Path) -> list[Document]:
    """Texts of ten topics with two look-alike events each, and copies of some of them: what there is after the edits."""
    rng = random.Random(11)
    lines = (shared / "cases/stories/ecb.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if int(row["id"].split("_")[0]) < 25]
    chosen = rng.sample(rows, TEXTS)
    texts = [row["text"] for row in chosen] + [row["text"] for row in rng.sample(chosen, COPIES)]
    found = []
    for number, text in enumerate(texts):
        document = document_of(f"https://site{number % 40}.example/{number}", text=text, title=f"Title {number}", language="en")
        at = NOON + timedelta(minutes=rng.randrange(2000))
        found.append(replace(document, published_at=at, first_seen_at=at))
    return found


def define(engine: Engine, found: Iterable[Document]) -> set[frozenset[str]]:
    """The stories of these documents by brute force: components of linked texts, each clustered. Copies follow their group."""
    with reading(engine) as conn:
        pages = conn.execute(select(copy_groups.c.document_id, copy_groups.c.ledger_id, copy_groups.c.group_id)).all()
    page_of = {row.document_id: row.ledger_id for row in pages}
    head_of = {row.document_id: row.group_id or row.ledger_id for row in pages}
    texts = [
        StoryDocument(one.id, int((one.published_at or NOON).timestamp()), "en", find_terms(one.title, one.text, "en"), find_site(one.url))
        for one in found
        if head_of[one.id] == page_of[one.id]
    ]
    rare = {one.id: set(rare_terms(one.terms)) for one in texts}
    component = {one.id: {one.id} for one in texts}
    for one, other in combinations(texts, 2):
        if len(rare[one.id] & rare[other.id]) >= MIN_RARE_TERMS and are_linked(one, other, False):
            joined = component[one.id] | component[other.id]
            component.update(dict.fromkeys(joined, joined))
    parts = {frozenset(part) for part in component.values()}
    assert max(map(len, parts)) <= MAX_COMPONENT
    groups = [group for part in parts for group in cluster([one for one in texts if one.id in part])]
    heads = [{page_of[one] for one in group} for group in groups]
    stories = [frozenset(one for one, head in head_of.items() if head in pages) for pages in heads]
    return {story for story in stories if len(story) > 1}


def arrive(engine: Engine, final: Sequence[Document], rng: random.Random) -> None:
    """Documents arrive, some with the text of another one at first; some of them are removed by a takedown or deleted again."""
    edited = {one.id: rng.choice(final) for one in rng.sample(final, EDITED)}
    gone = [
        replace(document_of(f"https://gone{number}.example/", text=one.text, title=one.title, language="en"), published_at=one.published_at)
        for number, one in enumerate(rng.sample(final, REMOVED))
    ]
    gone = [replace(one, first_seen_at=NOON + timedelta(minutes=rng.randrange(2000))) for one in gone]
    steps = [("add", one) for one in (*final, *gone)]
    rng.shuffle(steps)
    for step, one in [*(("edit", one) for one in final if one.id in edited), *(("remove", one) for one in gone)]:
        place = steps.index(("add", one))
        steps.insert(rng.randint(place + 1, len(steps)), (step, one))
    for step, one in steps:
        if step == "add":
            insert_pages(engine, replace(one, text=edited[one.id].text, title=edited[one.id].title) if one.id in edited else one)
        elif step == "remove" and rng.random() < 0.5:
            Takedowns(engine).add([one.id], "court order", now=NOON)
        else:
            is_row = documents.c.id == one.id
            with writing(engine) as conn:
                conn.execute(
                    update(documents).where(is_row).values(text=one.text, title=one.title)
                    if step == "edit"
                    else delete(documents).where(is_row)
                )
        if rng.random() < 0.15:
            settle(engine)
    settle(engine)


@pytest.mark.parametrize("seed", range(ORDERS))
def test_stories_are_what_their_definition_says(engine: Engine, final: list[Document], seed: int) -> None:
    arrive(engine, final, random.Random(seed))
    told = Stories(engine).of_documents([one.id for one in final])
    groups: dict[int, set[str]] = {}
    for document, story in told.items():
        groups.setdefault(story.id, set()).add(document)
    assert {frozenset(group) for group in groups.values()} == define(engine, final)
    first = {one.id: (one.first_seen_at, one.id, one.title) for one in final}
    assert all(
        told[min(group, key=lambda one: first[one])].title == first[min(group, key=lambda one: first[one])][2] for group in groups.values()
    )

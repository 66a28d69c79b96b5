"""Who writes about a story decides nothing about its other documents: not which stories are one, nor which document is first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rows import NOON, insert_pages
from sqlalchemy import Engine
from story_world import make_event, settle

from newsmill.model import Document, StoryDetail
from newsmill.storage.stories import MAX_OF_SITE, Stories

FORGED = datetime(2019, 1, 1, 8, tzinfo=UTC)


def at(document: Document, minutes: int, url: str | None = None, **fields: object) -> Document:
    """The document as first seen that many minutes after noon."""
    when = NOON + timedelta(minutes=minutes)
    return replace(document, **{"first_seen_at": when, "published_at": when, "url": url or document.url, **fields})  # type: ignore[arg-type]


def make_story(seed: int, texts: int) -> list[Document]:
    made = make_event(random.Random(seed), seed, texts)
    return [at(document, index, f"https://honest{index}.example/{seed}") for index, document in enumerate(made)]


def store(engine: Engine, order: Sequence[Document], *, one_by_one: bool) -> None:
    for document in order:
        insert_pages(engine, document)
        if one_by_one:
            settle(engine)
    settle(engine)


def read_story(engine: Engine, document: Document) -> StoryDetail:
    found = Stories(engine).get(Stories(engine).of_documents([document.id])[document.id].id)
    assert found is not None
    return found


def bridge(one: Document, other: Document, number: int, site: str) -> Document:
    """The first half of each, and both titles."""
    text = ". ".join(sentence for document in (one, other) for sentence in document.text.split(". ")[: 3 + number])
    title = f"{one.title} and {other.title}"
    made = make_event(random.Random(1000 + number), 1000 + number, 1)[0]
    return at(made, 30 + number, f"https://{site}/{number}", text=text, title=title)


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("bridges", [1, 3])
def test_bridging_texts_of_one_site_merge_no_stories(engine: Engine, bridges: int, is_first: bool, one_by_one: bool) -> None:
    """One text that is half of each of two stories of four texts, and three of them from subdomains of one registered domain."""
    one, other = make_story(1, 4), make_story(2, 4)
    hostile = [bridge(one[0], other[0], number, f"sub{number}.evil.co.uk") for number in range(bridges)]
    store(engine, [*hostile, *one, *other] if is_first else [*one, *other, *hostile], one_by_one=one_by_one)
    told = Stories(engine).of_documents([document.id for document in (*one, *other)])
    ids = [{told[document.id].id for document in story} for story in (one, other)]
    assert list(map(len, ids)) == [1, 1] and ids[0] != ids[1]
    assert {told[document.id].title for document in (*one, *other)} == {one[0].title, other[0].title}


@pytest.mark.parametrize("is_first", [True, False])
def test_a_flood_of_copies_hides_nobody_and_is_never_the_first(engine: Engine, is_first: bool) -> None:
    """300 copies with forged dates on subdomains of one registered domain, beside six documents."""
    honest = make_story(3, 6)
    hostile = [
        replace(
            at(
                document,
                60 + number,
                f"https://s{number}.evil.co.uk/{number}",
                published_at=FORGED,
                title="We were first",
                site_name="News",
            ),
            text=honest[0].text + f" Copy {number}.",
        )
        for number, document in enumerate(make_event(random.Random(4), 4, 300))
    ]
    store(engine, [*hostile, *honest] if is_first else [*honest, *hostile], one_by_one=False)
    found = read_story(engine, honest[0])
    shown = {member.id for member in found.members}
    assert shown >= {document.id for document in honest}
    assert len(found.members) == len(honest) + MAX_OF_SITE
    assert [(more.site, more.documents) for more in found.more] == [("evil.co.uk", 300 - MAX_OF_SITE)]
    assert found.members[0].id == honest[0].id and found.story.title == honest[0].title
    assert found.story.first_at == honest[0].published_at
    assert (found.story.documents, found.story.sources) == (306, 7)


def test_a_source_cannot_call_itself_another(engine: Engine) -> None:
    """The subdomains of a registered domain are one source of a story, whatever they call themselves."""
    story = make_story(5, 6)
    hosts = [replace(document, url=f"https://s{index}.evil.co.uk/", site_name=f"Paper {index}") for index, document in enumerate(story)]
    store(engine, hosts, one_by_one=False)
    found = read_story(engine, hosts[0])
    assert (found.story.documents, found.story.sources) == (6, 1)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_document_without_a_date_joins_by_its_copy_only(engine: Engine, one_by_one: bool) -> None:
    story, guides = make_story(6, 3), [replace(document, published_at=None) for document in make_story(7, 4)]
    copy = replace(guides[0], id="c" * 32, url="https://copy.example/", text=story[0].text, first_seen_at=NOON + timedelta(hours=2))
    world = [*story, *guides, copy]
    store(engine, world, one_by_one=one_by_one)
    told = Stories(engine).of_documents([document.id for document in world])
    assert told.keys() == {document.id for document in (*story, copy)} and len({one.id for one in told.values()}) == 1

"""Groups of copies depend on the documents alone: not on the order in which they arrive, change and go, and not on batches."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from rows import NOON, document_of, insert_pages
from sqlalchemy import Engine, delete, select, update

from newsmill.model import Author, AuthorType, Document
from newsmill.search.indexer import index_pending
from newsmill.search.positions import document_time
from newsmill.similarity.copies import ComparedText, find_wire_agency, may_be_copies, order_key
from newsmill.similarity.near_duplicates import fingerprint
from newsmill.storage import copy_groups, fingerprints, schema
from newsmill.storage.database import reading, writing

WORDS = ("river", "bridge", "council", "vote", "storm", "harbour", "minister", "train", "school", "market")


def make_text(rng: random.Random, length: int = 90) -> str:
    return " ".join(rng.choice(WORDS) + str(rng.randrange(50)) for _ in range(length))


def vary(rng: random.Random, text: str) -> str:
    """A copy with a few changed, new or missing words: some pairs are copies, others are too far apart."""
    words = text.split()
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randrange(len(words))
        words[at : at + rng.randrange(2)] = rng.choice(([], ["other"], make_text(rng, 4).split()))
    return " ".join(words)


def make_documents(rng: random.Random, count: int) -> list[Document]:
    texts = [make_text(rng) for _ in range(3)]
    while len(texts) < count:
        texts.append(vary(rng, rng.choice(texts)))
    found = []
    for number, text in enumerate(texts):
        published = NOON - timedelta(minutes=rng.randrange(12)) if rng.random() < 0.8 else None
        document = document_of(f"https://site{number % 6}.example/{number}", text=text, title=str(number), published_at=published)
        found.append(replace(document, first_seen_at=NOON, text_seen_at=NOON + timedelta(minutes=rng.randrange(9))))
    return found


def group(found: Iterable[Document]) -> dict[str, str]:
    """Each document with the head of its group, by the definition.

    Documents join the earliest anchor in the order in which they were seen. Of the site of the anchor, the head has the earliest date.
    """
    groups: list[list[Document]] = []
    for document in sorted(found, key=lambda one: order_key(one.text_seen_at or NOON, one.id)):
        text, bands = ComparedText(document.text), fingerprint(document.text)
        for members in groups:
            theirs = fingerprint(members[0].text)
            if bands and theirs and may_be_copies(bands, theirs) and text.is_copy_of(ComparedText(members[0].text)):
                members.append(document)
                break
        else:
            groups.append([document])
    first = {}
    for members in groups:
        own = [one for one in members if urlsplit(one.url).netloc == urlsplit(members[0].url).netloc]
        head = min(own, key=lambda one: document_time(one.published_at, one.published_precision, one.first_seen_at))
        first.update(dict.fromkeys((one.id for one in members), head.id))
    return first


def settle(engine: Engine) -> None:
    index_pending(engine, 1000)
    fingerprints.catch_up(engine, 1000)
    copy_groups.catch_up(engine, 1000)
    assert copy_groups.pending(engine) == 0


def read_groups(engine: Engine) -> dict[str, str]:
    groups, entries = schema.copy_groups, schema.search_entries
    with reading(engine) as conn:
        rows = conn.execute(select(groups)).all()
        indexed = {row.document_id: (row.copy_group, row.copy_place) for row in conn.execute(select(entries))}
    assert indexed == {row.document_id: (row.group_id, row.place) for row in rows}
    anchors = {row.group_id for row in rows if row.group_id not in (None, row.ledger_id)}
    assert anchors == {row.ledger_id for row in rows if row.group_id == row.ledger_id}, "anchors have their own page as the group"
    assert all(row.place is None if row.group_id is None else row.place in (0, row.seen) for row in rows)
    heads = {row.group_id: row.document_id for row in rows if row.place == 0}
    return {row.document_id: row.document_id if row.group_id is None else heads[row.group_id] for row in rows}


@pytest.mark.parametrize("seed", range(2))
def test_groups_do_not_depend_on_the_order_of_arrival(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    found = {one.id: one for one in make_documents(rng, 18)}
    order = list(found)
    rng.shuffle(order)
    for number, one in enumerate(order):
        insert_pages(engine, found[one])
        if rng.random() < 0.3 or number == len(order) - 1:
            settle(engine)
    expected = group(found.values())
    assert read_groups(engine) == expected and 3 <= len(set(expected.values())) < len(expected)
    for _ in range(2):  # takedowns, edits of the text and of the date, heads first
        for one in rng.sample(sorted(set(expected.values()) & found.keys()), 2):
            change = rng.choice(("gone", "text", "date"))
            with writing(engine) as conn:
                if change == "gone":
                    conn.execute(delete(schema.documents).where(schema.documents.c.id == one))
                    del found[one]
                    continue
                values = {"text": vary(rng, found[one].text)} if change == "text" else {"published_at": NOON + timedelta(minutes=5)}
                conn.execute(update(schema.documents).where(schema.documents.c.id == one).values(values))
                found[one] = replace(found[one], **values)
        settle(engine)
        expected = group(found.values())
        assert read_groups(engine) == expected


@pytest.mark.parametrize(
    ("text", "other", "is_copy"),
    [
        ("{0}", "{0}", True),
        ("{0} A note of the editors at the end of the article.", "{0}", True),
        ("{0} {1}", "{0} {2}", False),  # half of the text is another
        ("{0} 12 days 3.5 points 1,204 euros", "{0} 13 days 4.1 points 1,811 euros", False),  # the next report of a series
        ("{0} 12 days 3.5 points 1,204 euros", "{0} 12 days 3.5 points 1,300 euros", True),
    ],
)
def test_copies(text: str, other: str, is_copy: bool) -> None:
    words = [
        " ".join(
            word.rstrip("0123456789") + "abcdefghij"[at % 10] + "klmnopqrst"[at // 10]
            for at, word in enumerate(make_text(random.Random(seed), 60).split())
        )
        for seed in range(3)
    ]
    one, two = (ComparedText(each.format(*words)) for each in (text, other))
    assert one.is_copy_of(two) is two.is_copy_of(one) is is_copy


@pytest.mark.parametrize(
    ("text", "authors", "agency"),
    [
        ("PARIS, June 3 (Reuters) - A bridge", (), "Reuters"),
        ("Wien (APA/dpa) – Eine Brücke", (), "APA"),
        ("A bridge was opened (in the rain) by AP.", (), None),
        ("A bridge", ("Jane Doe", "Associated Press"), "Associated Press"),
        ("A bridge of the Maple (map) street", ("Jane Doe",), None),
    ],
)
def test_wire_agencies(text: str, authors: tuple[str, ...], agency: str | None) -> None:
    assert find_wire_agency(text, [Author(name, AuthorType.PERSON) for name in authors]) == agency

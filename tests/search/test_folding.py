"""Folding leaves out all but the first match of each group: on pages, in counts, facets, timelines and streams."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from rows import NOON, document_of, insert_pages
from sqlalchemy import Engine

from newsmill.model import Document
from newsmill.search.facets import count_facets
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.search.timelines import Period, count_timeline
from newsmill.storage import copy_groups, fingerprints

TEXTS = 6
RNG = random.Random(4)
WORDS = [[f"{RNG.choice('bcdfgh')}{RNG.choice('aeiou')}{RNG.choice('klmnp')}{number}" for number in range(60)] for _ in range(TEXTS)]


def make_document(number: int) -> Document:
    """The copies of a text are spread over sources and days; every third one has a word more, some have no date."""
    text = " ".join(["harbour", *WORDS[number % TEXTS], *(["lighthouse"] if number % 3 == 0 else [])])
    published = NOON - timedelta(days=(number * 7) % 11, minutes=number) if number % 9 else None
    fields = {"source": f"paper{number % 4}", "published_at": published, "text": text, "title": f"Title {number}"}
    seen = NOON - timedelta(minutes=number)
    return replace(document_of(f"https://site{number}.example/a", **fields), first_seen_at=seen, text_seen_at=seen)


FOUND = [make_document(number) for number in range(40)] + [
    replace(make_document(number), text=f"harbour {number} " + " ".join(f"single{number}x{at}" for at in range(50)))
    for number in range(90, 100)
]
GROUP = {document.id: number % TEXTS if number < 40 else number for number, document in enumerate(FOUND)}


@pytest.fixture
def filled(engine: Engine) -> Engine:
    insert_pages(engine, *FOUND)
    index_pending(engine, 1000)
    fingerprints.catch_up(engine, 1000)
    copy_groups.catch_up(engine, 1000)
    return engine


def expect(matches: list[Document]) -> set[str]:
    """Of each group the match that was seen first, whatever date it states."""
    shown: dict[int, Document] = {}
    for document in sorted(matches, key=lambda one: one.first_seen_at):
        shown.setdefault(GROUP[document.id], document)
    return {document.id for document in shown.values()}


QUERIES = (
    "",
    "harbour",
    "lighthouse",
    "harbour source:paper2",
    "harbour -lighthouse source:paper1",
    "harbour after:2026-11-20",
    "dated:no",
)


def test_folded_results_are_those_of_the_definition(filled: Engine) -> None:
    for query in QUERIES:
        check_folding(filled, query)
    search = Search(filled)
    first, second, third = search.search("harbour", limit=3, fold=True, wait=True).hits
    around = search.neighbours("harbour", second.id, limit=3, fold=True)
    assert around.previous is not None and around.next is not None and (around.previous.id, around.next.id) == (first.id, third.id)
    ids, _ = search.find_ids("harbour", limit=3, fold=True)
    assert ids == [first.id, second.id, third.id]


def check_folding(filled: Engine, query: str) -> None:
    search = Search(filled)
    everything = search.search(query, limit=100, wait=True)
    assert everything.cursor is None and everything.total == len(everything.hits)
    matches = [document for document in FOUND if document.id in {hit.id for hit in everything.hits}]
    expected = expect(matches)
    for order in ("relevance", "newest"):
        unfolded = [hit.id for hit in search.search(query, limit=100, order=order, wait=True).hits]
        pages, cursor = [], None
        while True:
            page = search.search(query, limit=3, cursor=cursor, order=order, fold=True, wait=True)
            assert page.total == len(expected) and len(page.hits) <= 3
            pages += page.hits
            counted = page.answers
            if (cursor := page.cursor) is None:
                break
        assert [hit.id for hit in pages] == [one for one in unfolded if one in expected]
        assert sum(1 + hit.copies for hit in pages) == len(matches)
        assert counted is None or counted == sum(hit.is_answer is True for hit in pages)
    shown = [document for document in matches if document.id in expected]
    assert search.count(query, fold=True) == len(shown)
    assert {hit.document.id for hit in search.iterate(query, fold=True)} == expected
    by_source = dict(search.count_by_source(query, fold=True))
    assert sum(by_source.values()) == len(shown)
    facets = count_facets(filled, query, without_copies=True)
    assert {one.value: one.n for one in facets.values["source"]} == by_source and facets.counted == len(shown)
    if "dated" not in query:
        bars = count_timeline(filled, query, Period(NOON - timedelta(days=20), NOON + timedelta(days=1), "day"), without_copies=True)
        dated_matches = expect([document for document in matches if document.published_at])
        assert bars.total == len(dated_matches)
        assert sum(n for _, n in search.count_over_time(query, "day", fold=True)) == len(dated_matches)

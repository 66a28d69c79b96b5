"""Stars, read documents, tags and notes of two users, on SQLite and Postgres, and the filters of a query about them."""

from __future__ import annotations

import threading

import pytest
from rows import NOON, Mill, document_of, good, links
from sqlalchemy import Engine, func, select

from newsmill.exceptions import ConfigError
from newsmill.model import DocumentMarks
from newsmill.search import indexer
from newsmill.search.search import Search
from newsmill.storage.changes import Changes
from newsmill.storage.database import reading
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.marks import MAX_TAGS, MarkChange, Marks, TagCount
from newsmill.storage.schema import documents, marks, search_pending


@pytest.fixture
def ids(ledger: Ledger) -> list[str]:
    """Five documents, the newest last."""
    mill = Mill(ledger)
    claims = mill.fetch(*links(5))
    stored = [
        document_of(claim.url, content=str(n), title=f"Harbour {n}", text="Words about a harbour.", source="paper")
        for n, claim in enumerate(claims)
    ]
    mill.store(*(good(claim, document) for claim, document in zip(claims, stored, strict=True)))
    return [document.id for document in stored]


def found(engine: Engine, query: str, user: str = "") -> set[str]:
    hits = Search(engine, user).search(query, order="newest", wait=True)
    assert hits.total == len(hits.hits)
    assert {stored.document.id for stored in Search(engine, user).iterate(query)} == {hit.id for hit in hits.hits}
    return {hit.id for hit in hits.hits}


def test_marks_are_found_by_their_user_only(engine: Engine, ids: list[str]) -> None:
    anna, shared = Marks(engine, "Anna O'Neill"), Marks(engine)
    assert anna.change([*ids[:2], "unknown"], MarkChange(starred=True, add_tags=(" To  read ", "Über")), now=NOON) == 2
    anna.change(ids[1:3], MarkChange(read=True, note=" Ask the\r\nharbour-master "), now=NOON)
    shared.change([ids[0]], MarkChange(starred=True), now=NOON)
    assert anna.get([*ids, "unknown"]) == {
        ids[0]: DocumentMarks(starred=True, tags=("To read", "Über")),
        ids[1]: DocumentMarks(starred=True, read=True, tags=("To read", "Über"), note="Ask the\nharbour-master"),
        ids[2]: DocumentMarks(read=True, note="Ask the\nharbour-master"),
    }
    everything = set(ids)
    for query, expected in {
        "is:starred": set(ids[:2]),
        "-is:starred": everything - set(ids[:2]),
        "is:unstarred": everything - set(ids[:2]),
        "is:unread": everything - set(ids[1:3]),
        "harbour is:READ": set(ids[1:3]),
        'tag:"to read"': set(ids[:2]),
        "tag:uber -is:read": {ids[0]},
        "note:master": set(ids[1:3]),
        "note:mast": set(),
        "has:note is:starred OR has:tag": {ids[1]},
        "has:tag OR has:note": set(ids[:3]),
        "title:harbour (is:starred OR note:ask)": set(ids[:3]),
    }.items():
        assert found(engine, query, "Anna O'Neill") == expected, query
    assert found(engine, "is:starred") == {ids[0]}
    assert found(engine, "has:tag") == found(engine, "is:starred", "anna o'neill") == set()
    assert anna.list_tags() == [TagCount("To read", 2), TagCount("Über", 2)]
    assert shared.list_tags() == []


def test_a_change_is_undone_and_bad_values_change_nothing(engine: Engine, ids: list[str]) -> None:
    anna = Marks(engine, "anna")
    anna.change(ids, MarkChange(starred=True, read=True, add_tags=("one", "two"), note="words"), now=NOON)
    anna.change(ids[:4], MarkChange(starred=False, read=False, remove_tags=("one", "none"), note=""), now=NOON)
    assert anna.get(ids[:4]) == {document_id: DocumentMarks(tags=("two",)) for document_id in ids[:4]}
    assert found(engine, "is:starred", "anna") == found(engine, "note:words", "anna") == found(engine, "tag:one", "anna") == {ids[4]}
    for change in (
        MarkChange(add_tags=("",)),
        MarkChange(add_tags=("x" * 61,)),
        MarkChange(add_tags=('a "quoted" tag',)),
        MarkChange(starred=True, note="x" * 4001),
        MarkChange(starred=True, add_tags=tuple(map(str, range(MAX_TAGS)))),
    ):
        with pytest.raises(ConfigError):
            anna.change(ids[:1], change, now=NOON)
    with pytest.raises(ConfigError):
        anna.change(map(str, range(201)), MarkChange(read=True), now=NOON)
    assert anna.get(ids[:1]) == {ids[0]: DocumentMarks(tags=("two",))}
    assert anna.change([], MarkChange(read=True), now=NOON) == 0


def test_marks_stay_when_a_document_changes_and_go_with_it(engine: Engine, ledger: Ledger, ids: list[str]) -> None:
    end = Changes(engine).end()
    Marks(engine).change(ids, MarkChange(starred=True), now=NOON)
    assert not Changes(engine).page_after(end, limit=10)[0], "a mark is no change, so saved searches do not match the document again"
    with engine.begin() as conn:
        conn.execute(documents.update().where(documents.c.id == ids[0]).values(title="A pier"))
    assert indexer.index_pending(engine) == 1
    assert found(engine, "pier is:starred") == {ids[0]}
    SourceChanges(engine).remove("paper", now=NOON)
    with reading(engine) as conn:
        assert conn.execute(select(func.count()).select_from(marks)).scalar() == 0
        assert conn.execute(select(func.count()).select_from(search_pending)).scalar() == 0


def test_two_users_mark_one_document_at_once(engine: Engine, ids: list[str]) -> None:
    users = [f"user {n}" for n in range(6)]
    threads = [
        threading.Thread(target=Marks(engine, user).change, args=(ids, MarkChange(starred=True)), kwargs={"now": NOON}) for user in users
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for user in users:
        assert found(engine, "is:starred", user) == set(ids)


def test_the_neighbours_of_a_document_in_a_list_of_results(engine: Engine, ids: list[str]) -> None:
    search = Search(engine)
    for order in ("newest", "relevance"):
        hits, cursors, cursor = [], [], None
        while True:
            page = search.search("harbour", limit=2, cursor=cursor, order=order)
            hits += [hit.id for hit in page.hits]
            cursors += [cursor] * len(page.hits)
            if (cursor := page.cursor) is None:
                break
        assert sorted(hits) == sorted(ids)
        walked, place, before = [hits[0]], None, None
        while (one := search.neighbours("harbour", walked[-1], cursor=place, previous=before, order=order, limit=2)).next is not None:
            assert walked[-1] in {hit.id for hit in search.search("harbour", limit=2, cursor=one.cursor, order=order).hits}
            assert (one.previous.id if one.previous else None) == (walked[-2] if len(walked) > 1 else None)
            place, before = one.next.cursor, one.next.previous
            walked.append(one.next.id)
        assert walked == hits
        assert search.neighbours("harbour", hits[2], cursor=cursors[2], order=order, limit=2).previous is None  # the page before is unknown
        one = search.neighbours("harbour", hits[2], cursor=None, order=order, limit=2)  # from the page before its own
        assert one.previous is not None and (one.previous.id, one.previous.cursor) == (hits[1], None)
        assert search.neighbours("harbour", "unknown", order=order, limit=2).next is None


def test_notes_on_misused_filters(engine: Engine, ids: list[str]) -> None:
    Marks(engine, "anna").change(ids, MarkChange(add_tags=("to read",)), now=NOON)
    search = Search(engine, "anna")
    for query, message in {
        "is:red": "is:red has no meaning; write is:starred, is:unstarred, is:read or is:unread",
        "has:": "has: has no meaning; write has:tag or has:note",
        "tag:reed": 'You have no tag reed; write tag:"to read"',
    }.items():
        assert [note.message for note in search.check(query)] == [message]
        assert not search.search(query).hits
    assert search.check('tag:"To Read" note:x is:unread') == ()

"""A copy that follows the changes is equal to the store after everything that happens to documents."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from rows import NOON, SITE, SOURCE, Mill, after, document_of, good, links
from sqlalchemy import Engine

from newsmill.exceptions import CursorError
from newsmill.model import Author, AuthorType, Document, Link
from newsmill.search.search import Search
from newsmill.storage.changes import ChangePosition, Changes, RemovedDocument
from newsmill.storage.database import reading
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.storing_order import STAMP_RESOLUTION, find_horizon

FETCH_FIELDS = ("fetched_at", "archive_ref", "extractor", "profile_version", "confidence")  # of the last fetch: a new value is not a change


class Mirror:
    """A program with a copy of its own, which reads a few changes at a time."""

    def __init__(self, engine: Engine, source: str | None = None) -> None:
        self._changes, self._source = Changes(engine), source
        self._place: ChangePosition | None = None
        self.copy: dict[str, dict[str, Any]] = {}
        self.read = 0

    def follow(self) -> int:
        before = self.read
        while found := self._changes.after(self._place, limit=2, source=self._source):
            for one in found:
                self._place = one.place
                self.read += 1
                if isinstance(one, RemovedDocument):
                    self.copy.pop(one.id, None)
                else:
                    self.copy[one.id] = list_fields(one)
        return self.read - before


def list_fields(document: Document) -> dict[str, Any]:
    return {field.name: getattr(document, field.name) for field in fields(Document) if field.name not in FETCH_FIELDS}


def test_a_mirror_is_equal_after_everything(engine: Engine, ledger: Ledger) -> None:
    mill, mirror, absent = Mill(ledger), Mirror(engine), Mirror(engine)

    def compare(changes: int) -> None:
        assert mirror.follow() == changes
        assert mirror.copy == {document.id: list_fields(document) for document in Documents(engine).iterate()}

    def extract_again(*documents: Document) -> None:
        for document in documents:
            ledger.retries.retry(now=mill.now, urls=[document.url])
        claims = {claim.url: claim for claim in mill.claim(segment)}
        mill.store(*(good(claims[document.url], document) for document in documents))

    claims = mill.fetch(*links(4))
    segment, made = claims[0].segment, [document_of(claim.url, source="paper") for claim in claims]
    mill.store(*map(good, claims, made))
    compare(4)
    mill.now = NOON - timedelta(hours=3)  # the clock steps back
    extract_again(replace(made[0], title="Another headline", content_hash="another"))
    compare(1)
    extract_again(made[1], replace(made[2], authors=(Author("Ann Bell", AuthorType.PERSON),)), replace(made[3], published_at=NOON))
    compare(2)
    extract_again(replace(made[3], published_at=NOON, confidence=0.7, extractor="newer", profile_version=2))
    compare(0)
    extract_again(replace(made[3], published_at=NOON, confidence=0.9))
    compare(1)
    assert SourceChanges(engine).rename(SOURCE, "gazette", now=mill.now) == 4
    compare(4)
    SourceChanges(engine).remove("gazette", now=mill.now)
    compare(4)
    assert mirror.copy == {}
    SourceChanges(engine).remove("gazette", now=mill.now)
    compare(0)
    mill.now = after(days=30)
    back = mill.fetch(Link(f"{SITE}/new", source="paper"), *links(1))
    mill.store(*map(good, back))
    compare(2)
    absent.follow()
    assert absent.copy == mirror.copy, "who was away all the time"


def test_readers_of_one_source_learn_of_its_removal(engine: Engine, ledger: Ledger) -> None:
    mill, paper, other = Mill(ledger), Mirror(engine, "paper"), Mirror(engine, "other")
    mill.store(*(good(claim, document_of(claim.url, source="paper")) for claim in mill.fetch(*links(2))))
    assert (paper.follow(), other.follow()) == (2, 0)
    SourceChanges(engine).remove("paper", now=NOON)
    assert (paper.follow(), other.follow(), paper.copy) == (2, 0, {})


def test_a_removal_is_behind_what_was_stored_and_before_what_comes(engine: Engine, ledger: Ledger) -> None:
    mill = Mill(ledger)
    mill.store(*(good(claim, document_of(claim.url, source="paper")) for claim in mill.fetch(*links(2))))
    SourceChanges(engine).remove("paper", now=NOON - timedelta(days=1))
    with reading(engine) as conn:
        assert find_horizon(conn) == NOON + STAMP_RESOLUTION
    first, second = Changes(engine).removed_after(None, limit=9)
    assert first.removed_at == second.removed_at == NOON + STAMP_RESOLUTION
    assert [one.id for one in Changes(engine).removed_after(first.place, limit=9)] == [second.id]
    mill.store(*map(good, mill.fetch(Link(f"{SITE}/new"))))
    assert Changes(engine).after(second.place, limit=9)[0].place.stored_at == NOON + 2 * STAMP_RESOLUTION


def test_a_cursor_of_a_newer_store_is_refused(engine: Engine, ledger: Ledger) -> None:
    """An older backup was restored: what the reader has and the store has not would never be removed."""
    changes = Changes(engine)
    changes.check(changes.end())
    mill = Mill(ledger)
    mill.store(*map(good, mill.fetch(*links(1))))
    changes.check(changes.end())
    ahead = ChangePosition(after(seconds=5), "a")
    with pytest.raises(CursorError, match="older backup was restored; start again without it"):
        changes.check(ahead)
    with pytest.raises(CursorError, match="ahead of this store"):
        list(Search(engine).iterate(since=ahead.cursor))
    assert list(Search(engine).iterate(since=after(seconds=5))) == [], "a time may be in the future"


def test_a_page_that_takes_over_the_document_of_its_copy_is_a_change(engine: Engine, ledger: Ledger) -> None:
    mill, mirror = Mill(ledger), Mirror(engine)
    first, copy = f"{SITE}/first", f"{SITE}/copy?print=1"
    (claim,) = mill.fetch(Link(copy))
    mill.store(good(claim, document_of(copy, canonical=first)))
    assert mirror.follow() == 1
    (claim,) = mill.fetch(Link(first))
    mill.store(good(claim, document_of(first, canonical=first)))
    (document,) = Documents(engine).iterate()
    assert (mirror.follow(), document.url, document.revision) == (1, first, 1)
    assert mirror.copy == {document.id: list_fields(document)}

"""The replaced contents of documents: what is kept, for how long, and what a list of them says."""

from __future__ import annotations

from typing import Any

import pytest
from rows import NOON, SITE, SOURCE, Mill, document_of, good, links
from sqlalchemy import Engine, func, select

from newsmill.exceptions import CursorError
from newsmill.model import Author, Document, RevisionCause, RevisionSummary
from newsmill.storage.cursors import encode_cursor
from newsmill.storage.database import reading
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.revisions import MAX_CHARACTERS, MAX_REVISIONS, Revisions
from newsmill.storage.schema import ledger as ledger_rows
from newsmill.storage.schema import revisions
from newsmill.text import urls

URL = f"{SITE}/0"
ID = urls.make_key(URL)


class Site:
    """A store with one article; `publish` lets the site show a version, `extract` the newer rules find another text."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.mill = engine, Mill(Ledger(engine))
        self.revisions = Revisions(engine)
        self.mill.ledger.sources.put(SOURCE, now=NOON)
        self.mill.lease()

    def publish(self, **fields: Any) -> Document:
        self.mill.ledger.links.add(links(1), now=self.mill.now, again=True)
        (claim,) = self.mill.claim(self.mill.save([row for row in self.mill.lease() if row.url == URL]))
        self.mill.store(good(claim, document_of(URL, archive_ref=None, **fields)))
        return self.stored()

    def extract(self, **fields: Any) -> Document:
        assert self.mill.ledger.retries.retry(urls=[URL], now=self.mill.now) == 1
        with reading(self.engine) as conn:
            segment = conn.execute(select(ledger_rows.c.segment).where(ledger_rows.c.url == URL)).scalar_one()
        (claim,) = self.mill.claim(segment)
        self.mill.store(good(claim, document_of(URL, archive_ref=None, **fields)))
        return self.stored()

    def stored(self) -> Document:
        found = Documents(self.engine).get(ID)
        assert found is not None
        return found

    def list(self) -> list[RevisionSummary]:
        found = self.revisions.list(ID)
        assert found is not None
        return list(found)


@pytest.fixture
def site(engine: Engine) -> Site:
    return Site(engine)


def test_every_content_is_kept_with_its_fields(site: Site) -> None:
    versions: tuple[dict[str, Any], ...] = (
        {"title": "Bridge to open", "text": "The bridge opens in May."},
        {"title": "Bridge to open", "text": "The bridge opens in June."},
        {"title": "Bridge <b>late</b>\0\ud800", "text": "The bridge opens in June.", "authors": (Author("Ann Bell"),)},
    )
    stored = [site.publish(**fields) for fields in versions]
    for number, document in enumerate(stored, 1):
        kept = site.revisions.get(ID, number)
        assert kept is not None
        for name in ("title", "text", "blocks", "authors", "live_updates", "fetched_at", "content_hash", "archive_ref", "extractor"):
            assert getattr(kept, name) == getattr(document, name), name
    assert [site.revisions.get(ID, number) for number in (0, -1, 4, 1 << 40)] == [None] * 4
    third, second, first = site.list()
    assert (third.revision, third.previous, third.cause) == (3, 2, RevisionCause.FETCH)
    assert (third.changed, third.words_added, third.words_removed) == (("title", "authors"), 0, 0)
    assert (second.changed, second.words_added, second.words_removed) == (("text",), 1, 1)
    assert (first.revision, first.previous, first.cause, first.changed) == (1, None, None, ())
    assert second.stored_at < third.stored_at


def test_a_fetch_without_a_change_adds_no_revision(site: Site) -> None:
    site.publish(text="one")
    again = site.publish(text="one")
    changed = site.publish(text="two")
    assert (again.revision, changed.revision) == (1, 2)
    kept = site.revisions.get(ID, 1)
    assert kept is not None and kept.archive_ref == again.archive_ref  # of the last fetch that showed it


def test_newer_rules_on_the_same_page_are_another_cause(site: Site) -> None:
    fetched = site.publish(text="one and a footer")
    assert site.extract(text="one").archive_ref == fetched.archive_ref
    assert [one.cause for one in site.list()] == [RevisionCause.EXTRACTION, None]
    site.publish(text="two")
    assert [one.cause for one in site.list()] == [RevisionCause.FETCH, RevisionCause.EXTRACTION, None]


def test_a_page_that_always_changes_does_not_fill_the_disk(site: Site) -> None:
    for number in range(MAX_REVISIONS + 5):
        site.publish(text=f"now {number}")
    numbers = [one.revision for one in site.list()]
    assert numbers == [*range(MAX_REVISIONS + 5, 4, -1), 1]
    assert [one.previous for one in site.list()][-2:] == [1, None]


def test_large_contents_are_limited_by_their_size(site: Site) -> None:
    for number in range(5):
        site.publish(text=f"{number} " + "x" * (MAX_CHARACTERS // 2))
    assert [one.revision for one in site.list()] == [5, 4, 1]


def test_a_list_has_pages(site: Site) -> None:
    for number in range(5):
        site.publish(text=f"now {number}")
    found, cursor = [], None
    while True:
        page = site.revisions.page(ID, cursor=cursor, limit=2)
        assert page is not None
        items, cursor = page
        found += items
        if cursor is None:
            break
    assert found == site.list()
    assert site.revisions.page("0" * 32, limit=2) is None
    assert site.revisions.page("\0\ud800", limit=2) is None
    with pytest.raises(CursorError):
        site.revisions.page(ID, cursor=encode_cursor("stored", "x", "y"), limit=2)
    assert site.revisions.page(ID, cursor=encode_cursor("revisions", -5), limit=2) == ([], None)


def test_revisions_are_removed_with_their_document(site: Site) -> None:
    site.publish(text="one")
    site.publish(text="two")
    SourceChanges(site.engine).remove("paper", now=NOON)
    with reading(site.engine) as conn:
        assert conn.execute(select(func.count()).select_from(revisions)).scalar() == 0

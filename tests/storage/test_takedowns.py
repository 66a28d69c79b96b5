"""A takedown removes an article from every table, its pages from the archive, and keeps its URLs out, on both databases."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import NOON, SITE, SOURCE, after, good, links, page_of
from sqlalchemy import Engine, select
from takedown_store import REASON, SECRET, URL, Store, check_counters, erase_archived_pages, make_store, take_down
from warcio.archiveiterator import ArchiveIterator

from newsmill.archive.warc_writer import make_filler
from newsmill.exceptions import ArchiveDamaged, ConfigError, UrlError
from newsmill.intake.page_submission import store_pages
from newsmill.model import Link, Outcome, Page, PageStatus, State
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import doctor
from newsmill.storage.changes import Changes
from newsmill.storage.database import reading
from newsmill.storage.derived_files import DerivedFiles
from newsmill.storage.ledger import Fetched
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.private_files import make_image_mark, make_image_name
from newsmill.storage.revisions import Revisions
from newsmill.storage.schema import metadata, takedowns
from newsmill.text import urls


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Store:
    return make_store(engine, tmp_path)


def read_tables(engine: Engine) -> str:
    """Everything that the tables hold."""
    with reading(engine) as conn:
        return "".join(repr(row) for table in metadata.sorted_tables for row in conn.execute(select(table)))


def test_nothing_of_the_article_is_left(store: Store, engine: Engine) -> None:
    """Two revisions, three fetches of which one brought nothing new, and a copy under another URL."""
    app = store.app
    store.store(*links(3))
    store.store(links(2)[1], text=f"{SECRET} again")
    store.store(links(2)[1], text=f"{SECRET} again")
    store.store(Link(f"{SITE}/1?print=1", source="paper", found_by="feed"), text=f"{SECRET} again", canonical=URL)
    while index_pending(engine):
        pass
    document = app.documents.get(URL)
    assert document is not None
    before = store.read_archive()
    assert before.count(SECRET.encode()) == 6

    result = take_down(app, [URL], REASON)
    (removed,) = result.documents
    assert (removed.id, removed.source, removed.revisions) == (document.id, "paper", 2)
    assert {URL, f"{SITE}/1?print=1"} <= set(result.urls)
    erasure = erase_archived_pages(app)
    assert (erasure.pages, erasure.files, erasure.searched, erasure.unreadable) == (4, 4, 4, ())

    assert (app.documents.get(URL), Revisions(engine).list(document.id)) == (None, None)
    assert read_tables(engine).count(f"{SECRET} again") == 0
    assert store.outcome(URL) is Outcome.TAKEDOWN
    assert (trace := app.ledger.traces.get(f"{SITE}/1?print=1")) is not None
    assert (trace.state, trace.outcome, trace.detail, trace.segment, trace.document_id) == (
        State.DROPPED,
        Outcome.TAKEDOWN,
        REASON,
        None,
        None,
    )
    assert [removed.id for removed in Changes(engine).removed_after(None, limit=9)] == [document.id]
    assert sorted(hit.url for hit in Search(engine).search(SECRET).hits) == [f"{SITE}/0", f"{SITE}/2"]
    after_it = store.read_archive()
    assert (after_it.count(SECRET.encode()), after_it.count(b"paper.example/1")) == (2, 0)
    check_counters(engine)
    assert doctor.Doctor(engine, app.ledger, app.archive).examine(now=after(hours=1), deep=True) == []
    assert app.takedowns.count_to_erase() == 0


def test_the_rest_of_a_file_is_what_it_was(store: Store) -> None:
    store.store(*links(5))
    (path,) = store.app.archive.list_files()
    before = {
        trace.url: store.app.archive.read_page(trace.segment, trace.offset or 0)
        for trace in store.app.ledger.traces.list_all()
        if trace.segment is not None
    }
    take_down(store.app, [f"{SITE}/0", f"{SITE}/1", f"{SITE}/4"], REASON)
    erase_archived_pages(store.app)
    for number in (2, 3):
        trace = store.app.ledger.traces.get(f"{SITE}/{number}")
        assert trace is not None and trace.segment is not None and trace.offset is not None
        assert store.app.archive.read_page(trace.segment, trace.offset) == before[trace.url]
    content = (Path(store.app.archive._url) / path).read_bytes()
    kinds = Counter(record.rec_type for record in ArchiveIterator(io.BytesIO(content), check_digests="raise"))
    assert kinds == {"warcinfo": 4, "response": 2, "request": 2, "metadata": 2}


def test_the_url_stays_out(store: Store, engine: Engine) -> None:
    """Whatever brings it: a feed, a person, a program with the page, a retry, another source, another URL of the article."""
    app = store.app
    store.store(*links(2))
    take_down(app, [URL], REASON)
    app.ledger.links.add(links(2), now=NOON, again=True)
    assert app.ledger.retries.retry(now=NOON, urls=[URL], refetch=True) == 0
    assert app.ledger.retries.retry(now=NOON, outcome=Outcome.TAKEDOWN) == 0
    (receipt,) = store_pages(app, lambda _: True, [page_of(URL)], "api")
    assert (receipt.status, REASON in str(receipt.reason), "takedowns remove" in str(receipt.reason)) == (PageStatus.REJECTED, True, True)
    assert store.outcome(URL) is Outcome.TAKEDOWN

    SourceChanges(engine).remove("paper", now=NOON)  # with its rows of the ledger
    assert app.ledger.traces.get(URL) is None
    app.ledger.sources.put(SOURCE, now=NOON)
    app.ledger.links.add(links(2), now=NOON)
    assert (store.outcome(URL), store.outcome(f"{SITE}/0")) == (Outcome.TAKEDOWN, None)

    assert store.store(Link(f"{SITE}/mobile/1", source="paper", found_by="feed"), canonical=URL)[Outcome.TAKEDOWN] == 1
    assert (app.documents.get(f"{SITE}/mobile/1"), app.takedowns.count_to_erase() > 0) == (None, True)
    erase_archived_pages(app)
    assert (b"mobile" in store.read_archive(), app.takedowns.count_to_erase()) == (False, 0)
    check_counters(engine)


def test_pages_in_the_hands_of_a_process(store: Store) -> None:
    """A worker that extracts the page stores nothing. A crawler that fetches it may still archive it, so the archive is searched again."""
    app = store.app
    (claim, _) = store.fetch(*links(2))
    take_down(app, [claim.url], REASON)
    assert app.ledger.results.store([good(claim)], now=NOON, owner="worker", seconds=60) == {}
    assert erase_archived_pages(app).pages == 1

    app.ledger.links.add([Link(f"{SITE}/9", source="paper", found_by="feed")], now=NOON)
    app.ledger.hosts.lease("crawler", limit=1, seconds=60, now=NOON)
    (row,) = store.lease_pages()
    take_down(app, [row.url], REASON)
    assert (erase_archived_pages(app).pages, app.takedowns.count_to_erase()) == (0, 1)
    segment = app.archive.write([page_of(row.url), page_of(f"{SITE}/8")], now=NOON)
    assert app.ledger.url_leases.save_segment(segment, [Fetched(row.id, row.fence, segment.offsets[0], row.url, 200)], now=NOON) == 0
    assert erase_archived_pages(app).pages == 1
    assert app.takedowns.count_to_erase() == 1
    later = replace(app, now=lambda: after(hours=2))
    assert (erase_archived_pages(later).pages, app.takedowns.count_to_erase()) == (0, 0)


def test_a_damaged_file_is_named_and_searched_again(store: Store) -> None:
    app = store.app
    store.store(*links(2))
    (path,) = app.archive.list_files()
    file = Path(app.archive._url) / path
    whole = file.read_bytes()
    file.write_bytes(whole[:400] + b"\0" * 20 + whole[420:])
    take_down(app, [URL], REASON)
    (reason,) = erase_archived_pages(app).unreadable
    assert path in reason
    assert app.takedowns.count_to_erase() > 0
    file.write_bytes(whole)
    assert erase_archived_pages(app).pages == 1
    assert app.takedowns.count_to_erase() == 0
    with pytest.raises(ArchiveDamaged):
        app.archive.read_page(path.rpartition("/")[2].removesuffix(".warc.gz"), 10**6)


def test_again_permitted(store: Store, engine: Engine) -> None:
    app = store.app
    store.store(*links(2))
    take_down(app, [URL], REASON)
    take_down(app, [URL], "another reason")  # the first one stays
    assert {one.reason for one in app.takedowns.list()} == {REASON}
    keys = {urls.make_key(one.url) for one in app.takedowns.list()}
    assert app.takedowns.remove(keys, app.archive, now=NOON) == len(keys)
    assert (app.takedowns.list(), store.store()) == ([], {Outcome.STORED: 1})
    assert app.documents.get(URL) is not None
    check_counters(engine)


def test_a_url_that_nobody_knows_and_one_that_cannot_be_taken_down(store: Store, engine: Engine) -> None:
    result = take_down(store.app, [f"{SITE}/unknown"], REASON)
    assert (result.documents, result.urls) == ((), (f"{SITE}/unknown",))
    with pytest.raises(ConfigError, match="is a feed of source paper"):
        take_down(store.app, [SOURCE.feeds[0], f"{SITE}/2"], REASON)
    with pytest.raises(UrlError):
        take_down(store.app, ["ftp://paper.example/x"], REASON)
    with reading(engine) as conn:
        assert conn.execute(select(takedowns.c.url)).scalars().all() == [f"{SITE}/unknown"]


@given(st.integers(400, 300_000))
def test_filler_has_any_length(length: int) -> None:
    filler = make_filler(length, NOON)
    assert len(filler) == length
    record = next(iter(ArchiveIterator(io.BytesIO(filler), check_digests="raise")))
    assert (record.rec_type, b"erased" in record.content_stream().read()) == ("warcinfo", True)


def test_filler_needs_some_room() -> None:
    with pytest.raises(ValueError, match="too few"):
        make_filler(100, NOON)


def test_pages_are_found_by_every_url(store: Store) -> None:
    """The requested one, the final one, and those between."""
    page = Page(f"{SITE}/a", f"{SITE}/c", NOON, 200, (("Content-Type", "text/html"),), b"x", redirects=(f"{SITE}/a", f"{SITE}/b"))
    store.app.archive.write([page, page_of(f"{SITE}/d")], now=NOON)
    (path,) = store.app.archive.list_files()
    for letter, count in zip("abcde", (1, 1, 1, 1, 0), strict=True):
        assert store.app.archive.count_pages(path, lambda found, url=f"{SITE}/{letter}": url in found) == count


def test_the_image_leaves_the_cache_of_the_web_pages(store: Store, tmp_path: Path) -> None:
    """Also when the command was killed between the commit and here."""
    folder = tmp_path / "images"
    folder.mkdir()
    store.store(*links(2))
    document = store.app.documents.get(URL)
    assert document is not None and document.image is not None
    image, other = folder / make_image_name(document.image), folder / make_image_name(f"{SITE}/other.jpg")
    earlier = f"{SITE}/earlier.jpg"  # a revision has replaced it
    (folder / make_image_mark(earlier, document.id)).touch()
    for path in (image, folder / make_image_name(earlier), other):
        path.write_bytes(b"JPEG")
    take_down(store.app, [URL], REASON)
    files = DerivedFiles(store.app.engine, tmp_path / "past", folder)
    assert (files.erase(), [*folder.iterdir()]) == (2, [other])
    assert files.erase() == 0

"""When a source is removed, pages of other sources that were copies of its documents become documents, on both databases."""

from __future__ import annotations

import pytest
from rows import NOON, SITE, SOURCE, Mill, document_of, ended, good, page_of
from sqlalchemy import Engine, select, update

from newsmill.archive.archive import Archive
from newsmill.model import ClaimedPage, Document, Link, Outcome, Source, State
from newsmill.storage import doctor
from newsmill.storage.database import writing
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Fetched, Ledger, source_changes
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.schema import documents, ledger

TEXT = " ".join(f"word{number}" for number in range(100))
COPIES = [f"https://mirror.example/{number}" for number in range(3)]


@pytest.fixture
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(str(tmp_path_factory.mktemp("archive")))


@pytest.fixture
def mill(ledger: Ledger, archive: Archive) -> Mill:
    """An article of "paper", three copies of "mirror" that name it, and a copy of "paper" itself."""
    mill = Mill(ledger)
    for source in (SOURCE, Source("mirror", homepage="https://mirror.example/")):
        ledger.sources.put(source, now=NOON)
    ledger.url_endings.end(
        [ended(row, Outcome.LISTED) for host in ("paper.example", "mirror.example") for row in mill.lease(host)], now=NOON
    )
    for url in (f"{SITE}/1", f"{SITE}/copy", *COPIES):
        (claim,) = fetch(mill, archive, url)
        mill.store(good(claim, make_copy(url)))
    assert [document.url for document in find_documents(mill)] == [f"{SITE}/1"]
    return mill


def make_copy(url: str, canonical: str | None = f"{SITE}/1") -> Document:
    return document_of(url, canonical, title="Title", text=TEXT, source=find_source(url))


def find_source(url: str) -> str:
    return "paper" if url.startswith(SITE) else "mirror"


def fetch(mill: Mill, archive: Archive, url: str) -> list[ClaimedPage]:
    mill.ledger.links.add([Link(url, source=find_source(url), found_by="feed")], now=NOON)
    (row,) = mill.lease(url.split("/")[2])
    segment = archive.write([page_of(url)], now=NOON)
    mill.ledger.url_leases.save_segment(segment, [Fetched(row.id, row.fence, segment.offsets[0], url, 200)], now=NOON)
    return mill.claim(segment.id)


def find_documents(mill: Mill) -> list[Document]:
    return [*Documents(mill.ledger.sources._engine).iterate()]


def extract_pending(mill: Mill) -> list[str]:
    """Extract what waits for that; the URLs."""
    claims = [claim for segment in mill.ledger.segments.list_pending(now=NOON, limit=99) for claim in mill.claim(segment)]
    for claim in claims:
        mill.store(good(claim, make_copy(claim.url)))
    return sorted(claim.url for claim in claims)


def examine(engine: Engine, mill: Mill, archive: Archive, *, repair: bool = False) -> list[tuple[str, int, bool]]:
    found = doctor.Doctor(engine, mill.ledger, archive).examine(now=NOON, repair=repair)
    return [(finding.check, finding.count, finding.repaired) for finding in found]


def test_one_copy_becomes_the_document(engine: Engine, mill: Mill, archive: Archive) -> None:
    assert SourceChanges(engine).remove("paper", now=NOON).documents == 1
    assert examine(engine, mill, archive) == []
    assert extract_pending(mill) == COPIES
    (document,) = find_documents(mill)
    traces = {url: trace for url in COPIES if (trace := mill.ledger.traces.get(url)) is not None}
    assert sorted(str(trace.outcome) for trace in traces.values()) == ["duplicate", "duplicate", "stored"]
    assert {trace.document_id for trace in traces.values()} == {document.id}
    assert (mill.ledger.traces.get(f"{SITE}/copy"), examine(engine, mill, archive)) == (None, [])


def test_copies_that_only_have_the_same_text(engine: Engine, mill: Mill, archive: Archive) -> None:
    """No URL connects them, so the rows must not name the removed document any more: they would not be compared by text."""
    SourceChanges(engine).remove("paper", now=NOON)
    claims = [claim for segment in mill.ledger.segments.list_pending(now=NOON, limit=99) for claim in mill.claim(segment)]
    for claim in claims:
        mill.store(good(claim, make_copy(claim.url, None)))
    assert len(find_documents(mill)) == 1
    assert examine(engine, mill, archive) == []


def test_a_copy_without_an_archived_page_is_fetched_again(engine: Engine, mill: Mill, archive: Archive) -> None:
    with writing(engine) as conn:
        conn.execute(update(ledger).where(ledger.c.url == COPIES[0]).values(segment=None, offset=None))
    SourceChanges(engine).remove("paper", now=NOON)
    trace = mill.ledger.traces.get(COPIES[0])
    assert trace is not None and (trace.state, trace.outcome, trace.document_id) == (State.DUE, None, None)
    assert extract_pending(mill) == COPIES[1:]


def test_a_kill_between_two_commits_leaves_no_orphan(engine: Engine, mill: Mill, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents of the first commit are removed and their copies wait; the second commit does not happen."""
    (claim,) = fetch(mill, archive, f"{SITE}/2")
    mill.store(good(claim))
    monkeypatch.setattr(source_changes, "_DOCUMENTS", source_changes._DOCUMENTS.order_by(documents.c.url).limit(1))
    real, calls = source_changes.remove, []

    def fail_at_the_second(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(source_changes, "remove", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        SourceChanges(engine).remove("paper", now=NOON)
    assert extract_pending(mill) == COPIES
    assert sorted(document.url in COPIES for document in find_documents(mill)) == [False, True]
    assert SourceChanges(engine).remove("paper", now=NOON).documents == 1
    assert examine(engine, mill, archive) == []


def test_doctor_finds_and_repairs_orphans(engine: Engine, mill: Mill, archive: Archive) -> None:
    """Of a store in which an older version removed the source."""
    with writing(engine) as conn:
        gone = conn.execute(select(documents.c.id)).scalar_one()
        conn.execute(documents.delete())
        conn.execute(ledger.delete().where(ledger.c.source == "paper"))
    assert ("orphaned_duplicate", 3, False) in examine(engine, mill, archive)
    assert ("orphaned_duplicate", 3, True) in examine(engine, mill, archive, repair=True)
    assert examine(engine, mill, archive) == []
    assert extract_pending(mill) == COPIES
    assert [document.id for document in find_documents(mill)] == [gone]
    assert examine(engine, mill, archive) == []

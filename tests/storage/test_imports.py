"""Documents from Parquet files: what the store has after an import, and after the same one again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from rows import NOON, SEGMENT, SITE, Mill, document_of, good, links
from sqlalchemy import Engine, exc

from newsmill.archive.archive import Archive
from newsmill.context import build_context
from newsmill.exports.parquet import write_parquet
from newsmill.exports.parquet_reader import ParquetReader, RowGroup
from newsmill.extraction.normalise import count_words
from newsmill.intake import document_import
from newsmill.intake.document_import import ImportedPart, ImportOptions, import_part, import_parts, list_parts
from newsmill.model import Document, Kind, Link, Outcome
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import copy_groups
from newsmill.storage.bulk_insert import insert_many
from newsmill.storage.changes import Changes
from newsmill.storage.database import writing
from newsmill.storage.dialects import is_sqlite
from newsmill.storage.doctor import Doctor
from newsmill.storage.documents import Documents
from newsmill.storage.fingerprints import NearDuplicates
from newsmill.storage.ledger import Ledger, imports
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.revisions import Revisions
from newsmill.storage.schema import fingerprints_due

DEFAULT = ImportOptions()
READER = ParquetReader()
AFTER = NOON + timedelta(days=1)  # the time of every import
LONG = " ".join(f"word{number}" for number in range(80))


@pytest.fixture(scope="module", autouse=True)
def close_reader() -> Iterator[None]:
    yield
    READER.close()


def article(name: str, text: str | None = None, **fields: object) -> Document:
    """A document of its own: no other has the same words."""
    return replace(
        document_of(f"{SITE}/{name}", title=f"Title of {name}", text=text or f"Some words about {name}."), archive_ref=None, **fields
    )


def load(
    engine: Engine, folder: Path, found: Iterable[Document], name: str = "a.parquet", options: ImportOptions = DEFAULT
) -> Counter[str]:
    """Import a file with these documents. Returns the counts that are not 0."""
    path = folder / name
    with path.open("wb") as file:
        write_parquet(file, found)
    app = build_context(engine, str(folder / "archive"), now=lambda: AFTER)
    return +sum((import_part(app, READER, part, options).counts for part in list_parts([str(path)])), Counter())


def test_new_documents_are_everywhere_and_stored_once(engine: Engine, ledger: Ledger, documents: Documents, tmp_path: Path) -> None:
    found = [article(f"new{number}") for number in range(3)]
    found += [article("one", LONG), article("other", f"{LONG} end", site_name="x\0y"), article("one", LONG)]
    found += [replace(article("amp/one", LONG), title=found[3].title)]
    moved = replace(article("moved"), requested_url=f"{SITE}/old", revision=3)
    assert load(engine, tmp_path, [*found, moved]) == {"stored": 6, "known": 1, "duplicate": 1}
    assert load(engine, tmp_path, [*found, moved]) == {"known": 8}
    stored = [*found[:4], replace(found[4], site_name="xy"), moved]
    stored = [replace(one, word_count=count_words(one.text), text_seen_at=AFTER) for one in stored]
    assert {one.id: one for one in documents.iterate()} == {one.id: one for one in stored}
    trace = ledger.traces.get(f"{SITE}/old")
    assert trace is not None
    assert (trace.outcome, trace.found_by, trace.found_on, trace.document_id) == (Outcome.STORED, "import", "a.parquet", moved.id)
    assert len(Changes(engine).after(None, limit=10)) == 6
    assert index_pending(engine) and Search(engine).search("new1").hits
    assert copy_groups.catch_up(engine) == 6
    assert NearDuplicates(engine).of(found[3].id, least=0.9) is not None
    assert Doctor(engine, ledger, Archive(str(tmp_path / "archive"))).examine(now=AFTER) == []


def test_a_later_text_is_a_revision_and_an_older_one_changes_nothing(engine: Engine, documents: Documents, tmp_path: Path) -> None:
    first = article("story")
    later = replace(article("story", "Other words."), fetched_at=first.fetched_at + timedelta(hours=1))
    last = replace(article("story", "The last words."), fetched_at=first.fetched_at + timedelta(hours=2))
    assert load(engine, tmp_path, [first]) == {"stored": 1}
    assert load(engine, tmp_path, [last]) == {"changed": 1}
    assert load(engine, tmp_path, [later, first, last]) == {"known": 3}
    stored = documents.get(first.id)
    assert stored is not None
    assert (stored.text, stored.revision) == ("The last words.", 2)
    kept = Revisions(engine).get(first.id, 1)
    assert kept is not None and kept.text == first.text


def test_a_page_that_waits_is_imported_and_an_extracted_page_gets_the_other_text(
    engine: Engine, ledger: Ledger, documents: Documents, tmp_path: Path
) -> None:
    mill = Mill(ledger)
    (claim,) = mill.fetch(*links(1))
    mill.store(good(claim, article("0")))
    other = replace(article("0", "Extracted again."), archive_ref=f"{claim.segment}@{claim.offset}")
    ledger.links.add(links(2), now=NOON)
    assert load(engine, tmp_path, [other, article("1")]) == {"kept": 1, "stored": 1}
    assert load(engine, tmp_path, [other], options=ImportOptions(replaces=True)) == {"changed": 1}
    trace = ledger.traces.get(f"{SITE}/0")
    stored = documents.get(other.id)
    assert trace is not None and stored is not None
    assert (trace.segment, stored.text, stored.archive_ref) == (claim.segment, "Extracted again.", other.archive_ref)
    assert (other.archive_ref or "").startswith(SEGMENT[:-1])
    assert [
        finding for finding in Doctor(engine, ledger, Archive(str(tmp_path))).examine(now=AFTER) if finding.check != "segment_missing"
    ] == []


def test_takedowns_listings_and_damaged_rows(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    ledger.links.add([Link(f"{SITE}/rss", Kind.FEED, source="paper")], now=NOON)
    Takedowns(engine).add([f"{SITE}/barred"], "a court", now=NOON)
    bad = [
        replace(article("huge"), word_count=1 << 40),
        replace(article("revision"), revision=0),
        replace(article("nowhere"), requested_url="x", url="y"),
    ]
    found = [article("rss"), article("barred"), article("barred", LONG), article("fine"), *bad]
    assert load(engine, tmp_path, found) == {"stored": 1, "refused": 3, "invalid": 3}
    assert Doctor(engine, ledger, Archive(str(tmp_path / "archive"))).examine(now=AFTER) == []


def test_a_takedown_during_an_import_holds(engine: Engine, ledger: Ledger, documents: Documents, tmp_path: Path) -> None:
    def race(*arguments: Any) -> None:
        takedown.start()
        takedown.join(0.2)  # it waits for the import
        insert(*arguments)

    takedown = Thread(target=lambda: Takedowns(engine).add([f"{SITE}/story"], "a court", now=NOON))
    insert = imports._insert
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imports, "_insert", race)
        load(engine, tmp_path, [replace(article("story"), requested_url=f"{SITE}/moved")])
    takedown.join()
    trace = ledger.traces.get(f"{SITE}/moved")
    assert trace is not None and trace.outcome is Outcome.TAKEDOWN and list(documents.iterate()) == []


def test_a_url_that_another_process_adds_during_an_import(
    engine: Engine, ledger: Ledger, documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race(*arguments: Any) -> None:
        monkeypatch.setattr(imports, "_insert", insert)
        ledger.links.add([Link(f"{SITE}/story")], now=NOON)
        insert(*arguments)

    if is_sqlite(engine):
        return  # one process writes at a time
    insert = imports._insert
    monkeypatch.setattr(imports, "_insert", race)
    assert load(engine, tmp_path, [article("story"), article("other")]) == {"stored": 2}
    assert len(list(documents.iterate())) == 2


def test_a_row_that_another_process_has_added_is_known_as_such(engine: Engine) -> None:
    with pytest.raises(exc.IntegrityError), writing(engine) as conn:
        insert_many(conn, fingerprints_due, [{"document_id": "a"}] * 2)


def test_outcomes_of_pages_without_a_document(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    load(engine, tmp_path, [article("stored")])
    rows = [
        {"url": f"{SITE}/list", "outcome": "not_article", "detail": "a list"},
        {"url": f"{SITE}/list", "outcome": "not_article", "detail": "a list"},
        {"url": f"{SITE}/down", "outcome": "http_error", "detail": "HTTP 500"},
        {"url": f"{SITE}/stored", "outcome": "no_text", "detail": None},
        {"url": "http://[", "outcome": "no_text", "detail": None},
        {"url": None, "outcome": "damaged", "detail": "no record"},
    ]
    path = tmp_path / "outcomes.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row | {"at": NOON} for row in rows]), path)
    app = build_context(engine, str(tmp_path / "archive"), now=lambda: AFTER)
    for expected in ({"failed": 2, "known": 2}, {"known": 4}):
        counts = sum((import_part(app, READER, part).counts for part in list_parts([str(path)])), Counter())
        assert +counts == {"invalid": 1, "other": 1} | expected
    trace = ledger.traces.get(f"{SITE}/list")
    assert trace is not None and (trace.outcome, trace.detail) == (Outcome.NOT_ARTICLE, "a list")
    assert Doctor(engine, ledger, Archive(str(tmp_path / "archive"))).examine(now=AFTER) == []


def write_outcome(path: Path, name: str, at: datetime) -> None:
    row = {"url": f"{SITE}/{name}", "outcome": "http_error", "detail": "HTTP 500", "at": at}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)


def test_the_order_of_files_changes_nothing(engine: Engine, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that failed later than its document was fetched."""

    def record(part: RowGroup) -> ImportedPart:
        time.sleep(0 if part.has_outcomes else 0.1)
        ends.append(part.has_outcomes)
        return ImportedPart(Counter())

    app = build_context(engine, str(tmp_path / "archive"), now=lambda: AFTER)
    (tmp_path / "first").mkdir()
    first, second, both = (str(tmp_path / name) for name in ("first/a.parquet", "first/b.parquet", "first"))
    write_outcome(Path(first), "one", NOON + timedelta(hours=1))
    with Path(second).open("wb") as file:
        write_parquet(file, [article("one")])
    parts = list_parts([both])
    assert [part.path for part in parts] == [second, first]
    ends: list[bool] = []
    with ThreadPoolExecutor(2) as pool, monkeypatch.context() as patch:  # in place of processes
        patch.setattr(document_import, "open_pool", lambda *_: nullcontext(pool))
        patch.setattr(
            document_import,
            "_import_part",
            lambda part, options: time.sleep(0 if part.has_outcomes else 0.1) or ends.append(part.has_outcomes),
        )
        list(import_parts(app, parts, 2, lambda: False))
    assert ends == [False, True]
    for name, counts in ((first, {"failed": 1}), (second, {"stored": 1}), (second, {"known": 1}), (first, {"known": 1})):
        assert +sum((import_part(app, READER, part).counts for part in list_parts([name])), Counter()) == counts
    trace = ledger.traces.get(f"{SITE}/one")
    assert trace is not None and trace.outcome is Outcome.STORED
    assert Doctor(engine, ledger, Archive(str(tmp_path / "archive"))).examine(now=AFTER) == []

"""A takedown, a backup and a migration are killed at each of their writes: nothing is half, and the same command again completes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rows import NOON, SITE, NewDatabase, after, document_of, links
from schemas import describe_schema, upgrade_to
from sqlalchemy import Engine, inspect, select
from strikes import kill_at_each_step
from struck import back_up, import_file, take_down, upgrade
from takedown_store import SECRET, URL, Store, make_store
from warcio.archiveiterator import ArchiveIterator

from newsmill.context import build_context
from newsmill.exports.parquet import write_parquet
from newsmill.model import Outcome
from newsmill.storage import copies, database, doctor, schema_version
from newsmill.storage.database import reading, writing
from newsmill.storage.derived_files import DerivedFiles
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ledger
from newsmill.storage.private_files import make_image_name
from newsmill.storage.schema import documents, metadata

pytestmark = pytest.mark.slow


def read_rows(engine: Engine) -> dict[str, list[str]]:
    """All rows of all tables that the schema and the database have."""
    with reading(engine) as conn:
        known = [table for table in metadata.sorted_tables if conn.dialect.has_table(conn, table.name)]
        return {table.name: sorted(repr(row) for row in conn.exec_driver_sql(f"SELECT * FROM {table.name}")) for table in known}


def make_home(folder: Path) -> Store:
    """A store with six articles in two files of the archive, of which the removed one has a page in each."""
    folder.mkdir()
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    schema_version.upgrade(engine)
    store = make_store(engine, folder)
    store.store(*links(5))
    store.store(links(2)[1], text=f"{SECRET} again")
    document = store.app.documents.get(URL)
    assert document is not None and document.image is not None
    (folder / "images").mkdir()
    (folder / "images" / make_image_name(document.image)).write_bytes(b"JPEG")
    return store


def open_home(folder: Path) -> Store:
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    return Store(build_context(engine, str(folder / "archive"), now=lambda: after(hours=1)))


def check_archive(store: Store) -> None:
    """Every file can be read, and every row finds its page at its place."""
    for path in store.app.archive.list_files():
        content = (Path(store.app.archive._url) / path).read_bytes()
        assert [record.rec_type for record in ArchiveIterator(io.BytesIO(content), check_digests="raise")]
    findings = doctor.Doctor(store.app.engine, store.app.ledger, store.app.archive).examine(now=NOON, deep=True)
    assert findings == []


def test_a_takedown(tmp_path: Path) -> None:
    """Whole or not at all, whatever is killed; what is left to erase is known. Other pages keep their bytes and places."""
    store = make_home(tmp_path / "home")
    before = read_rows(store.app.engine)
    store.app.engine.dispose()
    folder = tmp_path / "copy"
    seen: set[str] = set()

    def copy_home() -> dict[str, str]:
        if not folder.exists() or seen & {"erasing", "erased"}:  # a process that was killed before the commit has changed nothing
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(tmp_path / "home", folder)
        return {"folder": str(folder)}

    for _ in kill_at_each_step(take_down, {"article": URL, "erases": True}, tmp_path / "log", copy_home):
        killed = open_home(folder)
        if killed.outcome(URL) is not Outcome.TAKEDOWN:
            assert (seen, read_rows(killed.app.engine)) == (seen & {"untouched"}, before)
            seen.add("untouched")
        else:
            check_archive(killed)
            assert (killed.app.documents.get(URL), SECRET + " again" in repr(read_rows(killed.app.engine))) == (None, False)
            has_page = killed.read_archive().count(SECRET.encode()) > 4
            assert not has_page or killed.app.takedowns.count_to_erase() > 0
            seen.add("erasing" if has_page else "erased")
            killed.app.takedowns.add([URL], "letter 23", now=killed.app.now())
            DerivedFiles(killed.app.engine, folder / "past", folder / "images").erase()
            killed.app.takedowns.erase(killed.app.archive, now=killed.app.now())
            check_end(killed, folder)
        killed.app.engine.dispose()
    assert seen == {"untouched", "erasing", "erased"}
    check_archive(open_home(folder))
    check_end(open_home(folder), folder)


def check_end(store: Store, folder: Path) -> None:
    assert store.read_archive().count(SECRET.encode()) == 4
    assert (store.app.takedowns.count_to_erase(), [*(folder / "images").iterdir()], store.app.documents.count()) == (0, [], 4)
    assert not [*folder.rglob("*.tmp")]
    store.app.engine.dispose()


def test_the_commit_of_a_takedown_on_both_databases(url: str, engine: Engine, tmp_path: Path) -> None:
    """Nothing is changed before the commit, so all processes work on one database."""
    store = make_store(engine, tmp_path)
    store.store(*links(5))
    before = read_rows(engine)
    for _ in kill_at_each_step(take_down, {"article": URL, "erases": False, "url": url, "folder": str(tmp_path)}, tmp_path / "log"):
        assert read_rows(engine) == before
    assert (store.outcome(URL), store.app.documents.count()) == (Outcome.TAKEDOWN, 4)
    check_archive(store)


def test_an_import(url: str, engine: Engine, tmp_path: Path) -> None:
    """Each kill leaves a store without findings, and the last process stores the rest: every document once, with its revision."""
    store = make_store(engine, tmp_path)
    store.store(*links(2))
    known = store.app.documents.get(f"{SITE}/1")
    assert known is not None
    later = replace(known, text="Later words.", content_hash="later", archive_ref=None, fetched_at=after(minutes=30))
    new = [replace(document_of(f"{SITE}/new{number}", text=f"Text of {number}"), archive_ref=None) for number in range(3)]
    with (tmp_path / "a.parquet").open("wb") as file:
        write_parquet(file, [later, *new, *new])
    for _ in kill_at_each_step(import_file, {"url": url, "folder": str(tmp_path)}, tmp_path / "log", every=2):
        check_archive(store)
    check_archive(store)
    stored = {one.id: (one.text, one.revision) for one in store.app.documents.iterate()}
    assert len(stored) == 5
    assert stored[known.id] == ("Later words.", 2)
    assert {one.outcome: one.n for one in store.app.ledger.counters.list_outcomes()}[Outcome.STORED] == 5


def test_a_backup(tmp_path: Path) -> None:
    """An update of a backup is killed: the copy is a store with all its pages at any time, the old one or the new one."""
    home = make_home(tmp_path / "home")
    copies.back_up(tmp_path / "home" / "newsmill.sqlite", tmp_path / "home" / "archive", tmp_path / "old")
    for number in (7, 8):
        assert home.show(f"{SITE}/{number}", f"Title {number}", f"Text {number}.") is Outcome.STORED
    home.app.engine.dispose()
    seen: set[int] = set()
    target = tmp_path / "copy"

    def restore_old_copy() -> dict[str, str]:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(tmp_path / "old", target)
        return {"target": str(target)}

    for _ in kill_at_each_step(back_up, {"folder": str(tmp_path / "home")}, tmp_path / "log", restore_old_copy):
        seen.add(check_copy(target))
        copied = copies.back_up(tmp_path / "home" / "newsmill.sqlite", tmp_path / "home" / "archive", target)
        assert (copied.segments, [*target.rglob("*.tmp")]) == (4, [])
    assert (seen, check_copy(target)) == ({5}, 7)


def check_copy(target: Path) -> int:
    """The number of documents of a copy that is a sound store. It is itself copied, because opening it may leave a log."""
    probe = target.with_name("probe")
    shutil.rmtree(probe, ignore_errors=True)
    shutil.copytree(target, probe)
    store = open_home(probe)
    check_archive(store)
    number = store.app.documents.count()
    store.app.engine.dispose()
    return number


@pytest.fixture
def old_database(new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database of the first program, with documents."""
    engine = database.connect(new_database(empty=True))
    upgrade_to("0001", engine, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("newsmill.storage.ledger.barred_urls.find_barred", lambda conn, keys: {})
        Ledger(engine).links.add(links(3), now=NOON)
    columns = {column["name"] for column in inspect(engine).get_columns("documents")}
    with writing(engine) as conn:
        for number in range(1, 4):
            row = to_row(document_of(f"{SITE}/{number}", text=f"كتاب {number}"))
            row = {name: value for name, value in row.items() if name in columns}
            conn.execute(documents.insert(), row | {"ledger_id": number, "site": "paper.example", "stored_at": NOON})
    yield engine
    engine.dispose()


def test_a_migration(old_database: Engine, new_database: NewDatabase, tmp_path: Path) -> None:
    """The schema is the old one until the commit, and then the same as that of a new database; no row is lost."""
    url = old_database.url.render_as_string(hide_password=False).replace("+pysqlite", "").replace("+psycopg", "")
    before, old_schema = read_rows(old_database), describe_schema(old_database)
    every = 1 if old_database.dialect.name == "sqlite" else 4  # Postgres takes 0.2 s of CPU for each
    for _ in kill_at_each_step(upgrade, {"url": url}, tmp_path / "log", every=every):
        assert (read_rows(old_database), describe_schema(old_database)) == (before, old_schema)
    fresh = database.connect(new_database(empty=True))
    schema_version.upgrade(fresh)
    schema_version.check_schema(old_database)
    assert describe_schema(old_database) == describe_schema(fresh)
    fresh.dispose()
    old_database.dispose()  # a connection of Postgres has prepared SELECT * for the old columns
    after_it = read_rows(old_database)
    kept, added = ({name: len(rows) for name, rows in tables.items() if rows} for tables in (before, after_it))
    # every document is to be grouped, and the past begins
    assert added == {**kept, **dict.fromkeys(("copies_due", "stories_due"), kept["documents"]), "past_limits": 1}
    with reading(old_database) as conn:
        assert sorted(conn.execute(select(documents.c.text)).scalars()) == [f"كتاب {number}" for number in range(1, 4)]

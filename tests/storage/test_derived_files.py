"""Takedowns in the files that a machine derives from the database: stores of past times, and images."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rows import NOON, SITE, NewDatabase, after, document_of, insert_pages
from schemas import upgrade_to
from sqlalchemy import Engine, insert, select
from strikes import kill_at_each_step
from struck import erase_derived_files

from newsmill.exceptions import ServiceError
from newsmill.storage import database, frozen_stores, past_documents, schema_version
from newsmill.storage.changes import remove
from newsmill.storage.database import reading, writing
from newsmill.storage.derived_files import DerivedFiles
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.private_files import make_image_mark, make_image_name
from newsmill.storage.processes import Heartbeat
from newsmill.storage.schema import past_takedowns, removed_documents
from newsmill.text import urls
from newsmill.web.lead_images import ImageCache

URL, IMAGE = f"{SITE}/0", f"{SITE}/0.jpg"
SECRET = "Kowalczyk"


def freeze(engine: Engine, folder: Path) -> None:
    at = past_documents.settle(engine, None, now=after(hours=24))
    frozen_stores.freeze(engine, folder, at, with_index=True).dispose()


def show_image(folder: Path, url: str = URL) -> None:
    (folder / make_image_name(IMAGE)).write_text(SECRET)
    (folder / make_image_mark(IMAGE, urls.make_key(url))).touch()


def test_a_kill_between_two_files_leaves_nothing_that_is_served(tmp_path: Path) -> None:
    url, home, copy = f"sqlite:///{tmp_path / 'newsmill.sqlite'}", tmp_path / "home", tmp_path / "copy"
    engine = database.connect(url)
    schema_version.upgrade(engine)
    insert_pages(engine, *(document_of(f"{SITE}/{number}", text=f"{SECRET}{number} news") for number in range(2)))
    (home / "images").mkdir(parents=True)
    freeze(engine, home / "past")
    show_image(home / "images")
    (home / "images" / f".{make_image_name(IMAGE)}.1").write_text(SECRET)
    Takedowns(engine).add([URL], "letter 23", now=after(hours=24))

    def copy_home() -> dict[str, str]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        return {}

    steps = []
    for step in kill_at_each_step(erase_derived_files, {"url": url, "folder": str(copy)}, tmp_path / "log", copy_home):
        steps.append(step)
        freeze(engine, copy / "past")
        assert not [path for path in (copy / "past").iterdir() if f"{SECRET}0".encode() in path.read_bytes()]
        assert DerivedFiles(engine, copy / "past", copy / "images").erase() in (0, 1)
        assert not list((copy / "images").iterdir())
    assert len(steps) >= 5
    engine.dispose()


def test_a_file_that_cannot_be_deleted_is_not_said_to_be_erased(engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    insert_pages(engine, document_of(URL))
    stuck = tmp_path / "past" / "stuck.db"
    files = DerivedFiles(engine, stuck.parent, tmp_path / "images")
    heartbeat = Heartbeat(engine, role="web", apply_takedowns=files.apply_takedowns)
    heartbeat.beat(NOON)
    takedowns = Takedowns(engine)
    assert [*takedowns.list_machines(now=NOON).values()] == [True], "there is none"
    takedowns.add([URL], "letter 23", now=NOON)
    stuck.mkdir(parents=True)  # as a file that belongs to somebody else
    with caplog.at_level(logging.WARNING):
        heartbeat.beat(after(minutes=1))
    assert "stuck.db may hold what was taken down, and cannot be deleted" in caplog.text
    assert [*takedowns.list_machines(now=after(minutes=1)).values()] == [False]
    with pytest.raises(ServiceError, match=r"stuck\.db may hold"):
        files.erase()
    stuck.rmdir()
    heartbeat.beat(after(minutes=2))
    assert [*takedowns.list_machines(now=after(minutes=2)).values()] == [True]


def test_an_image_that_arrives_after_the_takedown_is_not_kept(engine: Engine, tmp_path: Path) -> None:
    insert_pages(engine, *(document_of(f"{SITE}/{number}") for number in range(2)))
    folder = tmp_path / "images"
    cache, files = ImageCache(folder), DerivedFiles(engine, tmp_path / "past", folder)
    for kept in (False, True):  # the second time, another article shows the image too
        assert cache.get(IMAGE, urls.make_key(URL)) is None
        if kept:
            assert cache.get(IMAGE, urls.make_key(f"{SITE}/1")) is None
        with writing(engine) as conn:
            remove(conn, [urls.make_key(URL)], NOON)
        files.erase()
        cache.put(IMAGE, b"JPEG")
        assert (folder / make_image_name(IMAGE)).exists() is kept


def test_takedowns_of_an_older_program_get_the_time_of_the_removal(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(new_database(empty=True))
    upgrade_to("0023", engine, tmp_path, monkeypatch)
    note = {"document_id": "a", "stored_at": NOON, "valid_until": datetime(9999, 12, 31, tzinfo=UTC), "reason": "letter 23"}
    with writing(engine) as conn:
        conn.execute(insert(past_takedowns), [note, note | {"document_id": "b"}])
        conn.execute(insert(removed_documents), [{"id": "a", "removed_at": after(hours=1), "source": None}])
    schema_version.upgrade(engine)
    with reading(engine) as conn:
        found = conn.execute(select(past_takedowns.c.document_id, past_takedowns.c.valid_until).order_by("document_id")).all()
    assert [(row.document_id, row.valid_until.year) for row in found] == [("a", 2026), ("b", 9999)]
    engine.dispose()

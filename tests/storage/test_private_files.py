"""Nobody but the owner reads the data folder, the database and a backup, also where they were there before with another mode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newsmill.storage import database, schema_version
from newsmill.storage.copies import back_up
from newsmill.storage.private_files import make_private_file, make_private_folder


@pytest.fixture(autouse=True)
def open_umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "data")
    assert mode(tmp_path / "a" / "data") == 0o700


def test_an_existing_folder_is_tightened_with_what_newsmill_keeps_in_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in (data, data / "archive", data / "logs"):
        folder.mkdir(mode=0o755)
    make_private_folder(data)
    assert [mode(path) for path in (data, data / "archive", data / "logs")] == [0o700] * 3


def test_a_folder_with_files_of_others_keeps_its_mode(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for folder in (home, home / "archive", home / "public"):
        folder.mkdir(mode=0o755)
    make_private_folder(home)
    assert [mode(path) for path in (home, home / "archive", home / "public")] == [0o755, 0o700, 0o755]


def test_the_database_and_its_log_are_private(tmp_path: Path) -> None:
    path = tmp_path / "newsmill.sqlite"
    path.touch(mode=0o644)
    engine = database.connect(f"sqlite:///{path}")
    schema_version.upgrade(engine)
    with engine.connect():
        assert {found.name: mode(found) for found in tmp_path.glob("newsmill.sqlite*")} == dict.fromkeys(
            ("newsmill.sqlite", "newsmill.sqlite-wal", "newsmill.sqlite-shm"), 0o600
        )
    engine.dispose()


def test_a_backup_into_an_existing_folder_is_private(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path / 'newsmill.sqlite'}")
    schema_version.upgrade(engine)
    engine.dispose()
    backup = tmp_path / "backup"
    backup.mkdir(mode=0o755)
    back_up(tmp_path / "newsmill.sqlite", tmp_path / "archive", backup)
    back_up(tmp_path / "newsmill.sqlite", tmp_path / "archive", backup)
    assert (mode(backup), mode(backup / "newsmill.sqlite")) == (0o700, 0o600)


def test_a_file_that_exists_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    make_private_file(path)
    assert (path.read_text(), mode(path)) == ("kept", 0o600)

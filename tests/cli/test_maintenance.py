"""`newsmill doctor` and `newsmill backup`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_result import Newsmill
from rows import page_of

from newsmill.archive.archive import Archive


@pytest.fixture(autouse=True)
def one_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newsmill: Newsmill) -> None:
    monkeypatch.chdir(tmp_path)
    assert newsmill("submit", "https://www.example.org/a").code == 0


def damage(data: Path) -> None:
    import sqlite3

    with sqlite3.connect(data / "newsmill.sqlite") as connection:
        connection.execute("UPDATE counts SET n = 7")
    connection.close()


def test_doctor_finds_and_repairs(newsmill: Newsmill, tmp_path: Path) -> None:
    done = newsmill("doctor")
    assert (done.code, done.err) == (0, "ledger, archive and documents agree\n")
    damage(tmp_path / "newsmill-data")
    done = newsmill("doctor", "--json")
    (finding,) = done.json
    assert (done.code, finding["check"], finding["count"], finding["remedy"]) == (1, "counts", 1, "counts again")
    assert newsmill("doctor", "--repair").code == 0
    assert newsmill("doctor").code == 0


def test_a_backup_is_a_data_folder(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = newsmill("backup", "copy")
    assert (done.code, done.err) == (0, f"{tmp_path}/copy: copied the database and 0 archive files (0 new)\n")
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "copy"))
    assert newsmill("trace", "https://www.example.org/a").code == 0
    assert newsmill("doctor").code == 0


def test_a_backup_leaves_a_folder_of_other_files_alone(newsmill: Newsmill, tmp_path: Path) -> None:
    other = tmp_path / "letters"
    other.mkdir(mode=0o755)
    (other / "letter.txt").write_text("Dear")
    refused = newsmill("backup", str(other))
    assert (refused.code, "has other files and no backup" in refused.err) == (2, True)
    assert ([path.name for path in other.iterdir()], other.stat().st_mode & 0o777) == (["letter.txt"], 0o755)


def test_targets_and_stores_that_backup_rejects(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (tmp_path / "newsmill-data" / "newsmill.sqlite").stat().st_ino
    (tmp_path / "link").symlink_to(tmp_path / "newsmill-data")
    for inside in ("newsmill-data/copy", "link/copy"):
        done = newsmill("backup", inside)
        assert (done.code, "is inside the data folder" in done.err) == (2, True)
    for same in ("newsmill-data", "link", "other/../newsmill-data"):
        done = newsmill("backup", same)
        assert (done.code, "is the data folder itself" in done.err) == (2, True)
    assert (tmp_path / "newsmill-data" / "newsmill.sqlite").stat().st_ino == before, "the database in use was replaced"
    done = newsmill("backup", "")
    assert (done.code, done.err) == (2, "newsmill: FOLDER is empty; name a folder\n")
    done = newsmill("backup", "a" * 300)
    assert (done.code, "File name too long" in done.err, "Errno" in done.err) == (1, True, False)
    assert newsmill("backup", "/proc/x").err == "newsmill: the backup in /proc/x is not complete: No such file or directory (/proc/x)\n"
    monkeypatch.setenv("ARCHIVE_URL", "s3://bucket/x")
    done = newsmill("backup", "copy")
    assert (done.code, "docs/guides/operating.md" in done.err) == (2, True)


def test_an_empty_database_does_not_take_over_a_filled_archive(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep for orphaned files would remove every page of the lost database."""
    file = tmp_path / "newsmill-data" / "newsmill.sqlite"
    Archive(str(tmp_path / "newsmill-data" / "archive")).write([page_of("https://www.example.org/a")], now=datetime.now(UTC))
    assert newsmill("status").code == 0
    file.write_bytes(b"")
    for arguments in (("status",), ("db", "upgrade"), ("submit", "https://www.example.org/b")):
        done = newsmill(*arguments)
        assert (done.code, f"the database {file} is empty, but the archive" in done.err) == (2, True), arguments
    file.unlink()
    assert "is empty, but the archive" in newsmill("submit", "https://www.example.org/b").err
    monkeypatch.setenv("ARCHIVE_URL", str(tmp_path / "other"))
    assert newsmill("submit", "https://www.example.org/b").code == 0

"""A database file that is moved, replaced or deleted gets nothing more from a process that had it open."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rows import NOON, links
from sqlalchemy import text

from newsmill.exceptions import MovedFileError, ServiceError
from newsmill.storage import moved_file
from newsmill.storage.database import connect, reading, writing
from newsmill.storage.ledger import Ledger

MOVES: dict[str, Callable[[Path, Path], object]] = {
    "moved": lambda file, other: file.rename(other),
    "replaced": lambda file, other: (file.rename(other), shutil.copy(other, file)),
    "deleted": lambda file, other: (shutil.copy(file, other), file.unlink()),
    "with its folder": lambda file, other: (shutil.copy(file, other), shutil.rmtree(file.parent)),
}


@pytest.fixture
def file(tmp_path: Path, sqlite_template: Path) -> Path:
    (tmp_path / "data").mkdir()
    return Path(shutil.copy(sqlite_template, tmp_path / "data" / "newsmill.sqlite"))


def read_urls(file: Path) -> int:
    engine = connect(f"sqlite:///{file}")
    with reading(engine) as conn:
        found: int = conn.execute(text("SELECT count(*) FROM ledger")).scalar_one()
    engine.dispose()
    return found


@pytest.mark.parametrize("is_pooled", [True, False], ids=["an open connection", "a new connection"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_nothing_is_written_after_a_move(file: Path, tmp_path: Path, move: Callable[[Path, Path], object], is_pooled: bool) -> None:
    engine, other = connect(f"sqlite:///{file}"), tmp_path / "other.sqlite"
    ledger = Ledger(engine)
    ledger.links.add(links(1), now=NOON)
    engine.dispose()  # the write-ahead log is in the file
    if is_pooled:
        assert len(ledger.traces.list_all()) == 1
    move(file, other)
    is_there = file.exists()
    for _ in range(2):
        with pytest.raises(MovedFileError, match=str(file)):
            ledger.links.add(links(3), now=NOON)
        with pytest.raises(MovedFileError):
            ledger.traces.list_all()
    engine.dispose()
    assert read_urls(other) == 1
    assert file.exists() is is_there and (not is_there or read_urls(file) == 1)


def test_the_error_is_no_outage_and_a_long_process_ends_before_it(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen = connect(f"sqlite:///{file}"), list[MovedFileError]()
    monkeypatch.setattr(moved_file, "HANDLERS", [seen.append])
    file.rename(tmp_path / "other.sqlite")
    assert not issubclass(MovedFileError, ServiceError)  # crawlers and workers wait for the end of an outage
    with pytest.raises(MovedFileError) as raised, writing(engine):
        pass
    assert seen == [raised.value] and "start Newsmill again" in str(seen[0])


def test_a_file_that_only_changes_stays_open(file: Path) -> None:
    other = connect(f"sqlite:///{file}")
    with writing(other) as conn:
        conn.execute(text("DELETE FROM hosts"))
    with reading(other) as conn:
        conn.execute(text("VACUUM"))
    file.touch()
    assert Ledger(other).traces.list_all() == []
    other.dispose()

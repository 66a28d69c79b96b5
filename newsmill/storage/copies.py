"""The backup of an embedded store while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from newsmill.archive.object_store import TEMPORARY_SUFFIX, walk_files
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.storage.database import connect
from newsmill.storage.database_errors import translate_errors
from newsmill.storage.private_files import DATABASE, make_private_file, make_private_folder

PAGES_PER_STEP = 2000  # of the database (8 MB); writers work in between


@dataclass(frozen=True, slots=True)
class Copied:
    """The number of segments in a backup, and of those that are new in it."""

    segments: int
    new: int


def back_up(database: Path, archive: Path, folder: Path) -> Copied:
    """Back up into `folder`. Segments that are there are not copied again, unless a takedown has changed them since.

    The database is copied first: every segment it names is then in the archive. It replaces the old copy last, so that a backup that was
    killed leaves the earlier one, with all its segments. Raises ServiceError, and ConfigError for a folder that has other files: their
    access rights would change, too.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()) and not any(folder.glob(f"{DATABASE}*")):
            raise ConfigError(f"{folder} has other files and no backup; name an empty or a new folder")
        make_private_folder(folder)
        unfinished = _copy_database(database, folder / DATABASE)
        new = 0
        paths = list(_segments(archive))
        for path in paths:
            new += _copy(path, folder / "archive" / path.relative_to(archive))
        _remove_log(folder / DATABASE)
        unfinished.replace(folder / DATABASE)
    except OSError as error:
        reason = error.strerror or error
        raise ServiceError(f"the backup in {folder} is not complete: {reason} ({error.filename or folder})") from error
    except sqlite3.Error as error:
        raise ServiceError(f"the backup in {folder} is not complete: {error}") from error
    return Copied(len(paths), new)


def _copy_database(source: Path, target: Path) -> Path:
    """SQLite's online backup, consistent whatever is written meanwhile, in a file beside the old copy. Returns its path."""
    unfinished = target.with_name(target.name + TEMPORARY_SUFFIX)
    unfinished.unlink(missing_ok=True)
    make_private_file(unfinished)
    engine = connect(f"sqlite:///{source}", read_only=True)  # the store may be on a medium that is read-only
    writer = sqlite3.connect(unfinished)
    try:
        with translate_errors(engine):
            reader = engine.raw_connection()
            sqlite: sqlite3.Connection = reader.driver_connection  # type: ignore[assignment]
            sqlite.execute("BEGIN")  # one snapshot; without it, each write by others restarts the copy
            sqlite.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        sqlite.backup(writer, pages=PAGES_PER_STEP)
        reader.close()
        writer.execute("DELETE FROM processes")  # heartbeats: no process runs on the copy
        writer.commit()
        result = writer.execute("PRAGMA integrity_check").fetchone()[0]
        if result != "ok":
            raise ServiceError(f"the copy of {source} is damaged ({result}); the backup before it is still there")
    finally:
        writer.close()
        engine.dispose()
    _flush(unfinished)
    return unfinished


def _remove_log(database: Path) -> None:
    """Remove the write-ahead log of the old copy, which a killed process that used it has left: SQLite would apply it to the new copy.

    Raises ServiceError when a process uses the old copy: what it stores would be lost.
    """
    if not database.exists():
        return
    old = sqlite3.connect(database, timeout=0)
    try:
        old.execute("PRAGMA journal_mode=DELETE")  # needs the only connection; the old copy then is complete without its log
    except sqlite3.OperationalError as error:
        raise ServiceError(f"{database} is in use ({error}); stop the process that uses it, or name another folder") from error
    except sqlite3.DatabaseError:  # the old copy is damaged; the new one replaces it
        for suffix in ("-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
    finally:
        old.close()


def _segments(archive: Path) -> Iterator[Path]:
    return (path for path in walk_files(archive) if not path.name.endswith(TEMPORARY_SUFFIX))


def _copy(source: Path, target: Path) -> int:
    unfinished = target.with_name(target.name + TEMPORARY_SUFFIX)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if target.exists() and _is_current(target.stat(), source.stat()):
            return 0
        shutil.copy2(source, unfinished)
    except FileNotFoundError:  # an orphaned file that was deleted since it was listed
        return 0
    _flush(unfinished)
    unfinished.replace(target)
    return 1


def _is_current(copy: os.stat_result, source: os.stat_result) -> bool:
    """Whether the copy has the size and the time of its source. A takedown changes only the time; some file systems round it to 2 s."""
    return copy.st_size == source.st_size and source.st_mtime - copy.st_mtime <= 2


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

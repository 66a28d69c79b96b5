"""A copy of an embedded store that is a store itself: database first, archive second, both while everything runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from newsmill.archive.object_store import TEMPORARY_SUFFIX
from newsmill.exceptions import ServiceError
from newsmill.storage.private_files import DATABASE, make_private_file, make_private_folder

PAGES = 2000  # of the database copied at a time (8 MB), so that writers get their turn


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup holds, and how many files are new in it."""

    segments: int
    new: int


def back_up(database: Path, archive: Path, folder: Path) -> Copied:
    """Copy into `folder`; what is there already of the archive is not copied again, for a segment never changes.

    The database first: every segment it names is in the archive by then. Raises ServiceError.
    """
    try:
        make_private_folder(folder)
        _copy_database(database, folder / DATABASE)
        new = 0
        paths = list(_segments(archive))
        for path in paths:
            new += _copy(path, folder / "archive" / path.relative_to(archive))
    except (OSError, sqlite3.Error) as error:
        raise ServiceError(f"the backup in {folder} is not complete: {error}") from error
    return Copied(len(paths), new)


def _copy_database(source: Path, target: Path) -> None:
    """SQLite's online backup: a consistent copy whatever is written meanwhile. The old copy stays until the new one is whole."""
    unfinished = target.with_name(target.name + TEMPORARY_SUFFIX)
    unfinished.unlink(missing_ok=True)
    make_private_file(unfinished)
    reader, writer = sqlite3.connect(source), sqlite3.connect(unfinished)
    try:
        reader.execute("BEGIN")  # one snapshot; without it each write by others would start the copy over
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        reader.backup(writer, pages=PAGES)
        said = writer.execute("PRAGMA integrity_check").fetchone()[0]
        if said != "ok":
            raise ServiceError(f"the copy of {source} is damaged ({said}); the backup before it is still there")
    finally:
        writer.close()
        reader.close()
    _flush(unfinished)
    unfinished.replace(target)


def _segments(archive: Path) -> Iterator[Path]:
    return (path for path in sorted(archive.rglob("*")) if path.is_file() and not path.name.endswith(TEMPORARY_SUFFIX))


def _copy(source: Path, target: Path) -> int:
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return 0
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + TEMPORARY_SUFFIX)
    try:
        shutil.copy2(source, unfinished)
    except FileNotFoundError:  # an orphan, swept since it was listed: no row names it
        return 0
    _flush(unfinished)
    unfinished.replace(target)
    return 1


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Stores frozen at a time: SQLite files with the documents as they were, which are searched and exported as every store.

A file holds nothing of the users and of the crawl. Its name has a digest of all takedowns of the database, wherever they were made: after
one more, the file is deleted, not read and made again. Making one costs 0.7 ms of CPU a document, and 10 ms more with the search index. It
needs as much space as the documents have in their database.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, bindparam, select

from newsmill.exceptions import ConfigError, MovedFileError, ServiceError, UrlError
from newsmill.model import Kind, Outcome
from newsmill.search import indexer
from newsmill.storage import copy_groups, database, fingerprints, schema_version
from newsmill.storage.bulk_insert import insert_many
from newsmill.storage.database import reading, writing
from newsmill.storage.past_documents import Version, count_takedowns, iterate_at
from newsmill.storage.schema import documents, ledger, past_takedowns
from newsmill.text.urls import make_key
from newsmill.version import __version__

MAX_STORES = 3  # of different times, the last used ones
MIN_KEPT_SECONDS = 30.0  # since the last use: the client that asked for a store comes back for it in 5 s (web/past_stores.py)
MAX_PAUSE_SECONDS = 86_400.0  # between two writes to a store that is being made; then its process was killed
_SUFFIX, _UNFINISHED = ".db", ".part"
_INDEXED = "-indexed"  # the empty file beside a store whose index is complete
_LOCK = "-lock"
_KEYS = select(ledger.c.url_key).where(ledger.c.url_key.in_(bindparam("b_keys", expanding=True)))
_TAKEDOWNS = select(past_takedowns).order_by(past_takedowns.c.document_id, past_takedowns.c.valid_until)

OnProgress = Callable[[str, int], None]  # what is counted, and how many more


def parse_time(text: str) -> datetime:
    """The time that a person names: ISO 8601 with a time zone, or a day, whose beginning (UTC) it is. Raises ConfigError.

    >>> str(parse_time("2026-11-30")), str(parse_time("2026-11-30T12:00+01:00"))
    ('2026-11-30 00:00:00+00:00', '2026-11-30 11:00:00+00:00')
    """
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"{text!r} is not a time; write 2026-11-30 or 2026-11-30T12:00:00Z") from None
    if "T" in text or " " in text or ":" in text:
        raise ConfigError(f"{text!r} has no time zone; write {text}Z for UTC")
    return at.replace(tzinfo=UTC)


def format_time(at: datetime) -> str:
    """A time as `parse_time` reads it, in full precision.

    >>> format_time(datetime(2026, 11, 30, tzinfo=UTC))
    '2026-11-30T00:00:00.000000Z'
    """
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def is_ready(engine: Engine, folder: Path, at: datetime) -> bool:
    """Whether `freeze` finds the store of a time with its index, so that it costs a few milliseconds."""
    path = folder / _make_name(engine, at)
    return path.exists() and _mark_of(path).exists()


def freeze(engine: Engine, folder: Path, at: datetime, *, with_index: bool, on_progress: OnProgress = lambda what, more: None) -> Engine:
    """A read-only engine on the store at a time that `past_documents.settle` returned. `folder`: of the files, which it makes or reuses.

    Of several processes that do this at once, one makes the store and the others wait. Raises ServiceError. So does each use of the engine
    after a further takedown, which deletes the file.
    """
    takedowns = count_takedowns(engine)
    path = folder / _make_name(engine, at)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_outdated(engine, folder)
        _remove_unused(folder, path)
        if not path.exists() or (with_index and not _mark_of(path).exists()):
            with _lock(path):
                if not path.exists():
                    _mark_of(path).unlink(missing_ok=True)
                    _make(engine, path, at, on_progress)
                    _check_takedowns(engine, path, at)
                if with_index and not _mark_of(path).exists():
                    _index(path, on_progress)
                    _mark_of(path).touch(mode=0o600)
                    _check_takedowns(engine, path, at)
        path.touch()
    except (OSError, MovedFileError) as error:
        _check_takedowns(engine, path, at)
        raise ServiceError(f"the store of {format_time(at)} cannot be made in {folder}: {getattr(error, 'strerror', error)}") from error
    return open_frozen(engine, path, takedowns)


def open_frozen(engine: Engine, path: Path, takedowns: int) -> Engine:
    """A read-only engine on a file that was made of the database `engine` when it had so many takedowns. After a further one, each use
    deletes the file and raises ServiceError."""
    frozen = database.connect(f"sqlite:///{path}", read_only=True)
    database.check_before_use(frozen, partial(_check_count, engine, path, takedowns))
    return frozen


def _check_count(engine: Engine, path: Path, takedowns: int) -> None:
    if count_takedowns(engine) != takedowns:
        _refuse(path)


def _mark_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{_INDEXED}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait until no other process makes or indexes the store. The lock ends with its process."""
    with path.with_name(f"{path.name}{_LOCK}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_outdated(engine: Engine, folder: Path) -> None:
    """Delete the files that were begun before the last takedown, by another program or of another database, also unfinished ones.

    Raises OSError. A process that is making one of them notices, and fails.
    """
    found = [one for one in folder.iterdir() if _SUFFIX in one.name or _UNFINISHED in one.name] if folder.is_dir() else []
    state = _read_state(engine) if found else ""
    for one in found:
        if state not in one.name:
            one.unlink(missing_ok=True)


def _check_takedowns(engine: Engine, path: Path, at: datetime) -> None:
    """Delete the file and raise ServiceError if a takedown was committed since it was begun: its `remove_outdated` may have come before."""
    if _make_name(engine, at) != path.name:
        _refuse(path)


def _refuse(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink(missing_ok=True)
    raise ServiceError(
        "documents were taken down while a store of the past was made or read, and its file is deleted; run the command again"
    )


def _make_name(engine: Engine, at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S%fZ}-{_read_state(engine)}{_SUFFIX}"


def _read_state(engine: Engine) -> str:
    """A digest for the names of files, which is another one after a takedown, for another database and with another program."""
    with reading(engine) as conn:
        taken_down = [tuple(map(str, row)) for row in conn.execute(_TAKEDOWNS)]
    state = repr((engine.url.render_as_string(hide_password=True), schema_version.REVISIONS[-1], __version__, taken_down))
    return hashlib.sha256(state.encode()).hexdigest()[:16]


def _remove_unused(folder: Path, path: Path) -> None:
    """Delete the files that were not used for longest, and those of killed processes."""
    found = sorted((one for one in folder.glob(f"*{_SUFFIX}") if one != path), key=_read_time, reverse=True)
    killed = [one for one in folder.glob(f"*{_UNFINISHED}") if _read_time(one) < time.time() - MAX_PAUSE_SECONDS]
    unused = [one for one in found[MAX_STORES - 1 :] if _read_time(one) < time.time() - MIN_KEPT_SECONDS]
    for one in (*unused, *killed):
        for part in folder.glob(f"{one.name}*"):  # with the write-ahead log
            part.unlink(missing_ok=True)


def _read_time(path: Path) -> float:
    """When the file was last written; 0 for one that another process has renamed or deleted."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _make(engine: Engine, path: Path, at: datetime, on_progress: OnProgress) -> None:
    temporary = path.with_name(f"{path.stem}-{uuid.uuid4().hex}{_UNFINISHED}")
    frozen = database.connect(f"sqlite:///{temporary}")
    try:
        schema_version.upgrade(frozen)
        number = 0
        for batch in iterate_at(engine, at):
            _insert(frozen, batch, number)
            number += len(batch)
            on_progress("documents read", len(batch))
        frozen.dispose()  # which writes the log into the file
        temporary.replace(path)
    finally:
        frozen.dispose()
        for part in path.parent.glob(f"{temporary.name}*"):
            part.unlink(missing_ok=True)


def _insert(frozen: Engine, batch: Sequence[Version], number: int) -> None:
    """Insert documents, each with the row of its page; `number`: of those before them."""
    keys = [_make_page_key(version) for version in batch]
    rows, stored = [], []
    with writing(frozen) as conn:
        known = set(conn.execute(_KEYS, {"b_keys": keys}).scalars())
        for place, (version, key) in enumerate(zip(batch, keys, strict=True), number + 1):
            rows.append(_make_page(version, place, version["id"] if key in known else key))
            known.add(key)
            stored.append({**version, "ledger_id": place, "site": None})
        insert_many(conn, ledger, rows)
        insert_many(conn, documents, stored)


def _make_page_key(version: Version) -> str:
    try:
        return make_key(version["requested_url"])
    except UrlError:
        return str(version["id"])


def _make_page(version: Version, number: int, key: str) -> dict[str, Any]:
    times = {"first_seen_at": version["first_seen_at"], "next_at": version["stored_at"], "ended_at": version["stored_at"]}
    state = {"state": "done", "outcome": Outcome.STORED.value, "kind": Kind.PAGE.value, "document_id": version["id"]}
    return {"id": number, "url_key": key, "url": version["requested_url"], "host": "", "found_by": "past", **times, **state}


def _index(path: Path, on_progress: OnProgress) -> None:
    """Index the documents and decide their groups of copies, as workers and scheduler do for the documents of today."""
    frozen = database.connect(f"sqlite:///{path}")
    try:
        while done := indexer.index_pending(frozen):
            on_progress("documents indexed", done)
        while fingerprints.catch_up(frozen):
            pass
        while copy_groups.catch_up(frozen):
            pass
    finally:
        frozen.dispose()

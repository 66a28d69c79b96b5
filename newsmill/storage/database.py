"""Connections to SQLite or Postgres.

An engine may be shared between threads, never across a fork (the sandbox's fork server has none). SQLite: one file in WAL mode, any number
of processes on one machine. Postgres: through psycopg 3.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Select, create_engine, event, exc, make_url
from sqlalchemy import Engine as Engine  # re-exported: other packages pass an engine on without importing SQLAlchemy
from sqlalchemy.engine import URL, ExceptionContext

from newsmill.exceptions import ConfigError
from newsmill.storage.columns import dump_json
from newsmill.storage.database_errors import FILE_HINT, translate_errors
from newsmill.storage.moved_file import OpenFile
from newsmill.storage.private_files import make_private_file

BUSY_SECONDS = 30  # SQLite's busy handler is not fair; at full load the longest wait was 1.8 s
POOL_SIZE = 5  # connections per process: one thread writes and a few read
CONNECT_SECONDS = 10
# A machine that disappears or freezes inside its transaction holds its locks until Postgres notices: two hours with TCP's defaults.
IDLE_TRANSACTION_SECONDS = 60
READ_ONLY_STATE = "25006"  # the SQLSTATE of a change in a read-only transaction
EXPECTED = (
    "expected sqlite:///path or postgresql://user:password@host/name, with a port that is a number, and '@' in a password written as %40"
)


def connect(url: str, *, busy_seconds: float = BUSY_SECONDS, read_only: bool = False) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://user:password@host/name`. Does not connect yet. Raises ConfigError.

    `read_only`: the database refuses every change, and no file or folder is created.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError) as error:  # ValueError: a port that is not a number, or a "/" in the password
        raise ConfigError(f"DATABASE_URL is not a database URL; {EXPECTED}") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed, busy_seconds, read_only)
    if backend in ("postgresql", "postgres"):
        return _postgres(parsed, read_only)
    raise ConfigError(f"DATABASE_URL names {backend!r}; {EXPECTED}")


def _sqlite(url: URL, busy_seconds: float, read_only: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names a database in memory, which other processes cannot see; expected sqlite:///path")
    if read_only:
        return _sqlite_to_read(url, Path(url.database), busy_seconds)
    try:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private_file(Path(url.database))
    except OSError as error:
        raise ConfigError(f"the database file {url.database} cannot be opened: {error.strerror}; {FILE_HINT}") from error
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"), json_serializer=dump_json, pool_size=POOL_SIZE, connect_args={"timeout": busy_seconds}
    )
    check_before_use(engine, OpenFile(Path(url.database)).check)

    @event.listens_for(engine, "connect")
    def configure(dbapi: sqlite3.Connection, _record: object) -> None:
        dbapi.isolation_level = None  # the driver must not begin transactions itself
        for pragma in (
            f"busy_timeout={int(busy_seconds * 1000)}",
            "journal_mode=WAL",
            "wal_autocheckpoint=4000",  # pages, 16 MB: a crawl writes 315 kB for each article instead of 363
            "synchronous=NORMAL",  # a kill loses nothing; a power loss loses the last commits, whose work is done again
            "foreign_keys=ON",
            "journal_size_limit=67108864",  # bytes: the write-ahead log shrinks after a burst instead of keeping its largest size
        ):
            dbapi.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        # Reads run in autocommit without the write lock. Writers take it at once: a lock requested later fails instead of waiting.
        if conn.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def check_before_use(engine: Engine, check: Callable[[], None]) -> None:
    """Call `check` before each new connection and each use of one. What it raises is raised in place of the connection."""

    @event.listens_for(engine, "do_connect")
    def check_new(*_: object) -> None:  # SQLite would create an empty file
        check()

    @event.listens_for(engine, "checkout")
    def check_pooled(*_: object) -> None:
        check()


def _sqlite_to_read(url: URL, path: Path, busy_seconds: float) -> Engine:
    """SQLite's read-only mode. In a folder that is not writable and has no write-ahead log, SQLite cannot create its shared index either.
    The URL must then state that the file does not change."""
    is_unchanging = not is_writable(path.absolute().parent) and not path.with_name(f"{path.name}-wal").exists()
    query = {"mode": "ro", "uri": "true", **({"immutable": "1"} if is_unchanging else {})}
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite", database=f"file:{quote(str(path.absolute()))}", query=query),
        json_serializer=dump_json,
        pool_size=POOL_SIZE,
        connect_args={"timeout": busy_seconds},
    )

    @event.listens_for(engine, "connect")
    def configure(dbapi: sqlite3.Connection, _record: object) -> None:
        dbapi.isolation_level = None
        dbapi.execute("PRAGMA query_only=ON")

    return engine


def is_writable(path: Path) -> bool:
    """Whether this process may change a file or folder: not on a medium that is read-only."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _postgres(url: URL, read_only: bool) -> Engine:
    if "@" in f"{url.host}{url.database}":  # part of the password, which the driver would print
        raise ConfigError(f"DATABASE_URL has more than one '@'; {EXPECTED}")
    options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        json_serializer=dump_json,
        pool_size=POOL_SIZE,
        pool_pre_ping=True,  # a restarted server costs one reconnect, not one failed job
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "newsmill", "client_encoding": "UTF8", **options},
    )
    _refuse_unknown_options(url)

    @event.listens_for(engine, "connect")
    def configure(dbapi: Any, _record: object) -> None:
        dbapi.execute(f"SET idle_in_transaction_session_timeout = {round(1000 * IDLE_TRANSACTION_SECONDS)}")
        dbapi.commit()

    @event.listens_for(engine, "handle_error")
    def drop_connections(context: ExceptionContext) -> None:
        # After a failover they may lead to a server that is now a standby, and the ping before each use would succeed for ever.
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_STATE:
            context.is_disconnect = True

    return engine


def _refuse_unknown_options(url: URL) -> None:
    # create_engine has imported psycopg, which a store on SQLite does not need
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    for option in url.query:
        try:
            make_conninfo(**{option: ""})
        except ProgrammingError as error:
            raise ConfigError(
                f"DATABASE_URL has an unknown option {option!r}; expected options of libpq, such as sslmode=require"
            ) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction. Keep it short: no network, no files, no extraction. Raises ServiceError."""
    with translate_errors(engine), engine.begin() as conn:
        yield conn


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in autocommit: each statement sees what was committed before it. Raises ServiceError."""
    with translate_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        yield conn


def run_in_batches(
    engine: Engine,
    batch: Select[Any],
    limit: int,
    process: Callable[[Connection, Sequence[Any]], None],
    on_commit: Callable[[int], None] | None = None,
) -> int:
    """Process rows in batches, one transaction each, until none are left or `limit` are done. Returns the number of rows.

    `batch` selects and locks the keys of one batch. `process` handles them so that they are not selected again. `on_commit` gets the number
    of keys after each commit. Several processes may do this at once.
    """
    done = 0
    while done < limit:
        with writing(engine) as conn:
            keys = conn.execute(batch).scalars().all()
            if not keys:
                return done
            process(conn, keys)
        done += len(keys)
        if on_commit is not None:
            on_commit(len(keys))
    return done

"""One engine for SQLite and Postgres, its transactions, and the schema's version.

An engine may be shared between threads; never across a fork (the sandbox's fork server holds none). SQLite: one file, WAL, any number of
processes on one machine. Postgres: through psycopg 3.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Select, create_engine, event, exc, make_url, text
from sqlalchemy import Engine as Engine  # others hold one and hand it on; what it is, only keep/ knows
from sqlalchemy.engine import URL

from newsmill.exceptions import ConfigError, SchemaError, ServiceError
from newsmill.redaction import redact
from newsmill.storage.columns import dump_json
from newsmill.storage.private_files import make_private_file

BUSY_SECONDS = 30  # SQLite's busy handler is not fair: flat out the longest wait measured was 1.8 s (ARCHITECTURE-FACTS, section 2)
POOL = 5  # connections per process; a process has one ledger thread and at most a few readers
CONNECT_SECONDS = 10
ASK_CLOCK_SECONDS = 5.0  # within which a jump of Postgres's clock is followed: asking takes up to 1 ms, and a worker asks per page
UPGRADE_LOCK = 0x6E6577736D696C6C  # "newsmill": the advisory lock that lets one process upgrade at a time

# Oldest first; migrations/versions/ holds the same (kept by a test). Listed here so that a check at start-up need not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0008", "0009", "0010", "0011", "0012", "0013", "0014")

EXPECTED = (
    "expected sqlite:///path or postgresql://user:password@host/name, with a port that is a number, and '@' in a password written as %40"
)


def connect(url: str, *, busy_seconds: float = BUSY_SECONDS, read_only: bool = False) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://user:password@host/name`. Opens nothing yet. Raises ConfigError.

    `read_only`: the database refuses every change, and no file or folder is made.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError) as error:  # ValueError: a port that is no number, or an "/" in the password
        raise ConfigError(f"DATABASE_URL is not a database URL; {EXPECTED}") from error
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _sqlite(parsed, busy_seconds, read_only)
    if kind in ("postgresql", "postgres"):
        return _postgres(parsed, read_only)
    raise ConfigError(f"DATABASE_URL names {kind!r}; {EXPECTED}")


def _sqlite(url: URL, busy_seconds: float, read_only: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names a database in memory, which no second process could see; expected sqlite:///path")
    if read_only:
        return _sqlite_to_read(url, Path(url.database), busy_seconds)
    try:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private_file(Path(url.database))
    except OSError as error:
        raise ConfigError(f"the database file {url.database} cannot be opened: {error.strerror}; check the path in DATABASE_URL") from error
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"), json_serializer=dump_json, pool_size=POOL, connect_args={"timeout": busy_seconds}
    )

    @event.listens_for(engine, "connect")
    def configure(dbapi: sqlite3.Connection, _record: object) -> None:
        dbapi.isolation_level = None  # the driver must not begin transactions behind our back
        for pragma in (
            f"busy_timeout={int(busy_seconds * 1000)}",
            "journal_mode=WAL",
            "synchronous=NORMAL",  # a process kill loses nothing; a power loss loses the last commits: work done again, never a lie
            "foreign_keys=ON",
            "journal_size_limit=67108864",  # bytes: the write-ahead log shrinks again after a burst, instead of keeping its largest size
        ):
            dbapi.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        # Reads run in autocommit and never queue for the write lock. Writers take it at once: a lock taken later cannot wait, only fail.
        if conn.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _sqlite_to_read(url: URL, path: Path, busy_seconds: float) -> Engine:
    """SQLite's read-only mode. Where nobody may write into the folder and no log of changes lies there, SQLite cannot make its shared
    index either, and must be told that the file does not change."""
    still = not os.access(path.absolute().parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    query = {"mode": "ro", "uri": "true", **({"immutable": "1"} if still else {})}
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite", database=f"file:{quote(str(path.absolute()))}", query=query),
        json_serializer=dump_json,
        pool_size=POOL,
        connect_args={"timeout": busy_seconds},
    )

    @event.listens_for(engine, "connect")
    def configure(dbapi: sqlite3.Connection, _record: object) -> None:
        dbapi.isolation_level = None
        dbapi.execute("PRAGMA query_only=ON")

    return engine


def _postgres(url: URL, read_only: bool) -> Engine:
    if "@" in f"{url.host}{url.database}":  # a part of the password, which the driver would print
        raise ConfigError(f"DATABASE_URL has more than one '@'; {EXPECTED}")
    options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        json_serializer=dump_json,
        pool_size=POOL,
        pool_pre_ping=True,  # a restarted server must cost one reconnect, not one failed job
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "newsmill", **options},
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction. Keep it short: no network, no file, no extraction inside. Raises ServiceError."""
    with translate_errors(engine), engine.begin() as conn:
        yield conn


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in autocommit: each statement sees what is committed when it starts. Raises ServiceError."""
    with translate_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        yield conn


@contextmanager
def translate_errors(engine: Engine) -> Iterator[None]:
    """Foreign errors become ours here, once: what the outside world caused is a ServiceError; a wrong statement stays what it is."""
    try:
        yield
    except (exc.OperationalError, exc.InternalError, exc.TimeoutError) as error:
        raise ServiceError(_sentence(engine.url, error)) from error
    except sqlite3.OperationalError as error:  # from the connect event, before SQLAlchemy wraps it
        raise ServiceError(_sentence(engine.url, error)) from error
    except exc.DatabaseError as error:
        # Its subclasses are about our statements: bugs, but for a missing table (42P01 on Postgres), which is a missing upgrade.
        if type(error) is not exc.DatabaseError and getattr(error.orig, "sqlstate", None) != "42P01":
            raise
        raise ServiceError(_sentence(engine.url, error)) from error


def _sentence(url: URL, error: Exception) -> str:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()
    said = cause[0] if cause else type(error).__name__
    where = redact(url.render_as_string())
    hints = {
        "locked": "another process held the write lock longer than the busy timeout; what was being written is not stored",
        "full": "the disk is full; what was being written is not stored, and nothing stored before is harmed",
        "disk I/O error": "the disk refused to write (full, or over a limit); what was being written is not stored",
        "unable to open": "the file cannot be opened; look at the folder and its permissions",
        "no such table": "the schema is missing or old; run `newsmill db upgrade`",
        "does not exist": "the database or its schema is missing; create the database and run `newsmill db upgrade`",
        "malformed": "the file is damaged; restore it from a backup",
        "not a database": "the file is not an SQLite database",
    }
    hint = next((words for sign, words in hints.items() if sign in said), "check that the database is up and DATABASE_URL is right")
    return f"database {where}: {said}: {hint}"


def read_clock(engine: Engine) -> datetime:
    """The time all processes on this database agree on: Postgres's own where there are many machines, this machine's for SQLite."""
    if engine.dialect.name == "sqlite":
        return datetime.now(UTC)
    with reading(engine) as conn:
        now: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now.astimezone(UTC)


class Clock:
    """The same, as often as one likes: Postgres is asked every few seconds, and its time is reckoned on in between. To be shared between
    threads. Never raises: while the database is away its time is reckoned on, or this machine's is taken where it was never asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: tuple[datetime, float] | None = None  # what Postgres said, and when (time.monotonic)

    def __call__(self) -> datetime:
        if self._engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        asked = time.monotonic()
        if self._known is None or asked - self._known[1] > ASK_CLOCK_SECONDS:
            try:
                self._known = read_clock(self._engine), asked
            except ServiceError:
                if self._known is None:
                    return datetime.now(UTC)
        at, when = self._known
        return at + timedelta(seconds=asked - when)


# ---- the schema ----------------------------------------------------------------------------------------------------------------


def revision(conn: Connection) -> str | None:
    """The revision the database says it is at; None for an empty one."""
    if not conn.dialect.has_table(conn, "alembic_version"):
        return None
    found: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def check_schema(engine: Engine) -> None:
    """Raises SchemaError unless the database's schema is exactly this program's."""
    with reading(engine) as conn:
        found = revision(conn)
    _refuse_newer(found)
    if found != REVISIONS[-1]:
        stand = "empty" if found is None else f"at revision {found}"
        raise SchemaError(f"the database is {stand} and this program needs revision {REVISIONS[-1]}; run `newsmill db upgrade`")


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to this program's revision, in one transaction; (revision before, revision after).

    Two processes may upgrade at once: the second waits for the first and finds nothing left to do. Raises SchemaError for a newer schema.
    """
    with writing(engine) as conn:  # SQLite: BEGIN IMMEDIATE is the lock
        if engine.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        before = revision(conn)
        _refuse_newer(before)
        if before != REVISIONS[-1]:
            _run_migrations(conn)
    return before, REVISIONS[-1]


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in REVISIONS:
        raise SchemaError(
            f"the database is at revision {found}, which this program (revision {REVISIONS[-1]}) does not know; install the newer Newsmill"
        )


def _run_migrations(conn: Connection) -> None:
    # Alembic costs 0.08 s of CPU, which only a schema that is not up to date need spend
    from alembic import command
    from alembic.config import Config

    config: Any = Config()
    config.set_main_option("script_location", "newsmill.storage:migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


# Work that may be a million rows long, a batch at a time, so that others get at the database in between.


def run_in_batches(
    engine: Engine,
    some: Select[Any],
    most: int,
    work: Callable[[Connection, Sequence[Any]], None],
    then: Callable[[int], None] | None = None,
) -> int:
    """Select some keys and `work` on them, in a transaction of their own, until there are none or `most` are done; how many were.

    `some` selects and locks one batch; `work` must leave it so that it is not selected again; `then` hears after each commit of how many.
    Several processes may do so at once.
    """
    done = 0
    while done < most:
        with writing(engine) as conn:
            keys = conn.execute(some).scalars().all()
            if not keys:
                return done
            work(conn, keys)
        done += len(keys)
        if then is not None:
            then(len(keys))
    return done

"""One engine for SQLite and Postgres, its transactions, and the schema's version.

An engine may be shared between threads, never across a fork (the sandbox's fork server has none). SQLite: one file in WAL mode, any number
of processes on one machine. Postgres: through psycopg 3.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import Connection, Select, create_engine, event, exc, make_url, text
from sqlalchemy import Engine as Engine  # re-exported: other packages pass an engine on without importing SQLAlchemy
from sqlalchemy.engine import URL, ExceptionContext

from newsmill.exceptions import ConfigError, SchemaError, ServiceError
from newsmill.storage.columns import dump_json
from newsmill.storage.moved_file import OpenFile
from newsmill.storage.private_files import make_private_file
from newsmill.storage.schema import metadata
from newsmill.text.redaction import redact

log = logging.getLogger(__name__)

BUSY_SECONDS = 30  # SQLite's busy handler is not fair; at full load the longest wait was 1.8 s
POOL_SIZE = 5  # connections per process: one thread writes and a few read
CONNECT_SECONDS = 10
# A machine that disappears or freezes inside its transaction holds its locks until Postgres notices: two hours with TCP's defaults.
IDLE_TRANSACTION_SECONDS = 60
MIN_POSTGRES_VERSION = 15
SERVICE_STATES = ("42P01", "42501")  # SQLSTATEs of a missing table, which is a missing upgrade, and of a missing right
READ_ONLY_STATE = "25006"  # the SQLSTATE of a change in a read-only transaction
CLOCK_INTERVAL_SECONDS = 5.0  # between two readings of Postgres's clock: one takes up to 1 ms, and workers need the time for every page
UPGRADE_LOCK = 0x6E6577736D696C6C  # "newsmill": the advisory lock that lets one process upgrade at a time

SHARED_INDEX_BYTES = 1 << 20  # SQLite extends its -shm file by 32 KB and its log by pages
MIGRATIONS = "newsmill.storage:migrations"
# The revisions, oldest first, by the names of their files, so that a check at start-up does not load Alembic.
REVISIONS = tuple(sorted(path.name[:4] for path in (Path(__file__).parent / "migrations" / "versions").glob("0*.py")))
_DAMAGED_INDEX = ("malformed", "vtable constructor failed")  # in SQLite's messages about an FTS5 table

_NO_CONNECTION_LEFT = ("too many connections", "too many clients", "remaining connection slots")  # in Postgres's messages

_OTHER_FOLDER = "or set NEWSMILL_DATA (or the path in DATABASE_URL) to another one"
_FILE_HINT = f"make the folder writable, {_OTHER_FOLDER}"
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
        raise ConfigError(f"the database file {url.database} cannot be opened: {error.strerror}; {_FILE_HINT}") from error
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"), json_serializer=dump_json, pool_size=POOL_SIZE, connect_args={"timeout": busy_seconds}
    )
    _check_before_use(engine, OpenFile(Path(url.database)))

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


def _check_before_use(engine: Engine, file: OpenFile) -> None:
    """Raise MovedFileError in place of a new connection or transaction on a file that is no longer at its path."""

    @event.listens_for(engine, "do_connect")
    def check_new(*_: object) -> None:  # SQLite would create an empty file
        file.check()

    @event.listens_for(engine, "checkout")
    def check_pooled(*_: object) -> None:
        file.check()


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


@contextmanager
def translate_errors(engine: Engine) -> Iterator[None]:
    """Raise ServiceError for errors of the database service. Errors in statements are bugs and pass through."""
    try:
        yield
    except (exc.OperationalError, exc.InternalError, exc.TimeoutError) as error:
        raise ServiceError(_describe(engine.url, error)) from error
    except sqlite3.DatabaseError as error:  # from the connect event or a plain cursor, which SQLAlchemy does not wrap
        raise ServiceError(_describe(engine.url, error)) from error
    except exc.DatabaseError as error:
        # Its subclasses are errors in statements, with two exceptions.
        if type(error) is not exc.DatabaseError and getattr(error.orig, "sqlstate", None) not in SERVICE_STATES:
            raise
        raise ServiceError(_describe(engine.url, error)) from error


def _describe(url: URL, error: Exception) -> str:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()
    message = cause[0] if cause else type(error).__name__
    file, where = _find_file(url), _describe_url(url)
    mount_hint = f"its file system is read-only; mount it for writing, {_OTHER_FOLDER}" if file and _is_mounted_read_only(file) else None
    hints = {
        "locked": "another process held the write lock longer than the busy timeout; what was being written is not stored",
        "readonly": mount_hint or f"the file or its folder is read-only; {_FILE_HINT}",
        "read-only transaction": "the server accepts no changes; it is a standby, or default_transaction_read_only is on",
        "No space left": "the disk of the database server is full; free some space to continue; stored data is not affected",
        "password authentication failed": "the account or the password in DATABASE_URL is wrong",
        "full": "the disk is full; what was being written is not stored, and stored data is not affected",
        "disk I/O error": "the disk is full; free some space to continue; stored data is not affected"
        if file and _is_full(file.parent)
        else "the disk refused to read or write (a damaged disk, or a limit on the size of files); what was being written is not stored",
        "unable to open": mount_hint or f"the file cannot be opened; {_FILE_HINT}",
        "no such table": "the schema is missing or old; run `newsmill db upgrade`",
        "does not exist": "the database or its schema is missing; create the database and run `newsmill db upgrade`",
        "permission denied": "the account in DATABASE_URL lacks a right; make it the owner of the tables, or grant it the right",
        "must be owner": "only the owner of the tables may change them; run the command with the account that ran `newsmill db upgrade`",
        **dict.fromkeys(_NO_CONNECTION_LEFT, "raise max_connections of Postgres or the limit of the account, or run fewer processes"),
        "statement timeout": "a statement took longer than the database permits; raise statement_timeout of the account or the database",
        "malformed": "the file is damaged; restore it from a backup",
        "not a database": "the file is not an SQLite database",
    }
    hint = next((words for sign, words in hints.items() if sign in message), "check that the database is up and DATABASE_URL is right")
    return f"database {where}: {message}: {hint}"


def describe_location(engine: Engine) -> str:
    """The path of an SQLite database, or the URL without its password."""
    return _describe_url(engine.url)


def _describe_url(url: URL) -> str:
    file = _find_file(url)
    return str(file) if file else redact(url.render_as_string())


def _find_file(url: URL) -> Path | None:
    """The file of an SQLite database; None for another database."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(unquote(url.database.removeprefix("file:")))  # `_sqlite_to_read` writes a URI


def _is_mounted_read_only(file: Path) -> bool:
    """Whether a file exists on a file system that is mounted read-only, where SQLite cannot create its shared index."""
    try:
        return bool(os.statvfs(file).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _is_full(folder: Path) -> bool:
    """Whether its disk has no room for SQLite's shared index. Readers write that too."""
    try:
        return shutil.disk_usage(folder).free < SHARED_INDEX_BYTES
    except OSError:
        return False


def read_clock(engine: Engine) -> datetime:
    """The time that all processes on this database share: the clock of Postgres, or of this machine for SQLite."""
    if engine.dialect.name == "sqlite":
        return datetime.now(UTC)
    with reading(engine) as conn:
        now: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now.astimezone(UTC)


class Clock:
    """`read_clock`, cheap enough for every page: Postgres is started every CLOCK_INTERVAL_SECONDS, and the time in between is calculated.

    May be shared between threads. Never raises: while the database is unreachable, the time is calculated, or it is this machine's if
    Postgres was never reached.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: tuple[datetime, float] | None = None  # the time of Postgres, and the time.monotonic() of that reading

    def __call__(self) -> datetime:
        if self._engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        started = time.monotonic()
        if self._known is None or started - self._known[1] > CLOCK_INTERVAL_SECONDS:
            try:
                self._known = read_clock(self._engine), started
            except ServiceError:
                if self._known is None:
                    return datetime.now(UTC)
        at, when = self._known
        return at + timedelta(seconds=started - when)


def revision(conn: Connection) -> str | None:
    """The schema revision of the database; None for an empty one."""
    if not conn.dialect.has_table(conn, "alembic_version"):
        return None
    current: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return current


def _check_server(conn: Connection) -> None:
    """Raises ServiceError for a Postgres that is too old, or a database that cannot store every character."""
    if conn.dialect.name != "postgresql":
        return
    where, (version, *_) = describe_location(conn.engine), conn.dialect.server_version_info or (0,)
    if int(version) < MIN_POSTGRES_VERSION:
        raise ServiceError(f"database {where}: Postgres {version} is too old; install version {MIN_POSTGRES_VERSION} or newer")
    if (encoding := conn.execute(text("SHOW server_encoding")).scalar_one()) != "UTF8":
        raise ServiceError(
            f"database {where}: its encoding is {encoding}, which cannot store every character; create it with "
            "CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'"
        )


def check_schema(engine: Engine) -> None:
    """Raises SchemaError unless the database's schema is exactly this program's, and ServiceError for an unsuitable Postgres."""
    with reading(engine) as conn:
        _check_server(conn)
        current = revision(conn)
        _refuse_unknown(current)
        if current != REVISIONS[-1]:
            status = "empty" if current is None else f"at revision {current}"
            raise SchemaError(f"the database is {status} and this program needs revision {REVISIONS[-1]}; run `newsmill db upgrade`")
        missing = _list_missing_columns(conn)
    if missing:  # the revision of development versions was edited
        others = f" and {len(missing) - 1:,} other columns" if len(missing) > 1 else ""
        raise SchemaError(
            f"the database {describe_location(engine)} lacks {missing[0]}{others} of revision {current}: a development version of Newsmill"
            " made it; use that version, or start with a new data folder or database"
        )


def _list_missing_columns(conn: Connection) -> list[str]:
    """The columns of `schema` that the database lacks, as "table.column". SQLite cannot open a virtual table while another process
    changes it, and `schema` has none."""
    sqlite, postgres = (
        "SELECT tables.name, columns.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' AND tables.sql NOT LIKE 'CREATE VIRTUAL TABLE%'",
        "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE pg_table_is_visible(attrelid) AND attnum > 0 AND NOT attisdropped",
    )
    found = {f"{table}.{column}" for table, column in conn.execute(text(sqlite if conn.dialect.name == "sqlite" else postgres))}
    return [str(column) for _, table in sorted(metadata.tables.items()) for column in table.columns if str(column) not in found]


def upgrade(engine: Engine, before_creation: Callable[[], None] = lambda: None) -> tuple[str | None, str]:
    """Upgrade the schema to this program's revision, in one transaction. Returns (revision before, revision after).

    Of two processes that upgrade at once, the second waits and finds nothing to do. `before_creation` is called for an empty database,
    which stays empty when it raises. Raises SchemaError for an unknown revision, and ServiceError for an unsuitable Postgres.
    """
    with writing(engine) as conn:  # SQLite: BEGIN IMMEDIATE is the lock
        _check_server(conn)
        if engine.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        before = revision(conn)
        _refuse_unknown(before)
        if before is None:
            before_creation()
        if before != REVISIONS[-1]:
            _run_migrations(conn)
        if engine.dialect.name == "sqlite":
            _stop_merges_of_deleted_words(conn)
    return before, REVISIONS[-1]


def _stop_merges_of_deleted_words(conn: Connection) -> None:
    """Set FTS5's option `deletemerge` to 0, also in databases that exist.

    FTS5 merges parts of the index of which many words are deleted. SQLite 3.46 may do so with the unfinished output of another merge. The
    next step of that merge then writes outside its memory: the process ends by a signal, and the index is damaged ("database disk image is
    malformed"). Tables of random words were damaged within seconds, and with 0 not at all. Ordinary merges remove deleted words too.
    An index that is damaged already is emptied, and the documents are indexed again.
    """
    made = conn.execute(text("SELECT sql FROM sqlite_master WHERE name = 'search_words'")).scalar()
    if made is None or "contentless_delete" not in made:  # SQLite before 3.43 has no such merges
        return
    if conn.execute(text("SELECT v FROM search_words_config WHERE k = 'deletemerge'")).scalar() == 0:
        return
    set_option = text("INSERT INTO search_words (search_words, rank) VALUES ('deletemerge', 0)")
    try:
        conn.execute(set_option)
    except exc.DatabaseError as error:
        if not any(words in str(error.orig) for words in _DAMAGED_INDEX):
            raise
        log.warning("the search index is damaged; it is built again from the stored documents")
        _empty_search_index(conn, made)
        conn.execute(set_option)


def _empty_search_index(conn: Connection, made: str) -> None:
    """Remove all words, and note every document to be indexed. `made` is the statement that made the table.

    SQLite can neither empty nor drop a table that it cannot open. The tables below it get the content of a new table.
    """
    conn.execute(text(made.replace("search_words", "temp.empty_words", 1)))
    for statement in (
        "DELETE FROM search_words_data",
        "DELETE FROM search_words_idx",
        "DELETE FROM search_words_docsize",
        "INSERT INTO search_words_data SELECT * FROM temp.empty_words_data",
        "DROP TABLE temp.empty_words",
        "DELETE FROM search_entries",
        "DELETE FROM search_codes",
        "DELETE FROM search_pending",
        "INSERT INTO search_pending (document_id) SELECT id FROM documents",
    ):
        conn.execute(text(statement))


def _refuse_unknown(current: str | None) -> None:
    if current is not None and current not in REVISIONS:
        raise SchemaError(
            f"the database is at revision {current}, which this program (revision {REVISIONS[-1]}) does not know;"
            " install the version of Newsmill that upgraded it"
        )


def _run_migrations(conn: Connection) -> None:
    # Imported here: Alembic costs 0.08 s of CPU, which a current schema does not need.
    from alembic import command
    from alembic.config import Config

    config: Any = Config()
    config.set_main_option("script_location", MIGRATIONS)
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


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

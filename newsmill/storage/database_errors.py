"""Errors of the database as ServiceError: which database, what happened to it, what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import Engine, exc
from sqlalchemy.engine import URL

from newsmill.exceptions import ServiceError
from newsmill.text.redaction import redact

SERVICE_STATES = ("42P01", "42501")  # SQLSTATEs of a missing table, which is a missing upgrade, and of a missing right
SHARED_INDEX_BYTES = 1 << 20  # SQLite extends its -shm file by 32 KB and its log by pages
_NO_CONNECTION_LEFT = ("too many connections", "too many clients", "remaining connection slots")  # in Postgres's messages
_OTHER_FOLDER = "or set NEWSMILL_DATA (or the path in DATABASE_URL) to another one"
FILE_HINT = f"make the folder writable, {_OTHER_FOLDER}"


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
        "readonly": mount_hint or f"the file or its folder is read-only; {FILE_HINT}",
        "read-only transaction": "the server accepts no changes; it is a standby, or default_transaction_read_only is on",
        "No space left": "the disk of the database server is full; free some space to continue; stored data is not affected",
        "password authentication failed": "the account or the password in DATABASE_URL is wrong",
        "full": "the disk is full; what was being written is not stored, and stored data is not affected",
        "disk I/O error": "the disk is full; free some space to continue; stored data is not affected"
        if file and _is_full(file.parent)
        else "the disk refused to read or write (a damaged disk, or a limit on the size of files); what was being written is not stored",
        "unable to open": mount_hint or f"the file cannot be opened; {FILE_HINT}",
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

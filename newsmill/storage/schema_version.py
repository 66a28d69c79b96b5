"""The schema's revision: checked at start-up, brought up to date by an upgrade."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, exc, text

from newsmill.exceptions import SchemaError, ServiceError
from newsmill.storage.database import reading, writing
from newsmill.storage.database_errors import describe_location
from newsmill.storage.dialects import choose, is_sqlite, lock_numbers
from newsmill.storage.schema import metadata

log = logging.getLogger(__name__)

MIN_POSTGRES_VERSION = 15
UPGRADE_LOCK = 0x6E6577736D696C6C  # "newsmill": the advisory lock that lets one process upgrade at a time
MIGRATIONS = "newsmill.storage:migrations"
# The revisions, oldest first, by the names of their files, so that a check at start-up does not load Alembic.
REVISIONS = tuple(sorted(path.name[:4] for path in (Path(__file__).parent / "migrations" / "versions").glob("0*.py")))
_DAMAGED_INDEX = ("malformed", "vtable constructor failed")  # in SQLite's messages about an FTS5 table


def revision(conn: Connection) -> str | None:
    """The schema revision of the database; None for an empty one."""
    if not conn.dialect.has_table(conn, "alembic_version"):
        return None
    current: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return current


def _check_server(conn: Connection) -> None:
    """Raises ServiceError for a Postgres that is too old, or a database that cannot store every character."""
    if is_sqlite(conn):
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
    query = choose(
        conn,
        sqlite="SELECT tables.name, columns.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' AND tables.sql NOT LIKE 'CREATE VIRTUAL TABLE%'",
        postgres="SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE pg_table_is_visible(attrelid) AND attnum > 0 AND NOT attisdropped",
    )
    found = {f"{table}.{column}" for table, column in conn.execute(text(query))}
    return [str(column) for _, table in sorted(metadata.tables.items()) for column in table.columns if str(column) not in found]


def upgrade(engine: Engine, before_creation: Callable[[], None] = lambda: None) -> tuple[str | None, str]:
    """Upgrade the schema to this program's revision, in one transaction. Returns (revision before, revision after).

    Of two processes that upgrade at once, the second waits and finds nothing to do. `before_creation` is called for an empty database,
    which stays empty when it raises. Raises SchemaError for an unknown revision, and ServiceError for an unsuitable Postgres.
    """
    with writing(engine) as conn:
        _check_server(conn)
        lock_numbers(conn, [UPGRADE_LOCK])
        before = revision(conn)
        _refuse_unknown(before)
        if before is None:
            before_creation()
        if before != REVISIONS[-1]:
            _run_migrations(conn)
        if is_sqlite(engine):
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

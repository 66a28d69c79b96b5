"""The transfer of an embedded database to Postgres: all rows in one transaction, or none.

Rows are written with COPY as SQLite holds them: its text of times and of JSON is what Postgres reads, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from newsmill.exceptions import ConfigError
from newsmill.search.index_copy import ENTRY_COLUMNS, iterate_entries
from newsmill.storage.database import reading, writing
from newsmill.storage.database_errors import describe_location
from newsmill.storage.schema import metadata, search_entries

BATCH_ROWS = 500  # between two calls of `on_rows`
TRANSFERRED = tuple(table for table in metadata.sorted_tables if table.name != "processes")  # what a foreign key names comes first

Row = Sequence[Any]
OnRows = Callable[[int], None]


def count_rows(engine: Engine) -> int:
    """The number of rows that a transfer writes. Raises ServiceError."""
    with reading(engine) as conn:
        return sum(conn.scalar(select(func.count()).select_from(table)) or 0 for table in TRANSFERRED)


def transfer(source: Engine, target: Engine, on_rows: OnRows) -> None:
    """Write all rows of `source` on SQLite into `target` on Postgres; both have the current schema.

    `on_rows` gets the number of rows after each batch. The caller sees to it that nobody writes to `source`. Raises ConfigError for a
    target with rows, and ServiceError; the target is then unchanged.
    """
    with reading(source) as reader, writing(target) as writer:
        if filled := [table.name for table in metadata.sorted_tables if writer.execute(select(table).limit(1)).first() is not None]:
            raise ConfigError(
                f"the database {describe_location(target)} has rows ({', '.join(filled[:3])}); name an empty one in DATABASE_URL"
            )
        writer.execute(text("SET LOCAL TimeZone = 'UTC'"))  # SQLite holds times in UTC
        indexes = [index for index in search_entries.indexes if index.name == "ix_search_entries_vector"]
        for index in indexes:
            index.drop(writer)  # to make it of all rows at once is cheaper
        for table in TRANSFERRED:
            _switch_triggers(writer, table.name, "DISABLE")  # the rows that they would write are transferred
            if table is search_entries:
                _copy(writer, table.name, ENTRY_COLUMNS, iterate_entries(reader), on_rows)
            else:
                columns = [column.name for column in table.c]
                rows = reader.exec_driver_sql(f"SELECT {_format_names(columns)} FROM {table.name}")  # noqa: S608  # names of the schema
                _copy(writer, table.name, columns, rows, on_rows)
            _switch_triggers(writer, table.name, "ENABLE")
        for index in indexes:
            index.create(writer)
        _advance_sequences(writer)


def _copy(writer: Connection, table: str, columns: Sequence[str], rows: Iterable[Row], on_rows: OnRows) -> None:
    statement = f"COPY {table} ({_format_names(columns)}) FROM STDIN"
    count = 0
    with writer.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]  # psycopg's
        for count, row in enumerate(rows, 1):
            copy.write_row(row)
            if count % BATCH_ROWS == 0:
                on_rows(BATCH_ROWS)
    on_rows(count % BATCH_ROWS)


def _format_names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _switch_triggers(writer: Connection, table: str, switch: str) -> None:
    writer.execute(text(f"ALTER TABLE {table} {switch} TRIGGER USER"))


def _advance_sequences(conn: Connection) -> None:
    """Let new rows have higher numbers than those that were written."""
    for table in TRANSFERRED:
        if (column := table.autoincrement_column) is not None and (highest := conn.scalar(select(func.max(column)))) is not None:
            names = {"table": table.name, "column": column.name, "highest": highest}
            conn.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"), names)

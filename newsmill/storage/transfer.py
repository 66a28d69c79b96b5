"""Transfer of a whole database to another one, from SQLite to Postgres: all rows in one transaction, or none."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sqlalchemy import Connection, Engine, Table, func, insert, select, text

from newsmill.exceptions import ConfigError
from newsmill.storage.database import describe_location, reading, writing
from newsmill.storage.schema import metadata

BATCH_ROWS = 500  # documents of 10 kB each make 5 MB
# The target makes their rows itself: triggers on counts and documents, the indexer, and running processes.
MADE_BY_TARGET = frozenset(
    {"count_totals", "search_entries", "search_forms", "search_pending", "fingerprints", "fingerprints_due", "processes"}
)
TRANSFERRED = tuple(table for table in metadata.sorted_tables if table.name not in MADE_BY_TARGET)  # what a foreign key names comes first


def count_rows(engine: Engine) -> int:
    """The number of rows that a transfer writes. Raises ServiceError."""
    with reading(engine) as conn:
        return sum(conn.scalar(select(func.count()).select_from(table)) or 0 for table in TRANSFERRED)


def transfer(source: Engine, target: Engine, on_rows: Callable[[int], None]) -> None:
    """Write all rows of `source` into `target`; both have the current schema. `on_rows` gets the number of rows after each batch.

    The caller sees to it that nobody writes to `source`. Raises ConfigError for a target with rows, and ServiceError; the target is then
    unchanged.
    """
    with reading(source) as reader, writing(target) as writer:
        if filled := [table.name for table in metadata.sorted_tables if writer.execute(select(table).limit(1)).first() is not None]:
            raise ConfigError(
                f"the database {describe_location(target)} has rows ({', '.join(filled[:3])}); name an empty one in DATABASE_URL"
            )
        for table in TRANSFERRED:
            for batch in reader.execute(select(table)).mappings().partitions(BATCH_ROWS):
                writer.execute(insert(table), [dict(row) for row in batch])
                on_rows(len(batch))
        if target.dialect.name == "postgresql":
            _advance_sequences(writer, TRANSFERRED)


def _advance_sequences(conn: Connection, tables: Collection[Table]) -> None:
    """Let new rows have higher numbers than those that were written."""
    for table in tables:
        if (column := table.autoincrement_column) is not None and (highest := conn.scalar(select(func.max(column)))) is not None:
            names = {"table": table.name, "column": column.name, "highest": highest}
            conn.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"), names)

"""One Postgres database for all tests of a process, emptied before each: making one takes a hundred times as long."""

from __future__ import annotations

from sqlalchemy import Engine, Table

from newsmill.storage import database, schema_version
from newsmill.storage.schema import metadata

MAX_BYTES = 1 << 18  # of a table whose rows are deleted: deleted rows keep their place until Postgres truncates the table

WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"  # foreign keys and the triggers that note deleted documents


def select_size(table: Table) -> str:
    """A query for the name and the size of a table that has rows or has given out a number; no row if it is as new."""
    query = f"SELECT '{table.name}', pg_relation_size('{table.name}') WHERE EXISTS (SELECT FROM {table.name})"
    return query if table.autoincrement_column is None else f"{query} OR (SELECT is_called FROM {sequence_of(table)})"


def sequence_of(table: Table) -> str:
    """The name of the sequence that numbers the rows of a table."""
    assert table.autoincrement_column is not None
    return f"{table.name}_{table.autoincrement_column.name}_seq"


# The few tables that a test has used are found in a fraction of the time that deleting from all of them takes.
USED_TABLES = " UNION ALL ".join(map(select_size, metadata.tables.values()))


class SharedDatabase:
    """The database at `url`, and the connections that its tests use one after the other: a new one reads the schema for 30 ms."""

    def __init__(self, url: str) -> None:
        self.url, self._engine = url, database.connect(url)
        schema_version.upgrade(self._engine)

    def empty(self) -> None:
        """Make every table as new."""
        with database.writing(self._engine) as conn:
            sizes: dict[str, int] = dict(conn.exec_driver_sql(USED_TABLES).all())
            used = [table for table in metadata.tables.values() if table.name in sizes]
            statements = [f"DELETE FROM {table.name}" for table in used if sizes[table.name] <= MAX_BYTES]
            statements += [f"SELECT setval('{sequence_of(table)}', 1, false)" for table in used if table.autoincrement_column is not None]
            if large := [name for name, size in sizes.items() if size > MAX_BYTES]:
                statements.insert(0, f"TRUNCATE {', '.join(large)} CASCADE")
            if statements:
                conn.exec_driver_sql("; ".join((WITHOUT_TRIGGERS, *statements)))

    def connect(self) -> Engine:
        """An engine of the test's own, with the connections of the tests before it. It is not disposed of."""
        engine = database.connect(self.url)
        engine.pool, engine.dialect = self._engine.pool, self._engine.dialect
        return engine

    def close(self) -> None:
        self._engine.dispose()

"""Many new rows in one statement: COPY on Postgres, one INSERT on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, exc, insert

from newsmill.storage.columns import Json, dump_json
from newsmill.storage.dialects import is_sqlite


def insert_many(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have the same columns. Order them by key, so that two transactions cannot deadlock. Raises as Connection.execute."""
    if not rows:
        return
    if is_sqlite(conn):
        conn.execute(insert(table), rows)
        return
    names = list(rows[0])
    make = [_find_converter(table, name, conn) for name in names]
    columns = ", ".join(f'"{name}"' for name in names)
    statement, driver = f"COPY {table.name} ({columns}) FROM STDIN", conn.dialect.loaded_dbapi
    try:
        with conn.connection.cursor() as cursor, cursor.copy(statement) as writer:  # type: ignore[attr-defined]
            for row in rows:
                writer.write_row([convert(row[name]) for name, convert in zip(names, make, strict=True)])
    except driver.Error as error:
        raise exc.DBAPIError.instance(statement, None, error, driver.Error, dialect=conn.dialect) from error


def _find_converter(table: Table, name: str, conn: Connection) -> Any:
    """What makes a value of the column a value of the driver."""
    column_type = table.c[name].type
    if isinstance(column_type, Json):
        return lambda value: None if value is None else dump_json(value)
    return column_type.bind_processor(conn.dialect) or _keep


def _keep(value: Any) -> Any:
    return value

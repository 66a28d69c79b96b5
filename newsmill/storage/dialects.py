"""What SQLite and Postgres do differently. Other modules call these functions, and name the database only where it is their subject."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Engine, String, Table, TextClause, any_, bindparam, func, or_, text, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
Changes = Callable[[Any], Mapping[str, ColumnElement[Any]]]  # of `insert.excluded`
Choice = TypeVar("Choice")

# In the order of the numbers, so that two transactions cannot deadlock.
_LOCK = text("SELECT pg_advisory_xact_lock(n) FROM (SELECT unnest(CAST(:numbers AS bigint[])) AS n ORDER BY 1) AS wanted")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:number)")
_ESTIMATE = text("SELECT reltuples FROM pg_class WHERE oid = CAST(:name AS regclass)")
_SQLITE_SIZE = text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
_POSTGRES_SIZE = text("SELECT pg_database_size(current_database())")


def is_sqlite(bind: Engine | Connection) -> bool:
    """Whether the database is a file of this machine, which one transaction changes at a time. Otherwise it is Postgres."""
    return bind.dialect.name == "sqlite"


def choose(bind: Engine | Connection, *, sqlite: Choice, postgres: Choice) -> Choice:
    """The statement, or part of one, for the database."""
    return sqlite if is_sqlite(bind) else postgres


def lock_numbers(conn: Connection, numbers: Iterable[int]) -> None:
    """Wait for the transactions that hold locks of these numbers, and let others wait for this one. SQLite has one writer at a time."""
    if not is_sqlite(conn):
        conn.execute(_LOCK, {"numbers": [*numbers]})


def is_any(bind: Engine | Connection, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """The column has one of the values. On Postgres they are one parameter: its driver takes 20 µs for each parameter of a statement."""
    if is_sqlite(bind):
        return column.in_(values)
    return column == any_(bindparam(None, values, type_=postgresql.ARRAY(column.type), unique=True))


def try_lock(conn: Connection, number: int) -> bool:
    """Take the lock of this number, unless another transaction holds it."""
    return is_sqlite(conn) or bool(conn.execute(_TRY_LOCK, {"number": number}).scalar_one())


def estimate_rows(conn: Connection, table: Table) -> int:
    """The number of rows at the last VACUUM or ANALYZE of Postgres; -1 where that is not known."""
    return -1 if is_sqlite(conn) else int(conn.execute(_ESTIMATE, {"name": table.name}).scalar_one())


def read_size(conn: Connection) -> int:
    """The size of the database in bytes."""
    return int(conn.execute(choose(conn, sqlite=_SQLITE_SIZE, postgres=_POSTGRES_SIZE)).scalar_one())


def format_hour(conn: Connection, column: ColumnElement[datetime]) -> ColumnElement[str]:
    """The hour (UTC) of a time as text: `2026-11-25 17`."""
    if is_sqlite(conn):  # text of fixed width, see UtcDateTime
        return func.substr(type_coerce(column, String), 1, 13)
    return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD HH24")


class InsertMissing:
    """Inserts the rows of text that a table does not have, all in one statement. The columns are the table's key."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._columns, names = columns, ", ".join(columns)
        begin, end = f"INSERT INTO {table.name} ({names}) SELECT", f"ON CONFLICT DO NOTHING RETURNING {names}"
        values = ", ".join(f"json_extract(value, '$[{number}]')" for number, _ in enumerate(columns))
        self._sqlite = text(f"{begin} {values} FROM json_each(:rows) WHERE true {end}")  # names of columns
        # Conflicts are rare: looking first neither writes nor locks a row. Sorted, so that two transactions cannot deadlock.
        arrays = ", ".join(f"CAST(:{name} AS text[])" for name in columns)
        is_known = " AND ".join(f"{table.name}.{name} = new.{name}" for name in columns)
        self._postgres = text(f"""{begin} * FROM unnest({arrays}) AS new ({names})
WHERE NOT EXISTS (SELECT 1 FROM {table.name} WHERE {is_known}) ORDER BY {names} {end}""")  # noqa: S608

    def run(self, conn: Connection, rows: Sequence[tuple[str, ...]]) -> set[tuple[Any, ...]]:
        """Insert the rows; returns those that the table did not have."""
        if not rows:
            return set()
        if is_sqlite(conn):
            inserted = conn.execute(self._sqlite, {"rows": json.dumps(rows, ensure_ascii=False)})
        else:
            inserted = conn.execute(self._postgres, dict(zip(self._columns, map(list, zip(*rows, strict=True)), strict=True)))
        return {tuple(row) for row in inserted}


class Upsert:
    """INSERT … ON CONFLICT: inserts rows, and applies `changes` to those whose key exists (None: leaves them unchanged).

    A row that already has the new values is not written: no log, no triggers, no dead row on Postgres. `index_where` is the condition of
    the unique index on the keys, if it is partial.
    """

    def __init__(self, table: Table, keys: Sequence[str], changes: Changes | None = None, index_where: str | None = None) -> None:
        inserts: dict[str, Any] = {"sqlite": sqlite.insert(table), "postgresql": postgresql.insert(table)}
        where = None if index_where is None else text(index_where)
        self._statements = {name: _on_conflict(insert, table, keys, changes, where) for name, insert in inserts.items()}
        self._returning = {name: statement.returning(*(table.c[key] for key in keys)) for name, statement in self._statements.items()}

    def run(self, conn: Connection, rows: Rows) -> None:
        """Write the rows. Order them by key, so that two transactions cannot deadlock."""
        if rows:
            conn.execute(self._statements[conn.dialect.name], rows)

    def run_returning_keys(self, conn: Connection, rows: Rows) -> list[Any]:
        """Write the rows; returns the first key column of each row that was written."""
        return list(conn.execute(self._returning[conn.dialect.name], rows).scalars()) if rows else []


def _on_conflict(insert: Any, table: Table, keys: Sequence[str], changes: Changes | None, where: TextClause | None) -> Any:
    if changes is None:
        return insert.on_conflict_do_nothing(index_elements=keys, index_where=where)
    new = changes(insert.excluded)
    differs = or_(*(table.c[name].is_distinct_from(value) for name, value in new.items()))
    return insert.on_conflict_do_update(index_elements=keys, set_=new, where=differs)

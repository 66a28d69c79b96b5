"""INSERT … ON CONFLICT, the one statement that SQLAlchemy spells differently for each database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, or_
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
Changes = Callable[[Any], Mapping[str, ColumnElement[Any]]]  # of `insert.excluded`


class Upsert:
    """INSERT … ON CONFLICT: inserts rows, and applies `changes` to those whose key exists (None: leaves them unchanged).

    A row that already has the new values is not written: no log, no triggers, no dead row on Postgres.
    """

    def __init__(self, table: Table, keys: Sequence[str], changes: Changes | None = None) -> None:
        inserts: dict[str, Any] = {"sqlite": sqlite.insert(table), "postgresql": postgresql.insert(table)}
        self._statements = {name: _on_conflict(insert, table, keys, changes) for name, insert in inserts.items()}
        self._returning = {name: statement.returning(*(table.c[key] for key in keys)) for name, statement in self._statements.items()}

    def run(self, conn: Connection, rows: Rows) -> None:
        """Write the rows. Order them by key, so that two transactions cannot deadlock."""
        if rows:
            conn.execute(self._statements[conn.dialect.name], rows)

    def run_returning_keys(self, conn: Connection, rows: Rows) -> list[Any]:
        """Write the rows; returns the first key column of each row that was written."""
        return list(conn.execute(self._returning[conn.dialect.name], rows).scalars()) if rows else []


def _on_conflict(insert: Any, table: Table, keys: Sequence[str], changes: Changes | None) -> Any:
    if changes is None:
        return insert.on_conflict_do_nothing(index_elements=keys)
    new = changes(insert.excluded)
    differs = or_(*(table.c[name].is_distinct_from(value) for name, value in new.items()))
    return insert.on_conflict_do_update(index_elements=keys, set_=new, where=differs)

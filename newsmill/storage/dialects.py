"""What SQLite and Postgres say differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, TextClause, or_, text
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
Changes = Callable[[Any], Mapping[str, ColumnElement[Any]]]  # of `insert.excluded`


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

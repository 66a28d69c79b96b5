"""INSERT … ON CONFLICT, the one statement SQLAlchemy spells per database. Both dialects take the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, or_
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
Changes = Callable[[Any], Mapping[str, ColumnElement[Any]]]  # of `insert.excluded`


class Upsert:
    """Insert rows; where a key stands already, change it, or leave it alone when no `changes` are given. Built once per database.

    A row that says already what it is to be changed to is not written: no log, no triggers, no dead row on Postgres.
    """

    def __init__(self, table: Table, keys: Sequence[str], changes: Changes | None = None) -> None:
        self._keys = [table.c[key] for key in keys]
        lite, post = sqlite.insert(table), postgresql.insert(table)
        if changes is None:
            self._statements: dict[str, Any] = {
                "sqlite": lite.on_conflict_do_nothing(index_elements=keys),
                "postgresql": post.on_conflict_do_nothing(index_elements=keys),
            }
        else:
            self._statements = {
                "sqlite": lite.on_conflict_do_update(index_elements=keys, **_changed(table, changes(lite.excluded))),
                "postgresql": post.on_conflict_do_update(index_elements=keys, **_changed(table, changes(post.excluded))),
            }
        self._returning = {name: statement.returning(*self._keys) for name, statement in self._statements.items()}

    def run(self, conn: Connection, rows: Rows) -> None:
        """Give the rows in the order of their keys, so that two transactions cannot wait for each other in a circle."""
        if rows:
            conn.execute(self._statements[conn.dialect.name], rows)

    def inserted(self, conn: Connection, rows: Rows) -> list[Any]:
        """The same, and the (single) keys of the rows that were written."""
        return list(conn.execute(self._returning[conn.dialect.name], rows).scalars()) if rows else []


def _changed(table: Table, changes: Mapping[str, ColumnElement[Any]]) -> dict[str, Any]:
    """SET and WHERE of the update."""
    return {"set_": changes, "where": or_(*(table.c[name].is_distinct_from(value) for name, value in changes.items()))}

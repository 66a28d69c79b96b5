"""Column types that are the door of the database: what comes from outside is made storable here, and nowhere else.

Postgres refuses NUL in text and in JSON; both drivers refuse lone surrogates. URLs, hints, header values and details come from strangers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, Connection, DateTime, Dialect, Integer, Table, Text, TypeDecorator, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

SURROGATES = re.compile("[\ud800-\udfff]")

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER key


def make_storable(text: str) -> str:
    """The text without NUL, and with U+FFFD for each lone surrogate.

    >>> storable("a\\x00b\\ud800")
    'ab\ufffd'
    """
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return SURROGATES.sub("\ufffd", text.replace("\0", ""))


def make_storable_json(value: Any) -> Any:
    """The same for every string in a JSON value, keys too."""
    if isinstance(value, str):
        return make_storable(value)
    if isinstance(value, dict):
        return {make_storable(str(key)): make_storable_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_storable_json(item) for item in value]
    return value


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump_json(value: Any) -> str:
    """The engine's JSON serialiser: compact, readable in a database shell, and without what no database stores."""
    dumped = _ENCODE(value)
    return dumped if _is_storable(dumped) else _ENCODE(make_storable_json(value))  # the walk is a sixth of what storing costs


def _is_storable(dumped: str) -> bool:
    return "\\u0000" not in dumped and (dumped.isascii() or SURROGATES.search(dumped) is None)


class Vector(TypeDecorator[str]):
    """The words of a document as Postgres indexes them; SQLite keeps its own in FTS5 tables, and NULL here."""

    impl = Text().with_variant(TSVECTOR(), "postgresql")
    cache_ok = True


class StorableText(TypeDecorator[str]):
    """Text from outside."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else make_storable(value)


class Json(TypeDecorator[Any]):
    """JSON from outside, as the engine's serialiser writes it; JSONB on Postgres."""

    impl = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    cache_ok = True


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, UTC on both sides. SQLite keeps text of fixed width, so that order by text is order by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime reached the database: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# INSERT … ON CONFLICT, the one statement SQLAlchemy spells per database. Both dialects take the same arguments.

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

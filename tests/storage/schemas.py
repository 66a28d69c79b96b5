"""Schemas of older programs, and what two schemas have to be compared by."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from newsmill.storage import database, schema_version
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import documents, hosts, ledger, metadata, past_documents, past_limits

_PAST = (past_documents, past_limits)


def upgrade_to(last: str, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the schema of an older program."""
    migrations = folder / "migrations"
    shutil.copytree(Path(database.__file__).parent / "migrations", migrations)
    for path in (migrations / "versions").glob("*.py"):
        if path.name[:4] > last:
            path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(schema_version, "MIGRATIONS", str(migrations))
        patch.setattr(schema_version, "REVISIONS", tuple(name for name in schema_version.REVISIONS if name <= last))
        schema_version.upgrade(engine)


@contextmanager
def filled_by_this_program(engine: Engine) -> Iterator[None]:
    """Lend an older schema the columns of hosts, ledger and documents that the statements of this program name."""
    with reading(engine) as conn:
        names = {table.name: {column["name"] for column in inspect(conn).get_columns(table.name)} for table in (hosts, ledger, documents)}
    lent = [column for table in (hosts, ledger, documents) for column in table.c if column.name not in names[table.name]]
    with writing(engine) as conn:
        for column in lent:
            conn.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {column.type.compile(engine.dialect)}"))
        metadata.create_all(conn, _PAST)  # the order of storing reads them
    yield
    with writing(engine) as conn:
        metadata.drop_all(conn, _PAST)
        for column in lent:
            conn.execute(text(f"ALTER TABLE {column.table.name} DROP COLUMN {column.name}"))


def describe_schema(engine: Engine) -> list[str]:
    """Columns, keys and indexes of all tables, and the triggers, in an order that does not depend on their age."""
    found = []
    with reading(engine) as conn:
        seen = inspect(conn)
        for table in seen.get_table_names():
            columns = [(one["name"], str(one["type"]), one["nullable"], one["default"]) for one in seen.get_columns(table)]
            indexes = [(one["name"], one["column_names"], one["unique"]) for one in seen.get_indexes(table)]
            keys = [(one["constrained_columns"], one["referred_table"]) for one in seen.get_foreign_keys(table)]
            found.append(repr((table, sorted(columns), sorted(indexes, key=repr), sorted(keys), seen.get_pk_constraint(table))))
        triggers = {
            "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
            "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        }
        found += [repr(tuple(row)) for row in conn.exec_driver_sql(triggers[conn.dialect.name])]
    return sorted(found)

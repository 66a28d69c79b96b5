"""The triggers that write `past_documents`. A migration that adds a column to `documents` adds it there too, and calls `create`."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

UNRECORDED = {"id", "ledger_id", "site", "changed_at"}  # columns of `documents` that are no fields, or follow from them
_STAMP = "{greatest}(new.stored_at, COALESCE(new.changed_at, new.stored_at))"
# The row of `removed_documents` is written first. Without it (a person removed the document in a database shell), the last change counts.
_REMOVED = (
    "{greatest}(old.stored_at, COALESCE(old.changed_at, old.stored_at),"
    " COALESCE((SELECT removed_at FROM removed_documents WHERE id = old.id), old.stored_at))"
)


def create() -> None:
    """Make the triggers for the columns that `documents` has now."""
    conn = op.get_bind()
    names = [column["name"] for column in inspect(conn).get_columns("documents") if column["name"] not in UNRECORDED]
    for statement in _list_sqlite(names) if conn.dialect.name == "sqlite" else _list_postgres(names):
        op.execute(statement)


def _insert(names: list[str], differs: str, greatest: str) -> str:
    changed = " || ".join(f"CASE WHEN old.{name} {differs} new.{name} THEN '{name},' ELSE '' END" for name in names)
    values = ", ".join(f"CASE WHEN old.{name} {differs} new.{name} THEN old.{name} END" for name in names)
    return (
        f"INSERT INTO past_documents (document_id, valid_until, changed, {', '.join(names)})"  # noqa: S608  # names of the schema
        f" VALUES (old.id, {_STAMP.format(greatest=greatest)}, {changed}, {values})"
    )


def _insert_removed(names: list[str], greatest: str) -> str:
    columns, values = ", ".join(names), ", ".join(f"old.{name}" for name in names)
    stamp = _REMOVED.format(greatest=greatest)
    return f"INSERT INTO past_documents (document_id, valid_until, {columns}) VALUES (old.id, {stamp}, {values})"  # noqa: S608


def _list_sqlite(names: list[str]) -> tuple[str, ...]:
    is_changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in names)
    return (
        "DROP TRIGGER IF EXISTS past_changed",
        "DROP TRIGGER IF EXISTS past_removed",
        f"CREATE TRIGGER past_changed AFTER UPDATE ON documents WHEN {is_changed} BEGIN {_insert(names, 'IS NOT', 'max')}; END",
        f"CREATE TRIGGER past_removed AFTER DELETE ON documents BEGIN {_insert_removed(names, 'max')}; END",
    )


def _list_postgres(names: list[str]) -> tuple[str, ...]:
    old, new = (", ".join(f"{row}.{name}" for name in names) for row in ("old", "new"))
    return (
        "DROP TRIGGER IF EXISTS past_changed ON documents",
        "DROP TRIGGER IF EXISTS past_removed ON documents",
        f"""CREATE OR REPLACE FUNCTION newsmill_past_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        {_insert(names, "IS DISTINCT FROM", "greatest")}; RETURN NULL; END $$""",
        f"""CREATE OR REPLACE FUNCTION newsmill_past_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        {_insert_removed(names, "greatest")}; RETURN NULL; END $$""",
        f"""CREATE TRIGGER past_changed AFTER UPDATE ON documents FOR EACH ROW
        WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION newsmill_past_changed()""",
        "CREATE TRIGGER past_removed AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_past_removed()",
    )

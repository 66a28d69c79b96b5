"""A back-up of an older version, restored under this one: upgraded in place, sound, and worked on from where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from rows import NewDatabase
from sqlalchemy import MetaData, Table, insert, inspect, select
from test_backup import Home

from newsmill.model import Outcome
from newsmill.storage import database
from newsmill.storage.backup import back_up
from newsmill.storage.schema import metadata

TRIGGERED = ("count_totals", "search_pending", "fingerprints_pending", "fingerprints_due")  # filled by the database itself
OLDER = database.REVISIONS[1:-1]  # from the first that was released on


def at_revision(url: str, revision: str) -> database.Engine:
    """An empty database as the version with that revision left it."""
    engine = database.connect(url)
    config: Any = Config()
    config.set_main_option("script_location", "newsmill.storage:migrations")
    with database.writing(engine) as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, revision)
    return engine


def copy(source: database.Engine, target: database.Engine) -> None:
    """The rows of every table both have, as far as both have its columns."""
    with database.reading(source) as old, database.writing(target) as new:
        known = inspect(new)
        for table in metadata.sorted_tables:
            if table.name in TRIGGERED or not known.has_table(table.name):
                continue
            names = {column["name"] for column in known.get_columns(table.name)}
            columns = [column for column in table.columns if column.name in names]
            rows = [row._asdict() for row in old.execute(select(*columns))]
            if rows:
                there = Table(table.name, MetaData(), *(column._copy() for column in columns))
                new.execute(insert(there), rows)


@pytest.mark.parametrize("revision", OLDER)
def test_an_older_version_s_backup_is_restored_and_worked_on(revision: str, new_database: NewDatabase, tmp_path: Path) -> None:
    now = Home(new_database(), tmp_path / "archive")
    now.work(0, 3)
    old = at_revision(new_database(empty=True), revision)
    copy(now.engine, old)
    restored_at = _backed_up(old, tmp_path)
    restored = Home(restored_at, tmp_path / "archive")  # opening upgrades, as `newsmill db upgrade` does
    database.check_schema(restored.engine)
    assert restored.documents.count() == 3
    assert restored.finish() == 4
    restored.check()
    assert restored.ledger.progress().outcomes == {Outcome.STORED: 4}
    for engine in (now.engine, old, restored.engine):
        engine.dispose()


def _backed_up(old: database.Engine, tmp_path: Path) -> str:
    """SQLite's way is `newsmill backup`; a Postgres is dumped and restored in test_backup, so that here it is taken as it stands."""
    if old.dialect.name != "sqlite":
        return old.url.render_as_string(hide_password=False)
    file = Path(str(old.url.database))
    old.dispose()
    back_up(file, tmp_path / "archive", tmp_path / "copy")
    return f"sqlite:///{tmp_path / 'copy' / 'newsmill.sqlite'}"

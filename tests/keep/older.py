"""A database as an older Newsmill left it."""

from __future__ import annotations

from sqlalchemy import Engine, MetaData, insert, select

from newsmill.keep import database
from newsmill.keep.database import reading, writing

MOVED = ("segments", "ledger", "documents")


def older_copy(engine: Engine, url: str, revision: str) -> Engine:
    """A new database at `url` with the schema of an older revision, and in it what of `engine`'s rows that schema had a place for."""
    older = database.connect(url)
    with writing(older) as conn:
        database._run_migrations(conn, revision)
    then, now = MetaData(), MetaData()
    then.reflect(older, only=MOVED)
    now.reflect(engine, only=MOVED)
    with reading(engine) as source, writing(older) as target:
        for name in MOVED:
            columns = [column for column in now.tables[name].c if column.name in then.tables[name].c]
            rows = [dict(row) for row in source.execute(select(*columns)).mappings()]
            if rows:
                target.execute(insert(then.tables[name]), rows)
    return older

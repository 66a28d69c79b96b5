"""The connections of searches, whose statements have a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from newsmill.search.backend import Backend
from newsmill.search.postgres_backend import PostgresBackend
from newsmill.search.sqlite_backend import SqliteBackend
from newsmill.storage.database import reading
from newsmill.storage.database_errors import translate_errors
from newsmill.storage.dialects import is_sqlite

# The planner does not count what it costs to fetch a vector from beside its row, and would rather read all of them than use the index
# (seen at 8,000 documents). Such short statements gain nothing from compilation.
_PLANNER_SETTINGS = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


def backend_of(engine: Engine) -> Backend:
    return SqliteBackend() if is_sqlite(engine) else PostgresBackend()


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """A connection for statements that read the index. Raises ServiceError."""
    if is_sqlite(engine):
        with reading(engine) as conn:
            yield conn
        return
    with translate_errors(engine), engine.connect() as conn, conn.begin():
        conn.execute(_PLANNER_SETTINGS)
        yield conn

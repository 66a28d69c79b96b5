"""A connection to look things up with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from newsmill.storage.database import reading, translated

# Postgres does not count what it costs to fetch a vector from beside its row, and so would rather read all of them than use the index
# (measured at 8,000 documents); and it compiles nothing that such short statements would gain from.
_PLAN = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


@contextmanager
def looking(engine: Engine) -> Iterator[Connection]:
    """For statements that read. Raises ServiceError."""
    if engine.dialect.name == "sqlite":
        with reading(engine) as conn:
            yield conn
        return
    with translated(engine), engine.connect() as conn, conn.begin():
        conn.execute(_PLAN)
        yield conn

"""Work that may be a million rows long, a batch at a time, so that others get at the database in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select

from newsmill.storage.database import writing


def in_batches(
    engine: Engine,
    some: Select[Any],
    most: int,
    work: Callable[[Connection, Sequence[Any]], None],
    then: Callable[[int], None] | None = None,
) -> int:
    """Select some keys and `work` on them, in a transaction of their own, until there are none or `most` are done; how many were.

    `some` selects and locks one batch; `work` must leave it so that it is not selected again; `then` hears after each commit of how many.
    Several processes may do so at once.
    """
    done = 0
    while done < most:
        with writing(engine) as conn:
            keys = conn.execute(some).scalars().all()
            if not keys:
                return done
            work(conn, keys)
        done += len(keys)
        if then is not None:
            then(len(keys))
    return done

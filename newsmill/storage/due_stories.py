"""The pages whose stories are to be decided, because their text, time, title or group of copies has changed.

A note is a row of its own, also for a page that is noted already. So nobody who notes a page waits for another transaction, and a page
that changes while it is decided is decided again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, insert, select

from newsmill.storage.database import reading
from newsmill.storage.schema import stories_due

_NUMBERS: BindParameter[Any] = bindparam("b_numbers", expanding=True)
_COUNT = select(func.count()).select_from(stories_due)
_TAKE = select(stories_due).order_by(stories_due.c.number.desc()).with_for_update(skip_locked=True)  # the newest first
_DELETE = delete(stories_due).where(stories_due.c.number.in_(_NUMBERS))


@dataclass(frozen=True, slots=True)
class DueStories:
    """Notes that a transaction has locked."""

    numbers: Sequence[int]
    pages: frozenset[int]


def note_due(conn: Connection, pages: Iterable[int]) -> None:
    """Have the stories of these pages decided. The trigger of `documents` does the same for one page."""
    if rows := [{"ledger_id": page} for page in sorted(pages)]:
        conn.execute(insert(stories_due), rows)


def count_due(conn: Connection) -> int:
    """The number of notes."""
    return conn.execute(_COUNT).scalar_one()


def pending(engine: Engine) -> int:
    """The number of notes; 0: every story is decided."""
    with reading(engine) as conn:
        return count_due(conn)


def take_due(conn: Connection, limit: int) -> DueStories:
    """The newest notes that no other transaction has, at most `limit`."""
    rows = conn.execute(_TAKE.limit(limit)).all()
    return DueStories([row.number for row in rows], frozenset(row.ledger_id for row in rows))


def end_due(conn: Connection, due: DueStories) -> None:
    """Delete notes whose pages are decided, in the transaction that has taken them."""
    conn.execute(_DELETE, {"b_numbers": due.numbers})

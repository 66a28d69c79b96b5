"""Documents per day of publication, by source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Engine, func, select

from newsmill.search.positions import MOMENTS_PER_DAY, to_moment
from newsmill.storage.database import reading
from newsmill.storage.schema import search_entries

By = Literal["published", "seen"]
MAX_COUNTED = 20_000  # documents of the days that are counted by source: 10 ms on SQLite


@dataclass(frozen=True, slots=True)
class DayCount:
    """Documents of one source published on one day (UTC)."""

    at: datetime  # its start
    source: str | None
    n: int


def count_by_publication(engine: Engine, since: datetime) -> list[DayCount] | None:
    """Dated documents by day and source since the start of a UTC day. None: there are more than MAX_COUNTED. Raises ServiceError."""
    newest = (
        select(search_entries.c.moment, search_entries.c.source)
        .where(search_entries.c.moment >= to_moment(since))
        .order_by(search_entries.c.moment.desc())
        .limit(MAX_COUNTED + 1)
        .subquery()
    )
    day = (newest.c.moment // MOMENTS_PER_DAY).label("day")
    with reading(engine) as conn:
        rows = conn.execute(select(day, newest.c.source, func.count()).group_by("day", newest.c.source)).all()
    if sum(n for _, _, n in rows) > MAX_COUNTED:
        return None
    return [DayCount(datetime.fromtimestamp(86_400 * int(number), UTC), source, n) for number, source, n in rows]

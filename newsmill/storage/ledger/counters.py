"""The counters added up as somebody asks: by day, source, kind or outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sqlalchemy import Connection, func, select

from newsmill.storage.ledger.counter_updates import FOUND
from newsmill.storage.schema import counts

By = Literal["day", "source", "kind", "outcome"]


@dataclass(frozen=True, slots=True)
class Tally:
    """A sum; what was not asked for is None, and so is the source of addresses without one."""

    n: int
    day: date | None = None
    source: str | None = None
    kind: str | None = None
    outcome: str | None = None


def tallies(
    conn: Connection, by: Sequence[By], since: date | None, until: date | None, source: str | None, limit: int, offset: int = 0
) -> list[Tally]:
    """The sums that are not 0, those of the newest days first. `until` is the last day."""
    columns = [counts.c[name] for name in dict.fromkeys(by)]
    total = func.sum(counts.c.n)
    statement = select(total.label("n"), *columns).where(counts.c.outcome != FOUND).group_by(*columns).having(total != 0)
    if since is not None:
        statement = statement.where(counts.c.day >= since)
    if until is not None:
        statement = statement.where(counts.c.day <= until)
    if source is not None:
        statement = statement.where(counts.c.source == source)
    order = [column.desc() if column.name == "day" else column for column in sorted(columns, key=lambda column: column.name != "day")]
    rows = conn.execute(statement.order_by(*order).limit(limit).offset(offset)).mappings()
    return [Tally(**{**row, "n": int(row["n"]), "source": row.get("source") or None}) for row in rows]

"""The counts of outcomes, added up by day, source, kind or outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sqlalchemy import Connection, func, select

from newsmill.model import Kind, Outcome
from newsmill.storage.schema import counts
from newsmill.storage.statements import FOUND

By = Literal["day", "source", "kind", "outcome"]


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A sum of counters. Fields that were not grouped by are None; so is the source of URLs without one."""

    n: int
    day: date | None = None
    source: str | None = None
    kind: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """URLs of one kind with one outcome on one day (UTC). A page counts once, with its last outcome; a listing at every read."""

    day: date
    source: str | None
    kind: Kind
    outcome: Outcome
    n: int


def sum_counters(
    conn: Connection, by: Sequence[By], since: date | None, until: date | None, source: str | None, limit: int, offset: int = 0
) -> list[CounterRow]:
    """The totals that are not 0, newest day first. `until` is included."""
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
    return [CounterRow(**{**row, "n": int(row["n"]), "source": row.get("source") or None}) for row in rows]


_OUTCOMES = (
    select(counts).where(counts.c.outcome != FOUND, counts.c.n != 0).order_by(counts.c.day.desc(), counts.c.source, counts.c.outcome)
)


def outcomes(conn: Connection, since: date | None, source: str | None) -> list[OutcomeCount]:
    statement = _OUTCOMES if since is None else _OUTCOMES.where(counts.c.day >= since)
    if source is not None:
        statement = statement.where(counts.c.source == source)
    return [OutcomeCount(row.day, row.source or None, Kind(row.kind), Outcome(row.outcome), row.n) for row in conn.execute(statement)]

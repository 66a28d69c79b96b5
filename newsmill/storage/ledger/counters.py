"""The counts of outcomes, added up by day, source, kind or outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sqlalchemy import Engine, func, select

from newsmill.model import Kind, Outcome
from newsmill.storage.counter_updates import FOUND
from newsmill.storage.database import reading
from newsmill.storage.schema import counts

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


_OUTCOMES = (
    select(counts).where(counts.c.outcome != FOUND, counts.c.n != 0).order_by(counts.c.day.desc(), counts.c.source, counts.c.outcome)
)


class Counters:
    """The counts of outcomes. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_outcomes(self, since: date | None = None, source: str | None = None) -> list[OutcomeCount]:
        """Counts per day, newest day first."""
        with reading(self._engine) as conn:
            statement = _OUTCOMES if since is None else _OUTCOMES.where(counts.c.day >= since)
            if source is not None:
                statement = statement.where(counts.c.source == source)
            return [
                OutcomeCount(row.day, row.source or None, Kind(row.kind), Outcome(row.outcome), row.n) for row in conn.execute(statement)
            ]

    def sum(
        self,
        by: Sequence[By],
        *,
        since: date | None = None,
        until: date | None = None,
        source: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[CounterRow]:
        """The sums of outcome counts by one or more of day, source, kind and outcome that are not 0, newest day first.

        `until` is included.
        """
        with reading(self._engine) as conn:
            columns = [counts.c[name] for name in dict.fromkeys(by)]
            total = func.sum(counts.c.n)
            statement = select(total.label("n"), *columns).where(counts.c.outcome != FOUND).group_by(*columns).having(total != 0)
            if since is not None:
                statement = statement.where(counts.c.day >= since)
            if until is not None:
                statement = statement.where(counts.c.day <= until)
            if source is not None:
                statement = statement.where(counts.c.source == source)
            order = [
                column.desc() if column.name == "day" else column for column in sorted(columns, key=lambda column: column.name != "day")
            ]
            rows = conn.execute(statement.order_by(*order).limit(limit).offset(offset)).mappings()
            return [CounterRow(**{**row, "n": int(row["n"]), "source": row.get("source") or None}) for row in rows]

"""The counters, counted again from the ledger (of pages only: of the past rounds of a listing no row is left), and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, delete, text

from newsmill.storage.ledger.counter_updates import FOUND
from newsmill.storage.ledger.upserts import Upsert
from newsmill.storage.schema import count_totals, counts

# The day of a time, in UTC, as each database keeps times (columns.Utc).
_DAY = {"sqlite": "substr({0}, 1, 10)", "postgresql": "CAST(({0} AT TIME ZONE 'UTC') AS date)"}
_ENDED = """SELECT {day} AS day, coalesce(source, '') AS source, outcome, count(*) AS n FROM ledger
WHERE kind = 'page' AND outcome IS NOT NULL AND ended_at IS NOT NULL GROUP BY 1, 2, 3"""
_FOUND = "SELECT {day} AS day, coalesce(source, '') AS source, count(*) AS n FROM ledger WHERE kind = 'page' GROUP BY 1, 2"
_COUNTED = "SELECT day, source, outcome, n FROM counts WHERE kind = 'page' AND n <> 0"
_SUMS = """SELECT source, kind, outcome, sum(n) AS off FROM (
SELECT source, kind, outcome, n FROM counts UNION ALL SELECT source, kind, outcome, -n FROM count_totals) AS sides
GROUP BY source, kind, outcome HAVING sum(n) <> 0 ORDER BY source, kind, outcome"""
_MOVE = Upsert(count_totals, ("source", "kind", "outcome"), lambda new: {"n": count_totals.c.n + new.n})

Key = tuple[date, str, str]


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter that says `counted` where the ledger holds `held`."""

    day: date
    source: str
    outcome: str
    counted: int
    held: int

    def __str__(self) -> str:
        return f"{self.day} {self.source or '–'} {self.outcome}: counted {self.counted}, in the ledger {self.held}"


def drift(conn: Connection) -> list[Drift]:
    """Counters that are wrong. Give it a writing transaction: nothing may move between the two counts."""
    if conn.dialect.name == "postgresql":
        # Transactions write rows first and counters last: those that already wrote a counter are waited for, the others wait for us.
        conn.execute(text("LOCK TABLE counts IN SHARE ROW EXCLUSIVE MODE"))
    held, counted = _held(conn), {_key(row): int(row.n) for row in conn.execute(text(_COUNTED))}
    wrong = [key for key in held.keys() | counted.keys() if held.get(key, 0) != counted.get(key, 0)]
    return [Drift(*key, counted=counted.get(key, 0), held=held.get(key, 0)) for key in sorted(wrong)]


def recount(conn: Connection) -> list[Drift]:
    """Set the wrong counters right; which they were."""
    wrong = drift(conn)
    for change in wrong:
        key = {"day": change.day, "source": change.source, "kind": "page", "outcome": change.outcome}
        conn.execute(delete(counts).where(*(counts.c[name] == value for name, value in key.items())))
        if change.held:
            conn.execute(counts.insert(), {**key, "n": change.held})
    return wrong


def sums_off(conn: Connection) -> list[str]:
    """Sums that are not those of the counters, in words. In the transaction of `drift` or `recount`."""
    return [f"{row.source or '–'} {row.kind} {row.outcome}: the sum of all days is {int(row.off):+d} off" for row in _sums_off(conn)]


def sum_again(conn: Connection) -> list[str]:
    """Set the wrong sums right; which they were."""
    said = sums_off(conn)
    _MOVE.run(conn, [{"source": row.source, "kind": row.kind, "outcome": row.outcome, "n": int(row.off)} for row in _sums_off(conn)])
    return said


def _sums_off(conn: Connection) -> list[Any]:
    if conn.dialect.name == "postgresql":
        conn.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # what this transaction moved is else in no sum before its end
    return list(conn.execute(text(_SUMS)))


def _held(conn: Connection) -> dict[Key, int]:
    day = _DAY[conn.dialect.name]
    ended = {_key(row): int(row.n) for row in conn.execute(text(_ENDED.format(day=day.format("ended_at"))))}
    found = {
        (_date(row.day), str(row.source), FOUND): int(row.n) for row in conn.execute(text(_FOUND.format(day=day.format("first_seen_at"))))
    }
    return ended | found


def _key(row: Any) -> Key:
    return _date(row.day), row.source, row.outcome


def _date(day: date | str) -> date:
    """SQLite gives text."""
    return day if isinstance(day, date) else date.fromisoformat(day)

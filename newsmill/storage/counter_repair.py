"""The repair of counters: pages are counted again from the ledger.

It cannot check counters of listings, because the ledger keeps only their last read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, delete, text

from newsmill.storage.counter_updates import FOUND
from newsmill.storage.dialects import Upsert, choose, is_sqlite
from newsmill.storage.schema import count_totals, counts

# The day (UTC) of a time, as each database stores times (columns.UtcDateTime).
_SQLITE_DAY, _POSTGRES_DAY = "substr({0}, 1, 10)", "CAST(({0} AT TIME ZONE 'UTC') AS date)"
_ENDED = """SELECT {day} AS day, coalesce(source, '') AS source, outcome, count(*) AS n FROM ledger
WHERE kind = 'page' AND outcome IS NOT NULL AND ended_at IS NOT NULL GROUP BY 1, 2, 3"""
_FOUND = "SELECT {day} AS day, coalesce(source, '') AS source, count(*) AS n FROM ledger WHERE kind = 'page' GROUP BY 1, 2"
_COUNTED = "SELECT day, source, outcome, n FROM counts WHERE kind = 'page' AND n <> 0"
_WRONG_TOTALS = """SELECT source, kind, outcome, CAST(sum(n) AS bigint) AS difference FROM (
SELECT source, kind, outcome, n FROM counts UNION ALL SELECT source, kind, outcome, -n FROM count_totals) AS sides
GROUP BY source, kind, outcome HAVING sum(n) <> 0 ORDER BY source, kind, outcome"""
_ADD_TO_TOTAL = Upsert(count_totals, ("source", "kind", "outcome"), lambda new: {"n": count_totals.c.n + new.n})

CounterKey = tuple[date, str, str]


@dataclass(frozen=True, slots=True)
class WrongCounter:
    """A counter of `counted` where the ledger has `actual` rows."""

    day: date
    source: str
    outcome: str
    counted: int
    actual: int

    def __str__(self) -> str:
        return f"{self.day} {self.source or '–'} {self.outcome}: counted {self.counted}, in the ledger {self.actual}"


def find_wrong_counters(conn: Connection) -> list[WrongCounter]:
    """The wrong counters. Needs a writing transaction, so that nothing changes between the two counts."""
    if not is_sqlite(conn):
        # Transactions write rows first and counters last: this waits for those that wrote a counter, and the others wait for this one.
        conn.execute(text("LOCK TABLE counts IN SHARE ROW EXCLUSIVE MODE"))
    actual, counted = _count_rows(conn), {_key(row): int(row.n) for row in conn.execute(text(_COUNTED))}
    wrong = [key for key in actual.keys() | counted.keys() if actual.get(key, 0) != counted.get(key, 0)]
    return [WrongCounter(*key, counted=counted.get(key, 0), actual=actual.get(key, 0)) for key in sorted(wrong)]


def repair_counters(conn: Connection) -> list[WrongCounter]:
    """Correct the wrong counters. Returns them as they were."""
    wrong = find_wrong_counters(conn)
    for change in wrong:
        key = {"day": change.day, "source": change.source, "kind": "page", "outcome": change.outcome}
        conn.execute(delete(counts).where(*(counts.c[name] == value for name, value in key.items())))
        if change.actual:
            conn.execute(counts.insert(), {**key, "n": change.actual})
    return wrong


def describe_wrong_totals(conn: Connection) -> list[str]:
    """Describe the totals that differ from the totals of the counters. Call it in the transaction of `find_wrong_counters`."""
    return [
        f"{row.source or '–'} {row.kind} {row.outcome}: the total of all days differs by {row.difference:+d}"
        for row in _find_wrong_totals(conn)
    ]


def repair_totals(conn: Connection) -> list[str]:
    """Correct the wrong totals. Returns their descriptions as they were."""
    descriptions = describe_wrong_totals(conn)
    _ADD_TO_TOTAL.run(
        conn,
        [{"source": row.source, "kind": row.kind, "outcome": row.outcome, "n": row.difference} for row in _find_wrong_totals(conn)],
    )
    return descriptions


def _find_wrong_totals(conn: Connection) -> list[Any]:
    if not is_sqlite(conn):
        conn.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # else the totals include this transaction's changes only at its end
    return list(conn.execute(text(_WRONG_TOTALS)))


def _count_rows(conn: Connection) -> dict[CounterKey, int]:
    day = choose(conn, sqlite=_SQLITE_DAY, postgres=_POSTGRES_DAY)
    ended = {_key(row): int(row.n) for row in conn.execute(text(_ENDED.format(day=day.format("ended_at"))))}
    found = {
        (_date(row.day), str(row.source), FOUND): int(row.n) for row in conn.execute(text(_FOUND.format(day=day.format("first_seen_at"))))
    }
    return ended | found


def _key(row: Any) -> CounterKey:
    return _date(row.day), row.source, row.outcome


def _date(day: date | str) -> date:
    """The day as a date; SQLite returns text."""
    return day if isinstance(day, date) else date.fromisoformat(day)

"""The counters per day, source, kind and outcome: their changes, written in the commit that changes the row.

So nothing scans the ledger to count it. Transactions write hosts first, ledger rows next and counters last, each in the order of the key,
so that two cannot deadlock. The database updates `count_totals` at the commit, in the order in which the counters were written. Counters
are therefore written by source, kind and outcome, and only then by day. `counter_repair` repairs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime

from sqlalchemy import Connection

from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import counts
from newsmill.storage.statements import AnyRow

FOUND = "found"  # counted like an outcome: rows inserted that day

_ADD = Upsert(counts, ("day", "source", "kind", "outcome"), lambda new: {"n": counts.c.n + new.n})


class CounterUpdates:
    """The counter changes of one transaction."""

    def __init__(self) -> None:
        self._n: Counter[tuple[date, str, str, str]] = Counter()

    def add(self, at: datetime, source: str | None, kind: str, outcome: str, n: int = 1) -> None:
        self._n[(at.date(), source or "", kind, outcome)] += n

    def undo(self, at: datetime | None, source: str | None, kind: str, outcome: str | None) -> None:
        """Undo the outcome count of a page. A listing has an outcome at every read, so its counts stay."""
        if at is not None and outcome is not None and kind == "page":
            self.add(at, source, kind, outcome, -1)

    def move(self, row: AnyRow, source: str) -> None:
        """Count the outcome of a page for another source."""
        self.undo(row.ended_at, row.source, row.kind, row.outcome)
        if row.ended_at is not None and row.outcome is not None and row.kind == "page":
            self.add(row.ended_at, source, row.kind, row.outcome)

    def write(self, conn: Connection) -> None:
        changes = sorted(((key, n) for key, n in self._n.items() if n), key=lambda item: (*item[0][1:], item[0][0]))
        _ADD.run(
            conn, [{"day": day, "source": source, "kind": kind, "outcome": outcome, "n": n} for (day, source, kind, outcome), n in changes]
        )


def uncount(conn: Connection, rows: Iterable[AnyRow]) -> None:
    """Undo what deleted rows of the ledger have counted. Listings keep their counts, because each read has its own."""
    counters = CounterUpdates()
    for row in rows:
        if row.kind == "page":
            counters.add(row.first_seen_at, row.source, row.kind, FOUND, -1)
            counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    counters.write(conn)

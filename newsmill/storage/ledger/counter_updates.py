"""Counters per day, source, kind and outcome, moved in the commit that moves the row: nobody ever scans the ledger to count it.

Transactions touch hosts first, ledger rows next and counters last, each in the order of the key: two of them may wait, never in a circle.
The sums over all days (`count_totals`) are moved by the database as the transaction commits, in the order in which the counters were; so
counters are written by source, kind and outcome first and by day last.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime

from sqlalchemy import Connection

from newsmill.storage.columns import Upsert
from newsmill.storage.schema import counts

FOUND = "found"  # stands beside the outcomes: rows made that day

_ADD = Upsert(counts, ("day", "source", "kind", "outcome"), lambda new: {"n": counts.c.n + new.n})


class CounterUpdates:
    """What one transaction adds to the counters."""

    def __init__(self) -> None:
        self._n: Counter[tuple[date, str, str, str]] = Counter()

    def add(self, at: datetime, source: str | None, kind: str, outcome: str, n: int = 1) -> None:
        self._n[(at.date(), source or "", kind, outcome)] += n

    def take_back(self, at: datetime | None, source: str | None, kind: str, outcome: str | None) -> None:
        """Undo the count of a page that did not end there after all. A listing ends every round, so its rounds stay counted."""
        if at is not None and outcome is not None and kind == "page":
            self.add(at, source, kind, outcome, -1)

    def write(self, conn: Connection) -> None:
        moved = sorted(((key, n) for key, n in self._n.items() if n), key=lambda item: (*item[0][1:], item[0][0]))
        _ADD.run(
            conn, [{"day": day, "source": source, "kind": kind, "outcome": outcome, "n": n} for (day, source, kind, outcome), n in moved]
        )

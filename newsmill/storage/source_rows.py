"""Rows of several sources, read in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from newsmill.storage.ledger import Trace
from newsmill.storage.schema import ledger
from newsmill.storage.statements import AnyRow

MAX_NAMES = 1000  # of sources in one statement; SQLite takes 32,766 values

SOURCE_NAMES: Any = bindparam("b_names", expanding=True)


def first_of(selected: Any, most: int) -> Any:
    """The rows of each source with a `number` of at most `most`, as columns of the ledger."""
    ranked = selected.subquery()
    return select(ledger).join(ranked, ranked.c.id == ledger.c.id).where(ranked.c.number <= most)


def read_rows(conn: Connection, statement: Any, names: Sequence[str], **values: Any) -> list[AnyRow]:
    """The rows of some sources."""
    parts = (names[start : start + MAX_NAMES] for start in range(0, len(names), MAX_NAMES))
    return [row for part in parts for row in conn.execute(statement, {"b_names": list(part), **values})]


def group_rows(traces: Iterable[Trace]) -> dict[str | None, list[Trace]]:
    found: dict[str | None, list[Trace]] = defaultdict(list)
    for trace in traces:
        found[trace.source].append(trace)
    return found

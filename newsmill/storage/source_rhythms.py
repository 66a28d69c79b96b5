"""When a source publishes, as its checks observe it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from newsmill.health.rhythm import HISTORY, build_rhythm
from newsmill.storage.check_histories import CheckHistory
from newsmill.storage.dialects import format_hour
from newsmill.storage.schema import documents, sources
from newsmill.storage.source_rows import SOURCE_NAMES, read_rows

MAX_RHYTHM_DOCUMENTS = 5_000  # newest ones, about 10 ms
MAX_RHYTHM_SOURCES = 100  # in one statement: their times are in memory together
RHYTHM_INTERVAL, YOUNG_RHYTHM_INTERVAL = timedelta(days=1), timedelta(hours=3)  # between two computations
YOUNG_EVENTS = 100  # active hours; a history with fewer changes within hours
_AFTER: Any = bindparam("b_after", type_=documents.c.first_seen_at.type)
_CREATED = select(sources.c.name, sources.c.created_at).where(sources.c.name.in_(SOURCE_NAMES))
_RANKED_TIMES = (
    select(
        documents.c.source,
        documents.c.first_seen_at,
        func.row_number().over(partition_by=documents.c.source, order_by=documents.c.first_seen_at.desc()).label("number"),
    )
    .where(documents.c.source.in_(SOURCE_NAMES), documents.c.first_seen_at > _AFTER)
    .subquery()
)
_TIMES = (
    select(_RANKED_TIMES.c.source, _RANKED_TIMES.c.first_seen_at)
    .where(_RANKED_TIMES.c.number <= MAX_RHYTHM_DOCUMENTS)
    .order_by(_RANKED_TIMES.c.source, _RANKED_TIMES.c.number)
)


def update_rhythms(
    conn: Connection, known: Mapping[str, CheckHistory], last: Mapping[str, datetime], now: datetime
) -> dict[str, CheckHistory]:
    """A history ends with the newest document, so that the present silence does not count as usual."""
    # In the order of the newest documents: a statement reads back from the oldest of its sources.
    old = sorted((name for name in last if _is_rhythm_old(known[name], now)), key=lambda name: last[name])
    created = dict(tuple(row) for row in read_rows(conn, _CREATED, old))
    updated = dict(known)
    for start in range(0, len(old), MAX_RHYTHM_SOURCES):
        part = old[start : start + MAX_RHYTHM_SOURCES]
        times: dict[str, list[datetime]] = defaultdict(list)
        for name, at in read_rows(conn, _TIMES, part, b_after=last[part[0]] - HISTORY):
            if at > last[name] - HISTORY:
                times[name].append(at)
        for name in part:
            rhythm = build_rhythm(times[name], _find_start(created.get(name), times[name], last[name]), last[name])
            updated[name] = replace(known[name], rhythm=rhythm, rhythm_at=now)
    return updated


def _is_rhythm_old(history: CheckHistory, now: datetime) -> bool:
    interval = YOUNG_RHYTHM_INTERVAL if history.rhythm.events < YOUNG_EVENTS else RHYTHM_INTERVAL
    return history.rhythm_at is None or not timedelta() <= now - history.rhythm_at < interval


def _find_start(created: datetime | None, times: Sequence[datetime], last: datetime) -> datetime:
    """When the history begins whose times, newest first, are known."""
    oldest = times[-1] if len(times) == MAX_RHYTHM_DOCUMENTS else None
    return max(filter(None, (created, oldest)), default=times[-1] if times else last)


def count_active_hours(conn: Connection, names: Sequence[str], now: datetime) -> dict[str, int]:
    """The hours of the last day with a document."""
    hour = format_hour(conn, documents.c.first_seen_at)
    counted = (
        select(documents.c.source, func.count(hour.distinct()))
        .where(documents.c.source.in_(SOURCE_NAMES), documents.c.first_seen_at > _AFTER)
        .group_by(documents.c.source)
    )
    return {name: int(n) for name, n in read_rows(conn, counted, names, b_after=now - timedelta(days=1))}

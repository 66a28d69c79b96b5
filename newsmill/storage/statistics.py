"""Statistics for pages and reports: new documents, sources, hosts in progress, errors, used space and the newest documents. Reads only.

Each query uses an index or `counts`, so that it costs the same with a thousand documents and with a million
(tests/storage/test_overview.py checks the plans). Where no index serves, a query reads at most MAX_ROWS_READ rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from newsmill.model import Outcome, Source
from newsmill.storage.columns import load_source
from newsmill.storage.counter_updates import FOUND
from newsmill.storage.database import reading
from newsmill.storage.dialects import format_hour
from newsmill.storage.document_heads import HEAD_COLUMNS, NEWEST, DocumentHead, load_heads
from newsmill.storage.schema import counts, documents, sources

STATISTICS_DAYS = 14


@dataclass(frozen=True, slots=True)
class SourceHourCount:
    """Documents of one source first seen within one hour (UTC)."""

    hour: datetime
    source: str | None
    n: int


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """One source, with its results of the last STATISTICS_DAYS days (UTC, today included)."""

    source: Source
    next_tick_at: datetime
    last_tick_at: datetime | None
    last: DocumentHead | None = None  # its newest document
    stored: tuple[int, ...] = (0,) * STATISTICS_DAYS  # documents per day, oldest first
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of its pages


class Statistics:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, limit: int, source: str | None = None) -> list[DocumentHead]:
        """The newest documents, of one source or of all."""
        wanted = [] if source is None else [documents.c.source == source]
        with reading(self._engine) as conn:
            rows = conn.execute(select(*HEAD_COLUMNS).where(*wanted).order_by(*NEWEST).limit(limit))
            return [DocumentHead(*row) for row in rows]

    def per_hour(self, since: datetime) -> list[SourceHourCount]:
        """Documents by the hour and source in which they were first seen, oldest hour first; hours with none are left out."""
        with reading(self._engine) as conn:
            names = conn.execute(select(sources.c.name)).scalars().all()
            # With conditions on source, the covering index (source, first_seen_at) serves; by time alone, every document's row is read.
            found = [*_hours(conn, documents.c.source.in_(names), since), *_hours(conn, documents.c.source.is_(None), since)]
        return sorted(found, key=lambda one: (one.hour, one.source or ""))

    def next_tick(self) -> datetime | None:
        """The next tick of all enabled sources; None if there is none."""
        with reading(self._engine) as conn:
            at: datetime | None = conn.execute(select(func.min(sources.c.next_tick_at)).where(sources.c.enabled)).scalar()
        return at

    def names(self) -> list[str]:
        """The names of all sources."""
        with reading(self._engine) as conn:
            return list(conn.execute(select(sources.c.name).order_by(sources.c.name)).scalars())

    def list_sources(self, today: date, name: str | None = None, *, after: str | None = None, limit: int = 1000) -> list[SourceStatistics]:
        """Sources in the order of their names: the one named `name`, or up to `limit` after the name `after`."""
        wanted = [] if name is None else [sources.c.name == name]
        wanted += [] if after is None else [sources.c.name > after]
        newest = select(documents.c.id).where(documents.c.source == sources.c.name).order_by(*NEWEST).limit(1).scalar_subquery()
        with reading(self._engine) as conn:
            rows = conn.execute(select(sources, newest.label("newest")).where(*wanted).order_by(sources.c.name).limit(limit)).all()
            heads = load_heads(conn, [row.newest for row in rows if row.newest is not None])
            stored, outcomes = _count_by_source(conn, today, [row.name for row in rows])
        return [
            SourceStatistics(
                source=load_source(row.plan, row.enabled),
                next_tick_at=row.next_tick_at,
                last_tick_at=row.last_tick_at,
                last=heads.get(row.newest),
                stored=tuple(stored[row.name]) if row.name in stored else (0,) * STATISTICS_DAYS,
                outcomes=outcomes.get(row.name, {}),
            )
            for row in rows
        ]


def _hours(conn: Connection, of_source: ColumnElement[bool], since: datetime) -> list[SourceHourCount]:
    hour = format_hour(conn, documents.c.first_seen_at)
    statement = (
        select(hour, documents.c.source, func.count())
        .where(of_source, documents.c.first_seen_at >= since)
        .group_by(hour, documents.c.source)
    )
    return [SourceHourCount(_parse(at), source, n) for at, source, n in conn.execute(statement)]


def _parse(hour: str) -> datetime:
    return datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC)


def _count_by_source(conn: Connection, today: date, names: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, dict[Outcome, int]]]:
    """Per source: documents per day, and pages by outcome."""
    days = [today - timedelta(days=back) for back in range(STATISTICS_DAYS - 1, -1, -1)]
    stored: dict[str, list[int]] = defaultdict(lambda: [0] * STATISTICS_DAYS)
    outcomes: dict[str, dict[Outcome, int]] = defaultdict(lambda: defaultdict(int))
    # With lists of days and sources the index serves: its key begins with both, so that other sources cost nothing.
    wanted = (counts.c.day.in_(days), counts.c.source.in_(names), counts.c.kind == "page", counts.c.outcome != FOUND)
    for row in conn.execute(select(counts).where(*wanted)):
        outcomes[row.source][Outcome(row.outcome)] += row.n
        if row.outcome == Outcome.STORED:
            stored[row.source][(row.day - days[0]).days] += row.n
    return dict(stored), {source: {outcome: n for outcome, n in found.items() if n > 0} for source, found in outcomes.items()}

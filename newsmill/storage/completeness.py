"""What is known of the articles that were missed: one row for each source and week, computed by the scheduler from the sightings.

A row is computed again every hour, and until two days after its week, because listings show articles late. Each computation reads the
articles of one source and week at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, literal_column, or_, select

from newsmill.health.completeness import SeenArticle, Unknown, estimate
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import completeness, documents, ledger, sightings, sources
from newsmill.storage.statements import LIMIT, NOW, AnyRow

MAX_ARTICLES = 5000  # of a source and week; more are not read, and the bound is that of the first ones
MAX_PER_PASS = 5  # sources and weeks; one takes some 20 ms
INTERVAL = timedelta(hours=1)  # between two computations
WEEK = timedelta(days=7)
OPEN_AFTER_END = timedelta(days=2)
LATE = timedelta(days=2)  # an article that is first seen so long after its publication was missed before
SHOWN_WEEKS = 8  # of each source

_WEEK: Any = bindparam("b_week")
_START, _END = (bindparam(name, type_=documents.c.first_seen_at.type) for name in ("b_start", "b_end"))
_DUE = (
    select(sources.c.name, sources.c.created_at)
    .outerjoin(completeness, and_(completeness.c.source == sources.c.name, completeness.c.week == _WEEK))
    .where(
        sources.c.created_at < _END,
        or_(
            completeness.c.computed_at.is_(None),
            completeness.c.computed_at <= bindparam("b_old", type_=completeness.c.computed_at.type),
            completeness.c.computed_at > NOW,  # by a wrong clock
        ),
    )
    .order_by(completeness.c.computed_at.asc().nulls_first(), sources.c.name)
    .limit(LIMIT)
)
_ARTICLES = (
    select(documents.c.id, documents.c.ledger_id, documents.c.first_seen_at, documents.c.published_at, documents.c.section)
    .where(documents.c.source == bindparam("b_source"), documents.c.first_seen_at >= _START, documents.c.first_seen_at < _END)
    .order_by(documents.c.first_seen_at)
    .limit(MAX_ARTICLES)
)
_KINDS = (
    select(sightings.c.page_id, ledger.c.kind)
    .join(ledger, ledger.c.id == sightings.c.listing_id)
    .where(sightings.c.page_id.in_(bindparam("b_pages", expanding=True)))
)
# A feed through a service that counts clicks has other URLs than the homepage: one row owns the document, the other repeats it.
_REPEATING = ledger.alias("repeating")
_KINDS_OF_REPEATING = (
    select(_REPEATING.c.document_id, ledger.c.kind)
    .select_from(_REPEATING)
    .join(sightings, sightings.c.page_id == _REPEATING.c.id)
    .join(ledger, ledger.c.id == sightings.c.listing_id)
    .where(
        _REPEATING.c.document_id.in_(bindparam("b_documents", expanding=True)),
        _REPEATING.c.state == literal_column("'dropped'"),  # the condition of ix_ledger_dropped
        ledger.c.source == bindparam("b_source"),
    )
)
_SAVE = Upsert(
    completeness,
    ("source", "week"),
    lambda new: {name: new[name] for name in ("computed_at", "articles", "late", "at_most", "unknown")},
)
_LATEST = (
    select(completeness)
    .where(completeness.c.source.in_(bindparam("b_sources", expanding=True)), completeness.c.week >= _WEEK)
    .order_by(completeness.c.week.desc())
)


@dataclass(frozen=True, slots=True)
class WeekCompleteness:
    """What is known of one week of a source. `at_most` is the share of missed articles (95 % confidence), None with a reason if unknown."""

    week: date  # its Monday
    articles: int  # that a listing showed
    late: int  # articles that were found in this week and published more than two days before
    at_most: float | None
    unknown: Unknown | None


class CompletenessReader:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, names: Collection[str], now: datetime) -> dict[str, tuple[WeekCompleteness, ...]]:
        """The last SHOWN_WEEKS weeks of these sources, the newest first. A source without any has an empty tuple."""
        found: dict[str, list[WeekCompleteness]] = {name: [] for name in names}
        if found:
            with reading(self._engine) as conn:
                for row in conn.execute(_LATEST, {"b_sources": sorted(found), "b_week": get_week(now) - SHOWN_WEEKS * WEEK}):
                    found[row.source].append(_to_week(row))
        return {name: tuple(weeks) for name, weeks in found.items()}


def get_week(at: datetime) -> date:
    """The Monday of the week, in UTC."""
    day = at.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def choose_week(weeks: Iterable[WeekCompleteness]) -> WeekCompleteness | None:
    """The newest week with a bound; without any, the newest one."""
    ordered = list(weeks)
    return next((week for week in ordered if week.at_most is not None), ordered[0] if ordered else None)


def update_completeness(engine: Engine, now: datetime) -> int:
    """Compute up to MAX_PER_PASS sources and weeks that are due; returns their number. Raises ServiceError."""
    this = get_week(now)
    weeks = [this] if now >= _begin(this) + OPEN_AFTER_END else [this - WEEK, this]
    count = 0
    for week in weeks:
        values = {"b_week": week, "b_end": _begin(week) + WEEK, "b_old": now - INTERVAL, "b_now": now, "b_limit": MAX_PER_PASS - count}
        with reading(engine) as conn:
            due = conn.execute(_DUE, values).all() if count < MAX_PER_PASS else []
        for source in due:
            _update(engine, source.name, source.created_at, week, now)
        count += len(due)
    return count


def _begin(week: date) -> datetime:
    return datetime.combine(week, time(), UTC)


def _update(engine: Engine, source: str, created_at: datetime, week: date, now: datetime) -> None:
    with reading(engine) as conn:
        articles, late = _read_articles(conn, source, created_at, week)
    found = estimate(articles)
    values = {"computed_at": now, "articles": len(articles), "late": late, "at_most": found.at_most, "unknown": found.unknown}
    with writing(engine) as conn:
        if conn.execute(select(sources.c.name).where(sources.c.name == source)).first() is not None:  # it may have been removed
            _SAVE.run(conn, [{"source": source, "week": week, **values}])


def _read_articles(conn: Connection, source: str, created_at: datetime, week: date) -> tuple[list[SeenArticle], int]:
    """The articles of the week that a listing showed, and the number of those that were found late.

    What was published before the source was added does not count: the first listings show it, whatever they leave out.
    """
    rows = conn.execute(_ARTICLES, {"b_source": source, "b_start": _begin(week), "b_end": _begin(week) + WEEK}).all()
    rows = [row for row in rows if (row.published_at or row.first_seen_at) >= created_at]
    new = {row.ledger_id: row for row in rows if row.published_at is None or row.first_seen_at - row.published_at < LATE}
    kinds: dict[int, set[str]] = defaultdict(set)
    if new:
        for page, kind in conn.execute(_KINDS, {"b_pages": list(new)}):
            kinds[page].add(kind)
        owners = {row.id: page for page, row in new.items()}
        for document_id, kind in conn.execute(_KINDS_OF_REPEATING, {"b_documents": list(owners), "b_source": source}):
            kinds[owners[document_id]].add(kind)
    seen = [SeenArticle(frozenset(shown), new[page].section or "", new[page].first_seen_at.hour) for page, shown in kinds.items()]
    return seen, len(rows) - len(new)


def _to_week(row: AnyRow) -> WeekCompleteness:
    return WeekCompleteness(row.week, row.articles, row.late, row.at_most, None if row.unknown is None else Unknown(row.unknown))

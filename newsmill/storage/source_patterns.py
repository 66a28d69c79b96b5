"""The pattern of each source, which its schedule rests on: publication rates, and which listings show which articles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, bindparam, func, select

from newsmill.discovery.schedule import RATE_WINDOW, RECENT_HOURS, SourcePattern, choose_listings, estimate_rates
from newsmill.model import Kind
from newsmill.storage.database import reading
from newsmill.storage.ledger.poll_plans import PolledListing
from newsmill.storage.schema import documents, sightings, source_patterns
from newsmill.storage.statements import AnyRow, Upsert

MAX_DOCUMENTS = 2000  # of a source, the newest: two weeks of a large paper
FIRST_DOCUMENTS = 20  # the length of most feeds; so many are needed before the time since the source was added counts
MIN_AGE, MAX_AGE = timedelta(minutes=10), timedelta(hours=6)  # of a pattern before it is computed again
LATE_DATE = timedelta(minutes=10)  # a publication time may be that far ahead of the first sight: clocks differ
SIGHTED = timedelta(days=2)  # an article that was found later than that was not news
KIND_ORDER = (Kind.FEED, Kind.SITEMAP, Kind.HOMEPAGE, Kind.SECTION)  # of listings that show the same: the cheapest first

_PATTERN: TypeAdapter[SourcePattern] = TypeAdapter(SourcePattern)
_SAVE = Upsert(source_patterns, ("source",), lambda new: {"computed_at": new.computed_at, "pattern": new.pattern})
_LOAD = select(source_patterns).where(source_patterns.c.source == bindparam("b_source"))
_SINCE: Any = bindparam("b_since", type_=documents.c.first_seen_at.type)
_DOCUMENTS = (
    select(documents.c.ledger_id, documents.c.published_at, documents.c.published_precision, documents.c.first_seen_at)
    .where(documents.c.source == bindparam("b_source"), documents.c.first_seen_at > _SINCE)
    .order_by(documents.c.first_seen_at.desc())
    .limit(MAX_DOCUMENTS)
)
_SIGHTINGS = select(sightings.c.page_id, sightings.c.listing_id, sightings.c.is_late).where(
    sightings.c.page_id.in_(bindparam("b_pages", expanding=True))
)
_RECENT = select(func.count()).where(
    documents.c.source == bindparam("b_source"),
    documents.c.first_seen_at > _SINCE,
    func.coalesce(documents.c.published_at, documents.c.first_seen_at) > _SINCE,
)


@dataclass(frozen=True, slots=True)
class _Article:
    page: int
    at: datetime  # published, or first seen where it has no time
    first_seen_at: datetime


def read(conn: Connection, source: str, added_at: datetime, listings: Sequence[PolledListing], now: datetime) -> SourcePattern:
    """The pattern of a source, computed again where it is old. `added_at`: when the source was added; `listings`: those that were polled.

    A failing listing shows nothing: the next best takes its place at once.
    """
    row = conn.execute(_LOAD, {"b_source": source}).one_or_none()
    working = {listing.id: listing for listing in listings if listing.failing_since is None}
    if row is not None and timedelta(0) <= now - row.computed_at < min(max((now - added_at) / 20, MIN_AGE), MAX_AGE):
        pattern = _PATTERN.validate_python(row.pattern)
        if pattern.shares.keys() <= working.keys():
            return pattern
    pattern = _compute(conn, source, added_at, working, now)
    _SAVE.run(conn, [{"source": source, "computed_at": now, "pattern": _PATTERN.dump_python(pattern, mode="json")}])
    return pattern


class SourcePatterns:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, source: str) -> SourcePattern | None:
        """The last pattern of a source; None for one without polls, or with fixed times."""
        with reading(self._engine) as conn:
            row = conn.execute(_LOAD, {"b_source": source}).one_or_none()
        return None if row is None else _PATTERN.validate_python(row.pattern)


def count_recent(conn: Connection, source: str, now: datetime) -> int:
    """The number of articles that were published within the last RECENT_HOURS and found."""
    return int(conn.execute(_RECENT, {"b_source": source, "b_since": now - timedelta(hours=RECENT_HOURS)}).scalar_one())


def _compute(conn: Connection, source: str, added_at: datetime, listings: dict[int, PolledListing], now: datetime) -> SourcePattern:
    rows = conn.execute(_DOCUMENTS, {"b_source": source, "b_since": now - RATE_WINDOW}).all()
    articles = sorted(
        (article for row in rows if (article := _to_article(row, added_at)) is not None), key=lambda article: article.at, reverse=True
    )
    since = _find_start(articles, added_at, now)
    return SourcePattern(estimate_rates([article.at for article in articles], since, now), _compute_shares(conn, articles, listings, now))


def _to_article(row: AnyRow, added_at: datetime) -> _Article | None:
    """None for a page of which it is not known when it was published: it was there before the source was added, and has no time."""
    at = row.published_at
    is_time = at is not None and row.published_precision not in ("day", "month", "year")
    if is_time and row.first_seen_at - SIGHTED < at < row.first_seen_at + LATE_DATE:
        return _Article(row.ledger_id, at, row.first_seen_at)
    if row.first_seen_at > added_at + MIN_AGE and at is None:
        return _Article(row.ledger_id, row.first_seen_at, row.first_seen_at)
    return None


def _find_start(articles: Sequence[_Article], added_at: datetime, now: datetime) -> datetime:
    """Since when the articles are known without gaps: the time the source was added, or that of the oldest in a list of the newest."""
    start = max(added_at, now - RATE_WINDOW)
    if len(articles) >= MAX_DOCUMENTS:
        return max(start, articles[-1].at)
    since_start = sum(article.at >= start for article in articles)
    if since_start >= FIRST_DOCUMENTS or not articles:
        return start
    return min(start, articles[min(FIRST_DOCUMENTS, len(articles)) - 1].at)


def _compute_shares(conn: Connection, articles: Sequence[_Article], listings: dict[int, PolledListing], now: datetime) -> dict[int, float]:
    """The shares of the listings, by the articles of the last week; with few of them, by the newest there are."""
    recent = [article for article in articles if article.at > now - timedelta(days=7)]
    counted = recent[:500] if len(recent) >= FIRST_DOCUMENTS else articles[:FIRST_DOCUMENTS]
    shown: dict[int, set[str]] = {}
    for row in conn.execute(_SIGHTINGS, {"b_pages": [article.page for article in counted]}) if counted else ():
        if not row.is_late and row.listing_id in listings:
            shown.setdefault(row.listing_id, set()).add(str(row.page_id))
    order = sorted(listings, key=lambda number: (_kind_order(listings[number].kind), number))
    return choose_listings({number: frozenset(pages) for number, pages in shown.items()}, order)


def _kind_order(kind: Kind) -> int:
    return KIND_ORDER.index(kind) if kind in KIND_ORDER else len(KIND_ORDER)

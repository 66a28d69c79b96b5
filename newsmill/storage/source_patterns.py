"""The publishing pattern of a source, computed from its documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from newsmill.model import Kind
from newsmill.model.lazy_adapter import make_adapter
from newsmill.polling.listings import SourcePattern, choose_listings, count_checks, is_stalled
from newsmill.polling.publication_rates import RATE_WINDOW, RECENT_HOURS, PublicationRates, estimate_rates
from newsmill.storage.database import reading
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger.poll_plans import PolledListing
from newsmill.storage.schema import documents, sightings, source_patterns
from newsmill.storage.statements import AnyRow

MAX_DOCUMENTS = 2000  # of a source, the newest: two weeks of a large paper
FIRST_DOCUMENTS = 20  # the length of most feeds; so many are needed before the time since the source was added counts
MIN_AGE, MAX_AGE = timedelta(minutes=10), timedelta(hours=6)  # of a pattern before it is computed again
LATE_DATE = timedelta(minutes=10)  # a publication time may be that far ahead of the first sight: clocks differ
SIGHTED = timedelta(days=2)  # an article that was found later than that was not news
KIND_ORDER = (Kind.FEED, Kind.SITEMAP, Kind.HOMEPAGE, Kind.SECTION)  # of listings that show the same: the cheapest first
CHECK_ORDER = (Kind.HOMEPAGE, Kind.SITEMAP, Kind.FEED, Kind.SECTION)  # of listings that are checked: what shows most first
LATE_LISTING = timedelta(hours=1)  # an article may come that much later on one listing than on another
MIN_EXPECTED = 2.0  # new articles of a listing since its last one, before a query of documents checks whether it has stalled

_PATTERN = make_adapter(SourcePattern)
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


@dataclass(frozen=True, slots=True)
class _Article:
    page: int
    at: datetime  # published, or first seen where it has no time
    first_seen_at: datetime


def read_pattern(
    conn: Connection, source: str, added_at: datetime, listings: Sequence[PolledListing], pushed: Set[int], now: datetime
) -> SourcePattern:
    """The pattern of a source, computed again where it is old. `added_at`: when the source was added; `listings`: those that were polled;
    `pushed`: those of which a hub sends the changes.

    A failing listing shows nothing, and neither does one without entries: the next best takes its place at once. A hub takes the place of
    polls soon.
    """
    row = conn.execute(_LOAD, {"b_source": source}).one_or_none()
    working = {listing.id: listing for listing in listings if listing.failing_since is None and not listing.is_empty}
    if row is not None:
        pattern = _PATTERN.validate_python(row.pattern)
        longest = MIN_AGE if pushed & working.keys() - pattern.shares.keys() else min(max((now - added_at) / 20, MIN_AGE), MAX_AGE)
        if timedelta(0) <= now - row.computed_at < longest and pattern.shares.keys() <= working.keys():
            doubtful = {number: share for number, share in pattern.shares.items() if _is_doubtful(working[number], share, pattern.rates)}
            since = min((working[number].shown_at or now for number in doubtful), default=now)
            if not doubtful or not _find_stalled(_read_articles(conn, source, added_at, since), working, doubtful):
                return pattern
    pattern = _compute_pattern(conn, source, added_at, working, pushed, now)
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


def count_recent(conn: Connection, source: str, added_at: datetime, now: datetime) -> int:
    """The number of articles that were published within the last RECENT_HOURS and found."""
    since = now - timedelta(hours=RECENT_HOURS)
    return sum(article.at > since for article in _read_articles(conn, source, added_at, since))


def _read_articles(conn: Connection, source: str, added_at: datetime, since: datetime) -> list[_Article]:
    """The articles that were first seen after `since`, at most MAX_DOCUMENTS of them, and whose time is known."""
    rows = conn.execute(_DOCUMENTS, {"b_source": source, "b_since": since})
    return [article for row in rows if (article := _to_article(row, added_at)) is not None]


def _compute_pattern(
    conn: Connection, source: str, added_at: datetime, listings: dict[int, PolledListing], pushed: Set[int], now: datetime
) -> SourcePattern:
    articles = sorted(_read_articles(conn, source, added_at, now - RATE_WINDOW), key=lambda article: article.at, reverse=True)
    since = _find_start(articles, added_at, now)
    shares = _compute_shares(conn, articles, listings, pushed, added_at, now)
    while stalled := _find_stalled(articles, listings, shares):
        listings = {number: listing for number, listing in listings.items() if number not in stalled}
        if not (rest := _compute_shares(conn, articles, listings, pushed, added_at, now)):
            break
        shares = rest
    return SourcePattern(estimate_rates([article.at for article in articles], since, now), shares)


def _to_article(row: AnyRow, added_at: datetime) -> _Article | None:
    """The time of publication, and for an article without a usable one the time when it was first seen.

    Many pages state only the day, or a local time without its zone, which may be hours ahead. None for a page of which it is not known
    when it was published: it is old, or it was there before the source was added and has no usable time.
    """
    at = row.published_at
    is_time = at is not None and row.published_precision not in ("day", "month", "year")
    if is_time and row.first_seen_at - SIGHTED < at < row.first_seen_at + LATE_DATE:
        return _Article(row.ledger_id, at, row.first_seen_at)
    if row.first_seen_at > added_at + MIN_AGE and (at is None or at > row.first_seen_at - SIGHTED):
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


def _compute_shares(
    conn: Connection, articles: Sequence[_Article], listings: dict[int, PolledListing], pushed: Set[int], added_at: datetime, now: datetime
) -> dict[int, float]:
    """The shares of the listings, by the articles of the last week; with few of them, by the newest there are.

    Articles older than the source show how long its listings are, not which of them shows a new article, so they count only at first.
    """
    recent = [article for article in articles if article.at > now - timedelta(days=7)]
    new = [article for article in recent if article.at >= added_at]
    counted = next((some[:500] for some in (new, recent) if len(some) >= FIRST_DOCUMENTS), articles[:FIRST_DOCUMENTS])
    shown: dict[int, set[str]] = {}
    for row in conn.execute(_SIGHTINGS, {"b_pages": [article.page for article in counted]}) if counted else ():
        if not row.is_late and row.listing_id in listings:
            shown.setdefault(row.listing_id, set()).add(str(row.page_id))
    order = sorted(listings, key=lambda number: (_order_of(listings[number].kind, KIND_ORDER), number))
    return choose_listings({number: frozenset(pages) for number, pages in shown.items()}, order, pushed)


def _is_doubtful(listing: PolledListing, share: float, rates: PublicationRates) -> bool:
    return listing.shown_at is not None and share * rates.expect(listing.shown_at, listing.polled_at) >= MIN_EXPECTED


def _find_stalled(articles: Sequence[_Article], listings: Mapping[int, PolledListing], shares: Mapping[int, float]) -> set[int]:
    """The listings with shares that show no new article any more, while others do."""

    def count_missed(listing: PolledListing) -> int:
        shown_at, until = listing.shown_at, listing.polled_at - LATE_LISTING
        return 0 if shown_at is None else sum(article.at > shown_at and article.first_seen_at < until for article in articles)

    return {number for number, share in shares.items() if is_stalled(share, count_missed(listings[number]))}


def choose_checks(listings: Mapping[int, PolledListing], pattern: SourcePattern, pushed: Set[int], now: datetime) -> list[int]:
    """The listings that are read now, because no listing has shown a new article for improbably long."""
    shown = [shown_at for number in pattern.shares if number in listings and (shown_at := listings[number].shown_at) is not None]
    if not shown:
        return []
    last = min(max(shown), now)
    checked = [
        listing
        for number, listing in listings.items()
        if listing.shown_at is not None and listing.failing_since is None and (number in pushed or number not in pattern.shares)
    ]
    unread = [listing for listing in checked if listing.polled_at < last]
    number = count_checks(pattern.rates, last, now) - (len(checked) - len(unread))
    unread.sort(key=lambda one: (one.id not in pushed, _order_of(one.kind, CHECK_ORDER), one.id))
    return [listing.id for listing in unread[: max(number, 0)]]


def _order_of(kind: Kind, order: Sequence[Kind]) -> int:
    return order.index(kind) if kind in order else len(order)

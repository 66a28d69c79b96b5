"""The plans of polls: which listings have none, and which planned polls are due.

The scheduler makes plans by the policy of `newsmill.polling`. A listing without a planned time waits for a tick of its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, bindparam, exists, select, update

from newsmill.model import Kind, Outcome
from newsmill.polling.listings import NextPoll
from newsmill.storage.clock import CLOCK_SLACK
from newsmill.storage.columns import load_hint
from newsmill.storage.database import reading
from newsmill.storage.ledger.polls import OF_LISTING
from newsmill.storage.schema import hosts, ledger, listing_schedules, publisher_orders, sources
from newsmill.storage.statements import IS_LISTING, LIMIT, NOW, AnyRow, state_is

_IS_ENDED = state_is("done", "failed", "dropped", "quarantined")
_COLUMNS = (
    ledger.c.host,
    hosts.c.crawl_delay,
    publisher_orders.c.delay.label("publisher_delay"),
    ledger.c.id,
    ledger.c.source,
    ledger.c.kind,
    ledger.c.url,
    ledger.c.found_by,
    ledger.c.outcome,
    ledger.c.failing_since,
    ledger.c.hint,
    listing_schedules.c.polled_at,
    listing_schedules.c.reads,
    listing_schedules.c.cache_seconds,
    listing_schedules.c.update_seconds,
    listing_schedules.c.shown_at,
    listing_schedules.c.is_empty,
    listing_schedules.c.planned_at,
    listing_schedules.c.next_poll_at,
    listing_schedules.c.reason,
)
_LISTINGS = (
    select(*_COLUMNS)
    .select_from(listing_schedules)
    .join(ledger, ledger.c.id == listing_schedules.c.ledger_id)
    .outerjoin(hosts, hosts.c.host == ledger.c.host)
    .outerjoin(publisher_orders, publisher_orders.c.host == ledger.c.host)
)
# Those that wait longest come first: by name, the last sources would wait for ever while more polls end than can be planned.
_UNPLANNED = (
    _LISTINGS.where(listing_schedules.c.planned_at.is_(None))
    .order_by(listing_schedules.c.polled_at, listing_schedules.c.ledger_id)
    .limit(LIMIT)
)
_OF_SOURCE = _LISTINGS.where(ledger.c.source == bindparam("b_source"), IS_LISTING).order_by(ledger.c.id)
_PLAN = (
    update(listing_schedules)
    .where(OF_LISTING, listing_schedules.c.polled_at == bindparam("b_polled", type_=listing_schedules.c.polled_at.type))
    .values(planned_at=NOW, next_poll_at=bindparam("b_next", type_=listing_schedules.c.next_poll_at.type), reason=bindparam("b_reason"))
)
_STOP = (
    update(listing_schedules)
    .where(
        listing_schedules.c.next_poll_at.is_not(None),
        listing_schedules.c.ledger_id.in_(select(ledger.c.id).where(ledger.c.source == bindparam("b_source"), IS_LISTING)),
    )
    .values(next_poll_at=None)
)
_UNPLAN = (
    update(listing_schedules)
    .where(listing_schedules.c.ledger_id.in_(select(ledger.c.id).where(ledger.c.source == bindparam("b_source"), IS_LISTING)))
    .values(planned_at=None, next_poll_at=None)
)
# A plan that was made in the future was made by a wrong clock, and is due at once. Two statements: one with OR reads all plans.
_NEXT_POLL_AT, _PLANNED_AT = listing_schedules.c.next_poll_at, listing_schedules.c.planned_at
_IS_DUE = (
    _NEXT_POLL_AT <= NOW,
    and_(bindparam("b_wrong", type_=_PLANNED_AT.type) < _PLANNED_AT, _NEXT_POLL_AT > NOW),
)
_IS_ENABLED = exists().where(sources.c.name == ledger.c.source, sources.c.enabled)  # with a join, SQLite reads all sources for a filter
_DUE = tuple(
    select(ledger.c.id, ledger.c.source)
    .join(listing_schedules, ledger.c.id == listing_schedules.c.ledger_id)
    .where(is_due, _IS_ENDED, _IS_ENABLED)
    .order_by(time)
    .limit(LIMIT)
    for is_due, time in zip(_IS_DUE, (_NEXT_POLL_AT, _PLANNED_AT), strict=True)
)
_MAKE_DUE = (
    update(ledger).where(ledger.c.id.in_(bindparam("b_ids", expanding=True)), _IS_ENDED).values(state="due", next_at=NOW, attempts=0)
)
_POLLED = update(listing_schedules).where(listing_schedules.c.ledger_id.in_(bindparam("b_ids", expanding=True))).values(next_poll_at=None)


@dataclass(frozen=True, slots=True)
class PolledListing:
    """A listing that was polled at least once, as the scheduler plans it."""

    id: int
    source: str | None
    host: str
    host_delay: float  # seconds between two requests that robots.txt or the owner of the host asks for; 0.0: none
    kind: Kind
    url: str
    found_by: str
    outcome: Outcome | None
    failing_since: datetime | None
    polled_at: datetime
    reads: int
    cache_seconds: float | None
    update_interval: timedelta | None
    shown_at: datetime | None
    is_empty: bool = False  # it had no entries when it was read last
    planned_at: datetime | None = None  # None: it was polled, and the scheduler has not planned it again
    modified_at: datetime | None = None  # of a part of a sitemap index, by the index
    next_poll_at: datetime | None = None
    reason: str | None = None


def list_unplanned(conn: Connection, limit: int) -> list[PolledListing]:
    """Polled listings without a plan, those that wait longest first."""
    return [_to_listing(row) for row in conn.execute(_UNPLANNED, {"b_limit": limit})]


def list_polled(conn: Connection, source: str) -> list[PolledListing]:
    """All listings of a source that were polled, with their plans."""
    return [_to_listing(row) for row in conn.execute(_OF_SOURCE, {"b_source": source})]


def _to_listing(row: AnyRow) -> PolledListing:
    return PolledListing(
        id=row.id,
        source=row.source,
        host=row.host,
        host_delay=max(row.crawl_delay or 0.0, row.publisher_delay or 0.0),
        kind=Kind(row.kind),
        url=row.url,
        found_by=row.found_by,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        failing_since=row.failing_since,
        polled_at=row.polled_at,
        reads=row.reads,
        cache_seconds=row.cache_seconds,
        update_interval=None if row.update_seconds is None else timedelta(seconds=row.update_seconds),
        shown_at=row.shown_at,
        is_empty=bool(row.is_empty),
        planned_at=row.planned_at,
        modified_at=load_hint(row.hint).modified_at,
        next_poll_at=row.next_poll_at,
        reason=row.reason,
    )


def plan(conn: Connection, listing: PolledListing, next_poll: NextPoll | None, reason: str, now: datetime) -> None:
    """Plan the next poll of a listing; None: it is polled only with its source's ticks. A poll that came in between keeps its row."""
    at = None if next_poll is None else next_poll.at
    conn.execute(_PLAN, {"b_id": listing.id, "b_polled": listing.polled_at, "b_now": now, "b_next": at, "b_reason": reason})


def unplan(conn: Connection, source: str) -> None:
    """Have all listings of a source planned again: its plan has changed."""
    conn.execute(_UNPLAN, {"b_source": source})


def stop(conn: Connection, source: str) -> None:
    """Plan no poll for the listings of a source that is paused: each pass would read those whose time has come."""
    conn.execute(_STOP, {"b_source": source})


def has_due(conn: Connection, now: datetime) -> bool:
    """Whether a planned time has come."""
    return bool(_list_due(conn, 1, now))


def make_planned_due(conn: Connection, limit: int, now: datetime) -> dict[str, int]:
    """Make up to `limit` listings of enabled sources due whose planned time has come; returns their number by source."""
    rows = _list_due(conn, limit, now)
    counts: dict[str, int] = {}
    if rows:
        ids = [row.id for row in rows]
        conn.execute(_MAKE_DUE, {"b_ids": ids, "b_now": now})
        conn.execute(_POLLED, {"b_ids": ids})
        for row in rows:
            counts[row.source] = counts.get(row.source, 0) + 1
    return counts


def _list_due(conn: Connection, limit: int, now: datetime) -> list[AnyRow]:
    values = {"b_now": now, "b_wrong": now + CLOCK_SLACK, "b_limit": limit}
    return [row for statement in _DUE for row in conn.execute(statement, values)][:limit]


class PollPlans:
    """The plans of polls. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_polled(self, source: str) -> list[PolledListing]:
        """The listings of a source that were polled, with their plans."""
        with reading(self._engine) as conn:
            return list_polled(conn, source)

"""The polls of listings: what each poll showed, which listings have no plan for the next one, and which are due.

The crawler records facts only: that a listing was polled (`record`), and which pages it showed for the first time (`record_sightings`).
A poll unsets the listing's plan, and the scheduler makes the next one (`list_unplanned`, `plan`) by the policy of
`newsmill.discovery.schedule`. A planned listing becomes due in `make_planned_due`; one without a planned time waits for a tick of its
source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, exists, func, select, update

from newsmill.discovery.dates import Period, is_page_wanted
from newsmill.discovery.schedule import NextPoll, compute_failing_interval
from newsmill.model import Kind, Link, Outcome
from newsmill.storage.columns import load_hint
from newsmill.storage.processes import CLOCK_SLACK
from newsmill.storage.schema import hosts, ledger, listing_schedules, publisher_orders, sightings, sources
from newsmill.storage.statements import IS_LISTING, LIMIT, NOW, AnyRow, Upsert, state_is
from newsmill.text.urls import make_key

SITEMAP_NEWS_AGE = timedelta(days=7)  # of the pages in sitemaps whose sightings are recorded: older ones say nothing about polls
RECENT = timedelta(days=7)  # a part of a sitemap index that showed a new page since then is polled like other listings

_ID = listing_schedules.c.ledger_id == bindparam("b_id")
_RECORD = Upsert(
    listing_schedules,
    ("ledger_id",),
    lambda new: {
        "polled_at": new.polled_at,
        "read_at": func.coalesce(new.read_at, listing_schedules.c.read_at),
        "reads": listing_schedules.c.reads + new.reads,
        "cache_seconds": func.coalesce(new.cache_seconds, listing_schedules.c.cache_seconds),
        "update_seconds": func.coalesce(new.update_seconds, listing_schedules.c.update_seconds),
        "is_empty": func.coalesce(new.is_empty, listing_schedules.c.is_empty),
        "planned_at": None,
        "next_poll_at": None,
    },
)
_READ_AT = select(listing_schedules.c.read_at).where(_ID)
_KNOWN_SIGHTINGS = select(sightings.c.page_id).where(
    sightings.c.listing_id == bindparam("b_id"), sightings.c.page_id.in_(bindparam("b_pages", expanding=True))
)
_SIGHT = Upsert(sightings, ("page_id", "listing_id"))
# The first poll has no row yet: `record` completes it when the poll ends.
_SHOW = Upsert(listing_schedules, ("ledger_id",), lambda new: {"shown_at": new.shown_at})

_SITEMAPS = (
    select(ledger.c.url_key, listing_schedules.c.read_at, listing_schedules.c.shown_at)
    .join(listing_schedules, ledger.c.id == listing_schedules.c.ledger_id)
    .where(ledger.c.url_key.in_(bindparam("b_keys", expanding=True)))
)

_MISSING = select(ledger.c.url_key, ledger.c.ended_at, ledger.c.failing_since).where(
    ledger.c.url_key.in_(bindparam("b_keys", expanding=True)),
    IS_LISTING,
    state_is("dropped"),
    ledger.c.outcome == "gone",
    ledger.c.failing_since.is_not(None),
)

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
    .where(_ID, listing_schedules.c.polled_at == bindparam("b_polled", type_=listing_schedules.c.polled_at.type))
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


# ---- polls


@dataclass(frozen=True, slots=True)
class Poll:
    """A finished poll of a listing. `was_read` is False for a failed one."""

    listing_id: int
    was_read: bool
    cache_seconds: float | None = None  # None keeps the stored value
    update_interval: timedelta | None = None  # None keeps the stored value
    is_empty: bool | None = None  # whether it has no entries; None keeps the stored value


def record(conn: Connection, polls: Sequence[Poll], now: datetime) -> None:
    """Record polls and unset the plans of their listings."""
    rows = [
        {
            "ledger_id": poll.listing_id,
            "polled_at": now,
            "read_at": now if poll.was_read else None,
            "reads": int(poll.was_read),
            "cache_seconds": poll.cache_seconds,
            "update_seconds": None if poll.update_interval is None else poll.update_interval.total_seconds(),
            "is_empty": poll.is_empty,
            "planned_at": None,
            "next_poll_at": None,
        }
        for poll in sorted(polls, key=lambda poll: poll.listing_id)
    ]
    _RECORD.run(conn, rows)


def get_read_at(conn: Connection, listing_id: int) -> datetime | None:
    """When a listing was read last; None before its first successful poll."""
    at: datetime | None = conn.execute(_READ_AT, {"b_id": listing_id}).scalar()
    return at


def record_sightings(conn: Connection, listing_id: int, read_at: datetime | None, pages: Mapping[int, datetime], now: datetime) -> set[int]:
    """Record that the listing showed these pages (row id → first seen); returns those that it had not shown before.

    `read_at` is the time of its last poll. A page that was known then, and that it did not show, is late on it.
    """
    if not pages:
        return set()
    shown = set(conn.execute(_KNOWN_SIGHTINGS, {"b_id": listing_id, "b_pages": sorted(pages)}).scalars())
    new = pages.keys() - shown
    _SIGHT.run(
        conn,
        [
            {"page_id": page, "listing_id": listing_id, "sighted_at": now, "is_late": read_at is not None and pages[page] <= read_at}
            for page in sorted(new)
        ],
    )
    if new:
        mark_shown(conn, listing_id, now)
    return new


def mark_shown(conn: Connection, listing_id: int, now: datetime) -> None:
    """Record that the listing showed something new."""
    _SHOW.run(conn, [{"ledger_id": listing_id, "polled_at": now, "reads": 0, "shown_at": now, "planned_at": now}])


def has_news(links: Sequence[Link], now: datetime) -> bool:
    """Whether a page may be of the last days, by its hint or its URL; one without a date may be.

    At the first read of a listing, every page is new: an archive would look like a listing with news.
    """
    recent = Period((now - RECENT).date(), date.max)
    return any(is_page_wanted(link.url, link.hint, recent) for link in links)


def is_sighting(link: Link, now: datetime) -> bool:
    """Whether it is recorded that a listing shows this page: archives in sitemaps are left out."""
    if link.kind is not Kind.PAGE:
        return False
    at = link.hint.published_at or link.hint.modified_at
    return link.found_by != Kind.SITEMAP or (at is not None and at > now - SITEMAP_NEWS_AGE)


def select_changed(conn: Connection, links: Sequence[Link], now: datetime) -> list[Link]:
    """Of the parts that a sitemap index names, those to poll now: changed since their last poll.

    Without a date, those with news, and the others once a week: a site that publishes rarely may have only such parts.
    """
    keys = {make_key(link.url): link for link in links}
    known = {row.url_key: row for row in conn.execute(_SITEMAPS, {"b_keys": sorted(keys)})}

    def has_changed(key: str, link: Link) -> bool:
        row = known.get(key)
        if row is None or row.read_at is None:
            return True
        if link.hint.modified_at is not None:
            return bool(link.hint.modified_at > row.read_at)
        return bool(row.read_at <= now - RECENT) or (row.shown_at is not None and bool(row.shown_at > now - RECENT))

    return [link for key, link in keys.items() if has_changed(key, link)]


def select_missing(conn: Connection, links: Sequence[Link], now: datetime) -> list[Link]:
    """Of the listings that a homepage names, those to try again that were not there when they were read last."""
    keys = {make_key(link.url): link for link in links}
    missing = conn.execute(_MISSING, {"b_keys": sorted(keys)}) if keys else ()
    return [keys[row.url_key] for row in missing if row.ended_at + compute_failing_interval(now - row.failing_since) <= now]


# ---- plans


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

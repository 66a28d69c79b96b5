"""The polls of listings: what each poll showed.

The crawler records facts only: that a listing was polled (`record`), and which pages it showed for the first time (`record_sightings`).
A poll unsets the listing's plan, and the scheduler makes the next one (`poll_plans`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Engine, bindparam, func, select

from newsmill.discovery.url_dates import Period, is_page_wanted
from newsmill.model import Kind, Link
from newsmill.polling.listings import compute_failing_interval
from newsmill.storage.database import reading
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import ledger, listing_schedules, sightings
from newsmill.storage.statements import IS_LISTING, state_is
from newsmill.text.urls import make_key

SITEMAP_NEWS_AGE = timedelta(days=7)  # of the pages in sitemaps whose sightings are recorded: older ones say nothing about polls
RECENT = timedelta(days=7)  # a part of a sitemap index that showed a new page since then is polled like other listings

OF_LISTING = listing_schedules.c.ledger_id == bindparam("b_id")
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
_READ_AT = select(listing_schedules.c.read_at).where(OF_LISTING)
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


class Polls:
    """The polls of listings. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def select_changed(self, links: Sequence[Link], *, now: datetime) -> list[Link]:
        """Of the parts that a sitemap index names, those to poll now: changed since their last poll.

        Without a date, those with news, and the others once a week: a site that publishes rarely may have only such parts.
        """
        with reading(self._engine) as conn:
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

    def select_missing(self, links: Sequence[Link], *, now: datetime) -> list[Link]:
        """Of the listings that a homepage names, those to try again that were not found when they were read last."""
        with reading(self._engine) as conn:
            keys = {make_key(link.url): link for link in links}
            missing = conn.execute(_MISSING, {"b_keys": sorted(keys)}) if keys else ()
            return [keys[row.url_key] for row in missing if row.ended_at + compute_failing_interval(now - row.failing_since) <= now]

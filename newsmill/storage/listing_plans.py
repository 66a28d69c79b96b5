"""Plans the polls of listings, and makes due those whose time has come; called in each pass of the scheduler.

The policy is `newsmill.discovery.schedule`; this module feeds it with what the ledger knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection, Engine

from newsmill.discovery.schedule import ListingFacts, NextPoll, Reason, compute_failing_interval, compute_today_factor, plan_poll
from newsmill.model import Kind, Outcome, Source
from newsmill.storage import source_patterns, websub
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import polls, sources
from newsmill.storage.ledger.links import FROM_BACKFILL
from newsmill.storage.ledger.polls import PolledListing
from newsmill.storage.ledger.sources import FROM_PLAN

MAX_PLANNED_PER_PASS = 500  # listings; one takes about a millisecond
MAX_POLLS_PER_MINUTE = 3000  # of all sources together, half of what one crawler can send


def plan_listings(engine: Engine, now: datetime, *, pass_seconds: float) -> dict[str, int]:
    """Plan the listings that were polled since the last pass, and make due those whose time has come; their number by source.

    `pass_seconds`: how often this is called. Raises ServiceError.
    """
    with reading(engine) as conn:
        if not polls.list_unplanned(conn, 1) and not polls.has_due(conn, now):
            return {}
    with writing(engine) as conn:
        for name, listings in groupby(polls.list_unplanned(conn, MAX_PLANNED_PER_PASS), key=lambda listing: listing.source):
            _plan(conn, name, list(listings), now)
        limit = max(1, int(MAX_POLLS_PER_MINUTE * pass_seconds / 60))
        due = polls.make_planned_due(conn, limit, now)
        for name in due:
            sources.note_polls(conn, name, None, now)
    return due


def _plan(conn: Connection, name: str | None, unplanned: Sequence[PolledListing], now: datetime) -> None:
    found = None if name is None else sources.get_enabled(conn, name)
    if found is not None:
        _plan_source(conn, *found, unplanned, now)
        return
    for listing in unplanned:  # of a paused source, or of none
        polls.plan(conn, listing, None, Reason.FIXED, now)


def _plan_source(conn: Connection, source: Source, added_at: datetime, unplanned: Sequence[PolledListing], now: datetime) -> None:
    if not source.is_adaptive:
        for listing in unplanned:
            is_failing = listing.failing_since is not None
            next_poll = _plan_failing(listing, now) if is_failing else None
            polls.plan(conn, listing, next_poll, Reason.FAILING if is_failing else Reason.FIXED, now)
        return
    listings = {listing.id: listing for listing in polls.list_polled(conn, source.name) if is_polled(listing, now)}
    pushed = {number for number, subscription in websub.list_active(conn, listings, now).items() if subscription.is_proven}
    pattern = source_patterns.read(conn, source.name, added_at, list(listings.values()), now)
    today = compute_today_factor(pattern.rates, source_patterns.count_recent(conn, source.name, now), now)
    copies = sum(number not in pattern.shares for number in listings)
    for listing in unplanned:
        if listing.id not in listings:
            polls.plan(conn, listing, None, Reason.FIXED, now)
    # The others are planned again: a listing that fails, or shows more than before, changes what the rest is good for.
    new = {listing.id for listing in unplanned}
    planned: list[datetime] = []
    for listing in listings.values():
        if listing.id not in new and listing.next_poll_at is None:
            continue  # it is due
        facts = to_facts(listing, is_pushed=listing.id in pushed)
        next_poll = plan_poll(listing.id, facts, pattern, copies=copies, today=today, now=now, delay=source.politeness.delay)
        if listing.id in new or (next_poll.at, next_poll.reason) != (listing.next_poll_at, listing.reason):
            polls.plan(conn, listing, next_poll, next_poll.reason, now)
        planned.append(next_poll.at)
    sources.note_polls(conn, source.name, min(planned, default=None), None)


def is_polled(listing: PolledListing, now: datetime) -> bool:
    """Whether a listing is polled by itself: not a next page, an archive in a sitemap index, or one that was guessed and does not exist."""
    if listing.outcome in (Outcome.DENIED, Outcome.BAD_URL) or listing.found_by in ("section", FROM_BACKFILL):
        return False
    if listing.found_by == "sitemap":
        times = (listing.shown_at, listing.modified_at or listing.shown_at)
        return all(at is not None and at > now - polls.RECENT for at in times)
    return listing.found_by == FROM_PLAN or listing.outcome is not Outcome.GONE


def to_facts(listing: PolledListing, *, is_pushed: bool) -> ListingFacts:
    """What the policy needs to know about a listing. `is_pushed`: a hub sends its changes."""
    return ListingFacts(
        polled_at=listing.polled_at,
        polls=listing.reads,
        cache_seconds=listing.cache_seconds or 0.0,
        update_interval=listing.update_interval,
        failing_since=listing.failing_since,
        is_spider=listing.kind is Kind.SPIDER,
        is_feed=listing.kind is Kind.FEED,
        is_pushed=is_pushed,
    )


def _plan_failing(listing: PolledListing, now: datetime) -> NextPoll:
    assert listing.failing_since is not None
    return NextPoll(listing.polled_at + compute_failing_interval(now - listing.failing_since), Reason.FAILING)

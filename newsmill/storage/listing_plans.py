"""The plans of listings' polls: made from the publication pattern of their source, in each pass of the scheduler.

The policy is `newsmill.polling`; this module feeds it with what the ledger knows. The pattern of a source is its publication
rates, and which listings show which articles.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Connection, Engine

from newsmill.model import Kind, Outcome, Source
from newsmill.polling.listings import DEFAULT_FRESHNESS, ListingFacts, NextPoll, Reason, compute_failing_interval, fit_budget, plan_poll
from newsmill.polling.publication_rates import compute_today_factor
from newsmill.storage import websub
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import poll_plans, polls, sources
from newsmill.storage.ledger.poll_plans import PolledListing
from newsmill.storage.ledger.priority import FROM_BACKFILL, FROM_PLAN
from newsmill.storage.source_patterns import choose_checks, count_recent, read_pattern

MAX_PLANNED_PER_PASS = 500  # listings; one takes about a millisecond, and the pattern of a large paper 60 ms
MAX_TRANSACTION_SECONDS = 0.03  # after which the write lock of SQLite is given up between two sources


def plan_listings(
    engine: Engine, now: datetime, *, pass_seconds: float, polls_per_minute: int, freshness: timedelta = DEFAULT_FRESHNESS
) -> dict[str, int]:
    """Plan the listings that were polled since the last pass, and make due those whose time has come; their number by source.

    `pass_seconds`: how often this is called. `polls_per_minute`: the most listings that become due, of all sources.
    `freshness`: of sources without this key. Raises ServiceError.
    """
    with reading(engine) as conn:
        unplanned = sorted(poll_plans.list_unplanned(conn, MAX_PLANNED_PER_PASS), key=lambda listing: listing.source or "")
        if not unplanned and not poll_plans.has_due(conn, now):
            return {}
    groups = [(name, list(listings)) for name, listings in groupby(unplanned, key=lambda listing: listing.source)]
    while groups:
        with writing(engine) as conn:
            until = time.monotonic() + MAX_TRANSACTION_SECONDS
            _plan(conn, *groups.pop(), now, freshness)
            while groups and time.monotonic() < until:
                _plan(conn, *groups.pop(), now, freshness)
    with writing(engine) as conn:
        due = poll_plans.make_planned_due(conn, count_permitted(now, pass_seconds, polls_per_minute), now)
        for name in due:
            sources.note_polls(conn, name, None, now)
    return due


def count_permitted(now: datetime, pass_seconds: float, polls_per_minute: int) -> int:
    """How many polls a pass may begin, so that all passes together keep to `polls_per_minute`, also to one of less than one per pass."""
    until, since = now.timestamp(), now.timestamp() - pass_seconds
    return int(until * polls_per_minute // 60) - int(since * polls_per_minute // 60)


def _plan(conn: Connection, name: str | None, unplanned: Sequence[PolledListing], now: datetime, freshness: timedelta) -> None:
    found = None if name is None else sources.get_enabled(conn, name)
    if found is not None:
        _plan_source(conn, *found, unplanned, now, freshness)
        return
    for listing in unplanned:  # of a paused source, or of none
        poll_plans.plan(conn, listing, None, Reason.FIXED, now)


def _plan_source(
    conn: Connection, source: Source, added_at: datetime, unplanned: Sequence[PolledListing], now: datetime, freshness: timedelta
) -> None:
    if not source.is_adaptive:
        _plan_fixed(conn, unplanned, now)
        return
    listings = {listing.id: listing for listing in poll_plans.list_polled(conn, source.name) if is_polled(listing, now)}
    pushed = {number for number, subscription in websub.list_active(conn, listings, now).items() if subscription.is_proven}
    pattern = read_pattern(conn, source.name, added_at, list(listings.values()), pushed, now)
    today = compute_today_factor(pattern.rates, count_recent(conn, source.name, added_at, now), now)
    copies = sum(number not in pattern.shares for number in listings)
    for listing in unplanned:
        if listing.id not in listings:
            poll_plans.plan(conn, listing, None, Reason.FIXED, now)
    # The others are planned again: a listing that fails, or shows more than before, changes what the rest is good for.
    new = {listing.id for listing in unplanned}
    plans = {
        listing.id: plan_poll(
            listing.id,
            to_facts(listing, is_pushed=listing.id in pushed),
            pattern,
            copies=copies,
            today=today,
            now=now,
            freshness=source.freshness or freshness,
        )
        for listing in listings.values()
        if listing.id in new or listing.next_poll_at is not None  # the others are due
    }
    plans |= {number: NextPoll(now, Reason.CHECKED) for number in choose_checks(listings, pattern, pushed, now) if number in plans}
    plans = _fit_budgets(listings, plans, source.politeness.delay, now)
    for number, next_poll in plans.items():
        listing = listings[number]
        if number in new or (next_poll.at, next_poll.reason) != (listing.next_poll_at, listing.reason):
            poll_plans.plan(conn, listing, next_poll, next_poll.reason, now)
    sources.note_polls(conn, source.name, min((plan.at for plan in plans.values()), default=None), None)


def _plan_fixed(conn: Connection, unplanned: Sequence[PolledListing], now: datetime) -> None:
    """Plan the listings of a source with fixed intervals: only those that fail wait longer."""
    for listing in unplanned:
        is_failing = listing.failing_since is not None and is_polled(listing, now)
        next_poll = _plan_failing(listing, now) if is_failing else None
        poll_plans.plan(conn, listing, next_poll, Reason.FAILING if is_failing else Reason.FIXED, now)


def _fit_budgets(listings: Mapping[int, PolledListing], plans: Mapping[int, NextPoll], delay: float, now: datetime) -> dict[int, NextPoll]:
    """The plans within the budgets of their hosts. `delay`: seconds between two requests to a host, by the politeness of the source."""
    by_host: dict[str, list[PolledListing]] = {}
    for number in plans:
        by_host.setdefault(listings[number].host, []).append(listings[number])
    fitted: dict[int, NextPoll] = {}
    for group in by_host.values():
        polled_at = {listing.id: min(listing.polled_at, now) for listing in group}
        slowest = max(delay, *(listing.host_delay for listing in group))
        fitted |= fit_budget(polled_at, {number: plans[number] for number in polled_at}, slowest)
    return fitted


def is_polled(listing: PolledListing, now: datetime) -> bool:
    """Whether a listing has its own polls: not a next page, an archive in a sitemap index, or one that was guessed and does not exist."""
    if listing.outcome in (Outcome.DENIED, Outcome.BAD_URL) or listing.found_by in ("section", FROM_BACKFILL):
        return False
    if listing.found_by == "sitemap":
        times = (listing.shown_at, listing.modified_at or listing.shown_at)
        return all(at is not None and at > now - polls.RECENT for at in times)
    return listing.found_by == FROM_PLAN or listing.outcome is not Outcome.GONE or listing.reads > 0


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
        is_emptied=_is_emptied(listing),
    )


def _is_emptied(listing: PolledListing) -> bool:
    """Whether a listing has no entries, though it showed a new page in the days before. A sitemap of news may be empty."""
    if not listing.is_empty or listing.kind is Kind.SITEMAP or listing.shown_at is None:
        return False
    return listing.polled_at - listing.shown_at < polls.RECENT


def _plan_failing(listing: PolledListing, now: datetime) -> NextPoll:
    assert listing.failing_since is not None
    return NextPoll(min(listing.polled_at, now) + compute_failing_interval(now - listing.failing_since), Reason.FAILING)

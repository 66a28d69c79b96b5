"""When each listing of a source is polled next, and why: for the command line, the web pages and the HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from newsmill.context import AppContext
from newsmill.model import Kind, Source
from newsmill.polling.listings import MAX_CACHE_SECONDS, Reason, SourcePattern
from newsmill.sources.table_values import format_duration
from newsmill.storage.ledger.poll_plans import PolledListing
from newsmill.storage.source_patterns import SourcePatterns


class Why(StrEnum):
    """Why a listing is polled when it is."""

    LEAD = "lead"
    UNLEARNT = "unlearnt"
    COPY = "copy"
    SPIDER = "spider"
    PUSHED = "pushed"
    CACHED = "cached"
    ANNOUNCED = "announced"
    BUDGET = "budget"
    FAILING = "failing"
    EMPTIED = "emptied"
    CHECKED = "checked"
    FOLLOWED = "followed"
    FIXED = "fixed"
    PAUSED = "paused"
    UNPLANNED = "unplanned"


# Placeholders: {at}, the time since when it fails; {span}, a duration. The German texts are in a catalogue of the web pages.
WHY_TEXTS: Mapping[Why, str] = {
    Why.LEAD: "it shows articles first",
    Why.UNLEARNT: "nothing is learned yet",
    Why.COPY: "other listings show all that it shows",
    Why.SPIDER: "a spider runs every quarter of an hour",
    Why.PUSHED: "its hub sends every change",
    Why.CACHED: "the server serves a copy that it renews every {span}",
    Why.ANNOUNCED: "nothing is learned yet; by its own account it changes every {span}",
    Why.BUDGET: "its host permits few requests, and articles need most of them",
    Why.FAILING: "it has failed since {at}",
    Why.EMPTIED: "it had entries and shows none any more",
    Why.CHECKED: "no listing has shown a new article for improbably long",
    Why.FOLLOWED: "polled from the listing that leads to it",
    Why.FIXED: "the source has fixed times",
    Why.PAUSED: "the source is paused",
    Why.UNPLANNED: "the scheduler plans it next",
}


@dataclass(frozen=True, slots=True)
class ListingSchedule:
    """The schedule of one listing that was polled."""

    id: int
    kind: Kind
    url: str
    why: Why
    polled_at: datetime  # the last poll
    next_poll_at: datetime | None  # None: it is due, or polled at no time of its own
    is_due: bool
    interval_seconds: float | None  # from the last poll to the next
    shown_at: datetime | None  # the last time it showed a page that it had not shown before
    share: float | None  # of the source's articles: those that no better listing shows; None: not known yet
    failing_since: datetime | None
    span: timedelta | None  # the placeholder of `why`


@dataclass(frozen=True, slots=True)
class SourceSchedule:
    """The listings of a source, by id, and the pattern that its plan rests on."""

    listings: tuple[ListingSchedule, ...]
    pattern: SourcePattern | None

    @property
    def by_time(self) -> list[ListingSchedule]:
        """Due listings first, those without a time last."""
        return sorted(self.listings, key=lambda one: (not one.is_due, one.next_poll_at is None, one.next_poll_at or one.polled_at, one.id))


def read_schedule(context: AppContext, source: Source) -> SourceSchedule:
    """The schedule of a source. May raise ServiceError."""
    pattern = SourcePatterns(context.engine).get(source.name) if source.is_adaptive else None
    return SourceSchedule(tuple(_describe(one, source, pattern) for one in context.ledger.poll_plans.list_polled(source.name)), pattern)


def _describe(listing: PolledListing, source: Source, pattern: SourcePattern | None) -> ListingSchedule:
    is_learnt = pattern is not None and bool(pattern.shares)
    why = choose_why(listing, source, is_learnt=is_learnt)
    next_poll_at = None if why is Why.PAUSED else listing.next_poll_at
    spans = {Why.CACHED: timedelta(seconds=min(listing.cache_seconds or 0.0, MAX_CACHE_SECONDS)), Why.ANNOUNCED: listing.update_interval}
    return ListingSchedule(
        id=listing.id,
        kind=listing.kind,
        url=listing.url,
        why=why,
        polled_at=listing.polled_at,
        next_poll_at=next_poll_at,
        is_due=next_poll_at is None and why not in (Why.FOLLOWED, Why.FIXED, Why.PAUSED, Why.UNPLANNED),
        interval_seconds=None if next_poll_at is None else (next_poll_at - listing.polled_at).total_seconds(),
        shown_at=listing.shown_at,
        share=None if pattern is None or not is_learnt or why is Why.FOLLOWED else pattern.shares.get(listing.id, 0.0),
        failing_since=listing.failing_since,
        span=spans.get(why),
    )


def choose_why(listing: PolledListing, source: Source, *, is_learnt: bool) -> Why:
    """The reason of a plan. `is_learnt`: it is known which listings show which articles."""
    if not source.enabled:
        return Why.PAUSED
    if listing.planned_at is None:
        return Why.UNPLANNED
    match listing.reason:
        case Reason.LEAD if not is_learnt:
            return Why.UNLEARNT
        case None | Reason.FIXED:
            return Why.FOLLOWED if source.is_adaptive else Why.FIXED
        case reason:
            return Why(reason)


def describe_why(listing: ListingSchedule) -> str:
    """The reason of a plan in English."""
    at = "" if listing.failing_since is None else f"{listing.failing_since:%Y-%m-%d %H:%M} UTC"
    span = "" if listing.span is None else format_duration(listing.span)
    return WHY_TEXTS[listing.why].format(at=at, span=span)


def describe_times(source: Source, freshness: timedelta) -> str:
    """How the polls of a source are timed, in English. `freshness`: of sources without this key."""
    if source.cron is not None:
        return f"all listings at the times of the cron expression {source.cron} (UTC)"
    if source.every is not None:
        return f"all listings every {format_duration(source.every)}"
    return f"each listing when news is expected (adaptive, freshness {format_duration(source.freshness or freshness)})"


def english_texts() -> dict[str, str]:
    """All texts by their keys in a catalogue of the web pages."""
    return {f"schedule.why.{why}": text for why, text in WHY_TEXTS.items()}

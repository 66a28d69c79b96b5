"""Why a source needs an administrator: the states and causes of its health, what is observed of it, and what proves a cause. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from newsmill.health.rhythm import Rhythm
from newsmill.model import Kind, Outcome, OutcomeRecord, get_refusal


class HealthState(StrEnum):
    """What an administrator should know about a source first."""

    OK = "ok"
    FAILING = "failing"  # a listing, or every page so far, fails; nothing is proven yet
    EMPTY = "empty"  # its listings were read more than once, and no page was found
    SLOW = "slow"  # its host takes long for a response
    QUIET = "quiet"  # fewer documents than usual, but its history knows such times
    STALE = "stale"  # nothing new for a time that its history makes improbable, or a listing has lost its entries
    BLOCKED = "blocked"  # the site answers, but refuses this client
    EXTRACTION_BROKEN = "extraction_broken"  # pages or listings arrive, but their content cannot be read as before
    MOVED = "moved"  # a listing has moved away from its URL
    GONE = "gone"  # no listing can be reached
    PAUSED = "paused"
    UNREAD = "unread"  # no listing has been read yet


class Cause(StrEnum):
    """Why a source needs an administrator."""

    REFUSED = "refused"
    BOT_FILTER = "bot_filter"
    ROBOTS = "robots"
    CONSENT_WALL = "consent_wall"
    PAYWALL = "paywall"
    LAYOUT_CHANGE = "layout_change"
    NO_TEXT = "no_text"
    NEEDS_SCRIPT = "needs_script"
    NO_ARTICLES = "no_articles"
    INVALID_LISTING = "invalid_listing"
    INVALID_PAGES = "invalid_pages"
    DEAD_HOST = "dead_host"
    SERVER_ERROR = "server_error"
    MISSING_LISTINGS = "missing_listings"
    MOVED_LISTING = "moved_listing"
    EMPTIED_LISTING = "emptied_listing"
    SILENT = "silent"
    NO_OUTPUT = "no_output"  # of the whole installation, not of a source


# In the order of their weight: the first open cause is the state of a source.
CAUSE_STATES: Mapping[Cause, HealthState] = {
    Cause.DEAD_HOST: HealthState.GONE,
    Cause.SERVER_ERROR: HealthState.GONE,
    Cause.REFUSED: HealthState.BLOCKED,
    Cause.BOT_FILTER: HealthState.BLOCKED,
    Cause.ROBOTS: HealthState.BLOCKED,
    Cause.CONSENT_WALL: HealthState.BLOCKED,
    Cause.PAYWALL: HealthState.BLOCKED,
    Cause.MISSING_LISTINGS: HealthState.GONE,
    Cause.LAYOUT_CHANGE: HealthState.EXTRACTION_BROKEN,
    Cause.NO_TEXT: HealthState.EXTRACTION_BROKEN,
    Cause.NEEDS_SCRIPT: HealthState.EXTRACTION_BROKEN,
    Cause.NO_ARTICLES: HealthState.EXTRACTION_BROKEN,
    Cause.INVALID_LISTING: HealthState.EXTRACTION_BROKEN,
    Cause.INVALID_PAGES: HealthState.EXTRACTION_BROKEN,
    Cause.MOVED_LISTING: HealthState.MOVED,
    Cause.EMPTIED_LISTING: HealthState.STALE,
    Cause.SILENT: HealthState.STALE,
    Cause.NO_OUTPUT: HealthState.STALE,
}
_HOST_FAILURES = frozenset(
    {Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.TLS, Outcome.CONNECTION}
    | {Outcome.ROBOTS_UNREACHABLE, Outcome.PROXY_ERROR, Outcome.SSRF_BLOCKED}
)
PAGE_CAUSES: Mapping[Outcome, Cause] = {
    Outcome.CONSENT_WALL: Cause.CONSENT_WALL,
    Outcome.PAYWALL: Cause.PAYWALL,
    Outcome.NO_TEXT: Cause.NO_TEXT,
    Outcome.NEEDS_SCRIPT: Cause.NEEDS_SCRIPT,
    Outcome.NOT_ARTICLE: Cause.NO_ARTICLES,
    Outcome.BLOCKED: Cause.BOT_FILTER,
}
HOST_CAUSES = frozenset({Cause.DEAD_HOST, Cause.SERVER_ERROR, Cause.REFUSED, Cause.BOT_FILTER})  # of a host rather than of one listing
FETCH_CAUSES = HOST_CAUSES | {Cause.ROBOTS, Cause.MISSING_LISTINGS}
EXTRACTION_CAUSES = frozenset(PAGE_CAUSES.values()) - {Cause.BOT_FILTER}

LONGEST_WINDOW = timedelta(hours=24)  # of outcomes
PROOF = timedelta(minutes=30)  # from the first failed try to a later one: a restart, or a wall of some minutes, is over by then


def classify_failure(failure: OutcomeRecord, *, is_page: bool = False) -> Cause:
    """The cause of a failed listing or page."""
    if failure.outcome is Outcome.HTTP_ERROR:
        return Cause.REFUSED if get_refusal(failure) or (failure.detail or "").startswith("HTTP 4") else Cause.SERVER_ERROR
    if failure.outcome in (Outcome.GONE, Outcome.OFF_SITE):
        return Cause.MISSING_LISTINGS
    if failure.outcome in _HOST_FAILURES:
        return Cause.DEAD_HOST
    special = {Outcome.BLOCKED: Cause.BOT_FILTER, Outcome.ROBOTS_DISALLOWED: Cause.ROBOTS}
    return special.get(failure.outcome, Cause.INVALID_PAGES if is_page else Cause.INVALID_LISTING)


@dataclass(frozen=True, slots=True)
class ListingRecord:
    """What is known about one listing that the source needs."""

    url: str
    kind: Kind
    failure: OutcomeRecord | None = None  # None: the last try succeeded, or there was none
    failing_since: datetime | None = None
    tried_at: datetime | None = None  # the last try that ended, with success or without
    first_seen_at: datetime | None = None
    had_entries: bool = False  # at some time
    emptied_at: datetime | None = None  # when it was first seen without entries after it had some
    is_recovering: bool = False  # it does not fail any more, but was not read twice since then


@dataclass(frozen=True, slots=True)
class PageFailures:
    """Pages that failed since the newest document: how many, what most of them fail with, from when to when, and one of them."""

    count: int
    failure: OutcomeRecord
    since: datetime
    tried_at: datetime
    url: str
    is_all: bool = False  # no page of the source was fetched so far


@dataclass(frozen=True, slots=True)
class OutcomeWindow:
    """The outcomes of pages since a time, and of all pages before it."""

    since: datetime
    recent: Mapping[Outcome, int]
    earlier: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class LayoutFit:
    """How the newest documents fit the profile of their site. `version_since`: from when on the newest version has another layout."""

    site: str
    version: int
    recent: float | None = None  # median share of their words at known positions; None: too few documents
    usual: float | None = None
    words: int | None = None  # of the newest documents, in the median
    usual_words: int | None = None
    has_changed: bool = False
    version_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known about a source at the time `at`."""

    at: datetime
    listings: Sequence[ListingRecord] = ()
    pages: PageFailures | None = None
    windows: Sequence[OutcomeWindow] = ()  # the shortest first
    layout: LayoutFit | None = None
    rhythm: Rhythm = field(default_factory=Rhythm)
    last_document_at: datetime | None = None
    active_hours_of_day: int = 0  # of the last 24 hours
    is_enabled: bool = True
    has_waiting_pages: bool = False  # new pages that were not tried yet, or are not extracted yet
    has_pages: bool = True  # at least one page was found
    reads: int = 0  # of the listing that was read most often
    response_seconds: float | None = None  # of its slowest host, for a usual response

    @property
    def read_at(self) -> datetime | None:
        """When a listing was last read. Later nobody looked whether the source publishes. A clock that was ahead may have written it."""
        times = [one.tried_at for one in self.listings if one.failure is None and one.tried_at is not None]
        return min(max(times), self.at) if times else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers, times and URLs that prove a cause."""

    failure: OutcomeRecord | None = None
    url: str | None = None
    new_url: str | None = None
    failing: int = 0  # listings or pages with this failure
    of: int = 0
    is_pages: bool = False  # they are pages, not listings
    last_at: datetime | None = None  # of the newest document
    expected: float | None = None  # active hours since then
    probability: float | None = None  # that it is chance
    site: str | None = None
    fit: float | None = None  # share of the words of the newest documents at known positions
    usual: float | None = None  # of fit, or of the share of pages with this outcome
    words: int | None = None  # of the newest documents, in the median
    usual_words: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that is proven."""

    cause: Cause
    since: datetime
    evidence: Evidence = Evidence()

"""The states and causes of a source's health, and which cause a failure belongs to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from newsmill.failures import get_refusal
from newsmill.model import Outcome, OutcomeRecord


class HealthState(StrEnum):
    """What an administrator should know about a source first."""

    OK = "ok"
    QUIET = "quiet"  # fewer documents than usual, but its history knows such times
    STALE = "stale"  # nothing new for a time that its history makes improbable, or a listing has lost its entries
    BLOCKED = "blocked"  # the site answers, but refuses this client
    EXTRACTION_BROKEN = "extraction_broken"  # pages or listings arrive, but their content cannot be read as before
    MOVED = "moved"  # a listing is no longer at its URL
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
    Cause.MOVED_LISTING: HealthState.MOVED,
    Cause.EMPTIED_LISTING: HealthState.STALE,
    Cause.SILENT: HealthState.STALE,
    Cause.NO_OUTPUT: HealthState.STALE,
}
_HOST_FAILURES = frozenset(
    {Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.TLS, Outcome.CONNECTION, Outcome.DATA_LOSS}
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

PROOF = timedelta(minutes=30)  # from the first failed try to a later one: a restart, or a wall of some minutes, is over by then


def classify_failure(failure: OutcomeRecord) -> Cause:
    """The cause of a failed listing or page."""
    if failure.outcome is Outcome.HTTP_ERROR:
        return Cause.REFUSED if get_refusal(failure) or (failure.detail or "").startswith("HTTP 4") else Cause.SERVER_ERROR
    if failure.outcome in (Outcome.GONE, Outcome.OFF_SITE):
        return Cause.MISSING_LISTINGS
    if failure.outcome in _HOST_FAILURES:
        return Cause.DEAD_HOST
    special = {Outcome.BLOCKED: Cause.BOT_FILTER, Outcome.ROBOTS_DISALLOWED: Cause.ROBOTS}
    return special.get(failure.outcome, Cause.INVALID_LISTING)

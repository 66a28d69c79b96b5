"""Outcomes of URLs, in a table with their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from newsmill.text.sentences import Detail


class State(StrEnum):
    """The state of a ledger row: `due → fetching → fetched → processing`, then one of the four final states."""

    DUE = "due"
    FETCHING = "fetching"
    FETCHED = "fetched"
    PROCESSING = "processing"
    DONE = "done"
    DROPPED = "dropped"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Outcome(StrEnum):
    """The outcome of a URL. `OUTCOMES` gives its state and its meaning."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    LISTED = "listed"
    NOT_MODIFIED = "not_modified"
    EMPTY_LISTING = "empty_listing"

    DUPLICATE = "duplicate"
    NOT_ARTICLE = "not_article"
    NO_TEXT = "no_text"
    CONSENT_WALL = "consent_wall"
    PAYWALL = "paywall"
    SOFT_404 = "soft_404"
    NEEDS_SCRIPT = "needs_script"
    NOT_HTML = "not_html"
    GONE = "gone"
    ROBOTS_DISALLOWED = "robots_disallowed"
    DENIED = "denied"
    OFF_SITE = "off_site"
    REDIRECTED = "redirected"
    DISCARDED = "discarded"
    TAKEDOWN = "takedown"

    BAD_URL = "bad_url"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    TLS = "tls"
    CONNECTION = "connection"
    DATA_LOSS = "data_loss"
    HTTP_ERROR = "http_error"
    BLOCKED = "blocked"
    TOO_LARGE = "too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    REDIRECT_LOOP = "redirect_loop"
    BAD_REDIRECT = "bad_redirect"
    SSRF_BLOCKED = "ssrf_blocked"
    ROBOTS_UNREACHABLE = "robots_unreachable"
    PROXY_ERROR = "proxy_error"
    MIDDLEWARE_ERROR = "middleware_error"
    BAD_LISTING = "bad_listing"
    BAD_ENCODING = "bad_encoding"
    ARCHIVE_DAMAGED = "archive_damaged"
    SPIDER_FAILED = "spider_failed"

    DIED = "died"
    DEADLINE = "deadline"
    TOO_DEEP = "too_deep"


@dataclass(frozen=True, slots=True)
class OutcomeFacts:
    """What an outcome means."""

    state: State
    label: str  # on web pages
    meaning: str
    failure: str | None = None  # the failure of a listing in a few words; None: the meaning
    passes: bool = False  # a failure of the host, the network or the operator's own code, which passes, rather than of the page
    shows_detail: bool = False  # the detail follows the failure


OUTCOMES: Mapping[Outcome, OutcomeFacts] = {
    Outcome.STORED: OutcomeFacts(State.DONE, "stored", "Document stored"),
    Outcome.UNCHANGED: OutcomeFacts(State.DONE, "unchanged", "Fetched again; the content of the document is the same"),
    Outcome.LISTED: OutcomeFacts(State.DONE, "read", "Feed, sitemap or section read, or spider run; it has links"),
    Outcome.NOT_MODIFIED: OutcomeFacts(State.DONE, "not modified", "HTTP 304: not modified since the last fetch"),
    Outcome.EMPTY_LISTING: OutcomeFacts(State.DONE, "empty listing", "Feed, sitemap or section read, or spider run; it has no links"),
    Outcome.DUPLICATE: OutcomeFacts(State.DROPPED, "duplicate", "Another URL of a stored document (same canonical URL, or same text)"),
    Outcome.NOT_ARTICLE: OutcomeFacts(
        State.DROPPED,
        "not an article",
        "Not an article: an index, tag, author, search or other page (see detail)",
        failure="pages are not articles",
    ),
    Outcome.NO_TEXT: OutcomeFacts(State.DROPPED, "no text", "The page has no article text", failure="pages have no text"),
    Outcome.CONSENT_WALL: OutcomeFacts(
        State.DROPPED,
        "consent wall",
        "The site showed a consent dialog instead of the article",
        failure="consent dialog instead of articles",
    ),
    Outcome.PAYWALL: OutcomeFacts(State.DROPPED, "paywall", "Only a teaser is readable; the rest is behind a paywall", failure="paywall"),
    Outcome.SOFT_404: OutcomeFacts(State.DROPPED, "soft 404", "The page says 'not found' or 'out of order' with HTTP 200"),
    Outcome.NEEDS_SCRIPT: OutcomeFacts(
        State.DROPPED, "needs JavaScript", "The page shows its text only with JavaScript", failure="pages need JavaScript"
    ),
    Outcome.NOT_HTML: OutcomeFacts(State.DROPPED, "not HTML", "The body is not HTML (an image, a PDF, a binary file)"),
    Outcome.GONE: OutcomeFacts(State.DROPPED, "gone", "HTTP 404 or 410: not found", failure="not found", shows_detail=True),
    Outcome.ROBOTS_DISALLOWED: OutcomeFacts(
        State.DROPPED, "blocked by robots.txt", "Blocked by robots.txt", failure="blocked by robots.txt"
    ),
    Outcome.DENIED: OutcomeFacts(
        State.DROPPED, "denied by the source settings", "Excluded by the allow or deny patterns of the source, or by a middleware"
    ),
    Outcome.OFF_SITE: OutcomeFacts(
        State.DROPPED, "off site", "Redirected to a site that does not belong to the source", failure="redirected to another site"
    ),
    Outcome.REDIRECTED: OutcomeFacts(
        State.DROPPED, "redirects to another site", "Redirects to another site, whose URL is fetched in its place (see detail)"
    ),
    Outcome.DISCARDED: OutcomeFacts(State.DROPPED, "discarded", "Dropped from quarantine by a user"),
    Outcome.TAKEDOWN: OutcomeFacts(
        State.DROPPED, "taken down", "Removed at somebody's demand (see detail); it is not fetched or stored again"
    ),
    Outcome.BAD_URL: OutcomeFacts(State.FAILED, "invalid URL", "Not an http(s) URL that can be fetched"),
    Outcome.DNS: OutcomeFacts(State.FAILED, "unknown host", "Unknown host name", failure="host not found", passes=True),
    Outcome.REFUSED: OutcomeFacts(
        State.FAILED, "connection refused", "The host refused the connection", failure="connection refused", passes=True
    ),
    Outcome.TIMEOUT: OutcomeFacts(
        State.FAILED, "timeout", "The response was not complete before the deadline", failure="no response in time", passes=True
    ),
    Outcome.TLS: OutcomeFacts(
        State.FAILED,
        "no valid TLS connection",
        "The certificate is not valid, or the server refused TLS (see detail)",
        passes=True,
        shows_detail=True,
    ),
    Outcome.CONNECTION: OutcomeFacts(
        State.FAILED, "connection error", "The connection broke, or the response was not HTTP", failure="connection broken", passes=True
    ),
    Outcome.DATA_LOSS: OutcomeFacts(
        State.FAILED,
        "incomplete body",
        "The body is shorter than announced, or cut off",
        failure="incomplete body",
        passes=True,
        shows_detail=True,
    ),
    Outcome.HTTP_ERROR: OutcomeFacts(State.FAILED, "HTTP error", "HTTP error status (see detail)", shows_detail=True),
    Outcome.BLOCKED: OutcomeFacts(
        State.FAILED, "blocked by a bot filter", "Blocked by a bot filter, twice (see detail)", failure="blocked by a bot filter"
    ),
    Outcome.TOO_LARGE: OutcomeFacts(State.FAILED, "too large", "The body or its document is too large", failure="too large"),
    Outcome.TOO_MANY_HEADERS: OutcomeFacts(State.FAILED, "too many headers", "The response has too many header lines"),
    Outcome.REDIRECT_LOOP: OutcomeFacts(State.FAILED, "redirect loop", "Too many redirects, or a redirect loop", failure="redirect loop"),
    Outcome.BAD_REDIRECT: OutcomeFacts(State.FAILED, "invalid redirect", "Redirect without a valid target", failure="invalid redirect"),
    Outcome.SSRF_BLOCKED: OutcomeFacts(
        State.FAILED,
        "private network",
        "Private IP address, or a port that is not 80 or 443; NEWSMILL_ALLOW_NETS permits networks",
        failure="private network",
        shows_detail=True,
    ),
    Outcome.ROBOTS_UNREACHABLE: OutcomeFacts(
        State.FAILED,
        "robots.txt unreachable",
        "robots.txt is unreachable (5xx or no response), so fetching is not allowed (RFC 9309)",
        failure="robots.txt unreachable",
        passes=True,
        shows_detail=True,
    ),
    Outcome.PROXY_ERROR: OutcomeFacts(
        State.FAILED, "proxy error", "The proxy cannot be used, or refused the connection (see detail)", failure="proxy error", passes=True
    ),
    Outcome.MIDDLEWARE_ERROR: OutcomeFacts(
        State.FAILED, "middleware error", "A Scrapy middleware of your settings failed (see detail)", passes=True
    ),
    Outcome.BAD_LISTING: OutcomeFacts(
        State.FAILED, "invalid listing", "The feed or sitemap is invalid (see detail)", failure="invalid listing", shows_detail=True
    ),
    Outcome.BAD_ENCODING: OutcomeFacts(State.FAILED, "invalid encoding", "The compression of the body is broken or unknown"),
    Outcome.ARCHIVE_DAMAGED: OutcomeFacts(State.FAILED, "archive damaged", "The archived page cannot be read; a retry fetches it again"),
    Outcome.SPIDER_FAILED: OutcomeFacts(
        State.FAILED,
        "spider failed",
        "The source's spider crashed, exceeded a limit or had only errors (see detail and the log)",
        failure="spider failed",
    ),
    Outcome.DIED: OutcomeFacts(State.QUARANTINED, "crashed", "Extraction crashed three times"),
    Outcome.DEADLINE: OutcomeFacts(
        State.QUARANTINED, "time limit exceeded", "Extraction, or storing the document, exceeded its time limit"
    ),
    Outcome.TOO_DEEP: OutcomeFacts(State.QUARANTINED, "nested too deeply", "The page is nested too deeply to parse"),
}


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The outcome of one URL, with details as text. `may_pass`: a fetch is repeated although the outcome alone would be final."""

    outcome: Outcome
    detail: Detail | None = None
    may_pass: bool = False


NETWORK_FAILURES = frozenset(outcome for outcome, facts in OUTCOMES.items() if facts.passes)
_REFUSALS = ("HTTP 401", "HTTP 403", "HTTP 429", "HTTP 451")  # the server does not want this client


def get_refusal(failure: OutcomeRecord) -> str | None:
    """ "HTTP 403" if the server refuses this client with that status; None for other failures."""
    status = (failure.detail or "")[:8]
    return status if failure.outcome is Outcome.HTTP_ERROR and status in _REFUSALS else None


def describe_failure(failure: OutcomeRecord) -> str:
    """The failure in a few words.

    >>> describe_failure(OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"))
    'blocked: HTTP 403'
    >>> describe_failure(OutcomeRecord(Outcome.DNS, "no address for paper.example"))
    'host not found'
    """
    if (status := get_refusal(failure)) is not None:
        return f"blocked: {status}"
    facts = OUTCOMES[failure.outcome]
    if facts.shows_detail and failure.detail:
        return f"{facts.failure}: {failure.detail}" if facts.failure else failure.detail
    return facts.failure or facts.meaning

"""Outcomes of URLs, in a table with their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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


OUTCOMES: Mapping[Outcome, tuple[State, str]] = {
    Outcome.STORED: (State.DONE, "Document stored"),
    Outcome.UNCHANGED: (State.DONE, "Fetched again; the content of the document is the same"),
    Outcome.LISTED: (State.DONE, "Feed, sitemap or section read, or spider run; it has links"),
    Outcome.NOT_MODIFIED: (State.DONE, "HTTP 304: not modified since the last fetch"),
    Outcome.EMPTY_LISTING: (State.DONE, "Feed, sitemap or section read, or spider run; it has no links"),
    Outcome.DUPLICATE: (State.DROPPED, "Another URL of a stored document (same canonical URL, or same text)"),
    Outcome.NOT_ARTICLE: (State.DROPPED, "Not an article: an index, tag, author, search or other page (see detail)"),
    Outcome.NO_TEXT: (State.DROPPED, "The page has no article text"),
    Outcome.CONSENT_WALL: (State.DROPPED, "The site showed a consent dialog instead of the article"),
    Outcome.PAYWALL: (State.DROPPED, "Only a teaser is readable; the rest is behind a paywall"),
    Outcome.SOFT_404: (State.DROPPED, "The page says 'not found' or 'out of order' with HTTP 200"),
    Outcome.NEEDS_SCRIPT: (State.DROPPED, "The page shows its text only with JavaScript"),
    Outcome.NOT_HTML: (State.DROPPED, "The body is not HTML (an image, a PDF, a binary file)"),
    Outcome.GONE: (State.DROPPED, "HTTP 404 or 410: not found"),
    Outcome.ROBOTS_DISALLOWED: (State.DROPPED, "Blocked by robots.txt"),
    Outcome.DENIED: (State.DROPPED, "Excluded by the allow or deny patterns of the source, or by a middleware"),
    Outcome.OFF_SITE: (State.DROPPED, "Redirected to a site that does not belong to the source"),
    Outcome.REDIRECTED: (State.DROPPED, "Redirects to another site, whose URL is fetched in its place (see detail)"),
    Outcome.DISCARDED: (State.DROPPED, "Dropped from quarantine by a user"),
    Outcome.TAKEDOWN: (State.DROPPED, "Removed at somebody's demand (see detail); it is not fetched or stored again"),
    Outcome.BAD_URL: (State.FAILED, "Not an http(s) URL that can be fetched"),
    Outcome.DNS: (State.FAILED, "Unknown host name"),
    Outcome.REFUSED: (State.FAILED, "The host refused the connection"),
    Outcome.TIMEOUT: (State.FAILED, "The response was not complete before the deadline"),
    Outcome.TLS: (State.FAILED, "The certificate is not valid, or the server refused TLS (see detail)"),
    Outcome.CONNECTION: (State.FAILED, "The connection broke, or the response was not HTTP"),
    Outcome.DATA_LOSS: (State.FAILED, "The body was shorter than announced"),
    Outcome.HTTP_ERROR: (State.FAILED, "HTTP error status (see detail)"),
    Outcome.BLOCKED: (State.FAILED, "Blocked by a bot filter, twice (see detail)"),
    Outcome.TOO_LARGE: (State.FAILED, "The body or its document is too large"),
    Outcome.TOO_MANY_HEADERS: (State.FAILED, "The response has too many header lines"),
    Outcome.REDIRECT_LOOP: (State.FAILED, "Too many redirects, or a redirect loop"),
    Outcome.BAD_REDIRECT: (State.FAILED, "Redirect without a valid target"),
    Outcome.SSRF_BLOCKED: (State.FAILED, "Private IP address; NEWSMILL_ALLOW_NETS permits networks"),
    Outcome.ROBOTS_UNREACHABLE: (State.FAILED, "robots.txt is unreachable (5xx or no response), so fetching is not allowed (RFC 9309)"),
    Outcome.PROXY_ERROR: (State.FAILED, "The proxy cannot be used, or refused the connection (see detail)"),
    Outcome.MIDDLEWARE_ERROR: (State.FAILED, "A Scrapy middleware of yours failed (see detail)"),
    Outcome.BAD_LISTING: (State.FAILED, "The feed or sitemap is invalid (see detail)"),
    Outcome.BAD_ENCODING: (State.FAILED, "The compression of the body is broken or unknown"),
    Outcome.ARCHIVE_DAMAGED: (State.FAILED, "The archived page cannot be read; a retry fetches it again"),
    Outcome.SPIDER_FAILED: (State.FAILED, "The source's spider crashed, exceeded a limit or had only errors (see detail and the log)"),
    Outcome.DIED: (State.QUARANTINED, "Extraction crashed three times"),
    Outcome.DEADLINE: (State.QUARANTINED, "Extraction, or storing the document, exceeded its time limit"),
    Outcome.TOO_DEEP: (State.QUARANTINED, "The page is nested too deeply to parse"),
}


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The outcome of one URL, with details as text. `may_pass`: a fetch is repeated although the outcome alone would be final."""

    outcome: Outcome
    detail: str | None = None
    may_pass: bool = False


NETWORK_FAILURES = frozenset(
    {
        Outcome.DNS,
        Outcome.REFUSED,
        Outcome.TIMEOUT,
        Outcome.TLS,
        Outcome.CONNECTION,
        Outcome.DATA_LOSS,
        Outcome.ROBOTS_UNREACHABLE,
        Outcome.PROXY_ERROR,
        Outcome.MIDDLEWARE_ERROR,
    }
)
"""Failures of the host, the network or the operator's own code, which pass, rather than of the page."""


_REFUSALS = ("HTTP 401", "HTTP 403", "HTTP 429", "HTTP 451")  # the server does not want this client


_SHORT_NAMES = {
    Outcome.DNS: "host not found",
    Outcome.REFUSED: "connection refused",
    Outcome.TIMEOUT: "no response in time",
    Outcome.CONNECTION: "connection broken",
    Outcome.DATA_LOSS: "incomplete body",
    Outcome.BLOCKED: "blocked by a bot filter",
    Outcome.GONE: "not found",
    Outcome.ROBOTS_DISALLOWED: "blocked by robots.txt",
    Outcome.ROBOTS_UNREACHABLE: "robots.txt unreachable",
    Outcome.SSRF_BLOCKED: "private network (NEWSMILL_ALLOW_NETS permits networks)",
    Outcome.REDIRECT_LOOP: "redirect loop",
    Outcome.BAD_REDIRECT: "invalid redirect",
    Outcome.BAD_LISTING: "invalid feed, sitemap or page",
    Outcome.OFF_SITE: "redirected to another site",
    Outcome.TOO_LARGE: "too large",
    Outcome.SPIDER_FAILED: "spider failed",
    Outcome.PROXY_ERROR: "proxy error",
    Outcome.NEEDS_SCRIPT: "pages need JavaScript",
    Outcome.NOT_ARTICLE: "pages are not articles",
    Outcome.NO_TEXT: "pages have no text",
    Outcome.PAYWALL: "paywall",
    Outcome.CONSENT_WALL: "consent dialog instead of articles",
}


_NAMES_WITH_DETAIL = frozenset({Outcome.HTTP_ERROR, Outcome.GONE, Outcome.ROBOTS_UNREACHABLE, Outcome.TLS})


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
    name = _SHORT_NAMES.get(failure.outcome)
    if failure.outcome in _NAMES_WITH_DETAIL and failure.detail:
        return f"{name}: {failure.detail}" if name else failure.detail
    return name or OUTCOMES[failure.outcome][1]

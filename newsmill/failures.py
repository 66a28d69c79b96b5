"""Failures in a few words: "blocked: HTTP 403", "host not found"."""

from __future__ import annotations

from newsmill.model import OUTCOMES, Outcome, OutcomeRecord

NETWORK_FAILURES = frozenset(
    {
        Outcome.DNS,
        Outcome.REFUSED,
        Outcome.TIMEOUT,
        Outcome.CONNECTION,
        Outcome.DATA_LOSS,
        Outcome.ROBOTS_UNREACHABLE,
        Outcome.PROXY_ERROR,
        Outcome.MIDDLEWARE_ERROR,
    }
)
"""Failures of the host, the network or the operator's own code, which pass, rather than of the page."""

REFUSALS = ("HTTP 401", "HTTP 403", "HTTP 429", "HTTP 451")  # the server does not want this client
SHORT_NAMES = {
    Outcome.DNS: "host not found",
    Outcome.REFUSED: "connection refused",
    Outcome.TIMEOUT: "no response in time",
    Outcome.TLS: "invalid certificate",
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
NAMES_WITH_STATUS = frozenset({Outcome.HTTP_ERROR, Outcome.GONE, Outcome.ROBOTS_UNREACHABLE})


def get_refusal(failure: OutcomeRecord) -> str | None:
    """ "HTTP 403" if the server refuses this client with that status; None for other failures."""
    status = (failure.detail or "")[:8]
    return status if failure.outcome is Outcome.HTTP_ERROR and status in REFUSALS else None


def describe_failure(failure: OutcomeRecord) -> str:
    """The failure in a few words.

    >>> describe_failure(OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"))
    'blocked: HTTP 403'
    >>> describe_failure(OutcomeRecord(Outcome.DNS, "no address for paper.example"))
    'host not found'
    """
    if (status := get_refusal(failure)) is not None:
        return f"blocked: {status}"
    name = SHORT_NAMES.get(failure.outcome)
    if failure.outcome in NAMES_WITH_STATUS and failure.detail:
        return f"{name}: {failure.detail}" if name else failure.detail
    return name or OUTCOMES[failure.outcome][1]

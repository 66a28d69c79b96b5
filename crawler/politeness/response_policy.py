"""Decides what a response or a failed fetch means: use the body, retry later, or end with an outcome. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from scrapy.exceptions import IgnoreRequest

from crawler.politeness.publisher_orders import STOPPED_BY_OWNER
from newsmill.discovery.retry_after import RETRY_AFTER_STATUSES, parse_retry_after
from newsmill.model import NETWORK_FAILURES, Kind, Outcome, OutcomeRecord, Page
from newsmill.polling.retries import compute_retry_delay
from newsmill.text.sentences import Sentence, keyed

# And every 5xx: the server asks us to come back. 403 is how bot filters and overloaded servers refuse a client for some time.
TRANSIENT_STATUSES = frozenset({403, 408, 425, 429})
# Wrong once in a while; more requests would be a nuisance. 304: of a faulty cache, to a request without validators.
RETRY_ONCE_STATUSES = frozenset({304, 401, 451})
REFUSAL_STATUSES = frozenset({403, 429})  # of the client rather than of the page: several in a row slow the whole host down
GONE_STATUSES = frozenset({404, 410})

# Other failures lie with the URL or the server and end at once.
TRANSIENT_FAILURES = NETWORK_FAILURES | {Outcome.SPIDER_FAILED}

STOPPED_HOST_PAUSE_SECONDS = 60.0  # until a host is looked at again; it is not leased while its owner's stop is in force

# The media types of web pages. Others (image/…, application/pdf, …) are not archived.
PAGE_MEDIA_TYPES = frozenset(
    {"", "text/html", "application/xhtml+xml", "application/xml", "text/xml", "text/plain", "application/octet-stream"}
)
BINARY_SIGNATURES = (b"%PDF-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"RIFF", b"\x7fELF", b"MZ\x90\x00")


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Fetch the URL again at `at`, and nothing of its host before `host_until`. `failure` is how this try failed."""

    at: datetime
    detail: str
    host_until: datetime | None = None
    failure: OutcomeRecord | None = None


class RequestOutcomeError(IgnoreRequest):
    """Raised while a request is downloaded, with the outcome of its URL.

    It is an IgnoreRequest, because middlewares that retry or count failures of a proxy leave these alone: a URL into a private network must
    not make a proxy look broken.
    """

    def __init__(self, record: OutcomeRecord) -> None:
        super().__init__(record.detail or record.outcome.value)
        self.record = record


def decide_response(
    page: Page, kind: Kind, attempts: int, now: datetime, *, is_conditional: bool = False
) -> OutcomeRecord | RetryAt | None:
    """Decide by status, headers and first bytes. None: the body is what was requested. `attempts` counts the earlier fetches."""
    status = page.status
    if status == 304 and is_conditional:
        return OutcomeRecord(Outcome.NOT_MODIFIED)
    if status in GONE_STATUSES:
        return OutcomeRecord(Outcome.GONE, Sentence("HTTP {status}", status=status))
    if status in TRANSIENT_STATUSES or status >= 500:
        return _decide_transient(page, kind, attempts, now)
    if status in RETRY_ONCE_STATUSES and attempts == 0:
        return _retry(Sentence("HTTP {status}", status=status), Outcome.HTTP_ERROR, kind, attempts, now)
    if status not in (200, 203):
        return OutcomeRecord(Outcome.HTTP_ERROR, Sentence("HTTP {status}", status=status))
    return _find_media_refusal(page) if kind is Kind.PAGE else None


def decide_failure(failure: OutcomeRecord, attempts: int, now: datetime, kind: Kind = Kind.PAGE) -> OutcomeRecord | RetryAt:
    """Retry a transient failure with growing waits; after the last retry, and for other failures, the failure is the outcome.

    A listing that a middleware refuses is retried, because a denied listing is never read again.
    """
    if failure.outcome is Outcome.DENIED and kind is not Kind.PAGE:
        failure = OutcomeRecord(Outcome.MIDDLEWARE_ERROR, failure.detail)
    if failure.outcome in TRANSIENT_FAILURES or failure.may_pass:
        return _retry(failure.detail or "", failure.outcome, kind, attempts, now)
    return failure


def make_stopped_pause(now: datetime) -> RetryAt:
    """The pause of a host whose owner has stopped the crawler."""
    until = now + timedelta(seconds=STOPPED_HOST_PAUSE_SECONDS)
    return RetryAt(until, STOPPED_BY_OWNER.detail or "", until)


def _decide_transient(page: Page, kind: Kind, attempts: int, now: datetime) -> OutcomeRecord | RetryAt:
    """Decide 403, 408, 425, 429 and 5xx. A Retry-After pauses the whole host: the server means the crawler, not this page."""
    decision = _retry(Sentence("HTTP {status}", status=page.status), Outcome.HTTP_ERROR, kind, attempts, now)
    until = find_retry_after(page, now)
    if isinstance(decision, OutcomeRecord) or until is None:
        return decision
    detail = Sentence("{detail}, Retry-After {n:.0f} s", detail=decision.detail, n=(until - now).total_seconds())
    return RetryAt(max(decision.at, until), detail, until, decision.failure)


def find_retry_after(page: Page, now: datetime) -> datetime | None:
    """Until when the server wants no request, also where the URL has failed for the last time."""
    seconds = parse_retry_after(page.header("Retry-After"), now) if page.status in RETRY_AFTER_STATUSES else None
    return None if seconds is None else now + timedelta(seconds=seconds)


def _retry(detail: str, outcome: Outcome, kind: Kind, attempts: int, now: datetime) -> OutcomeRecord | RetryAt:
    wait = compute_retry_delay(attempts + 1, kind)
    failure = OutcomeRecord(outcome, detail)
    return failure if wait is None else RetryAt(now + wait, keyed(outcome, detail), failure=failure)


def _find_media_refusal(page: Page) -> OutcomeRecord | None:
    media_type = (page.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type not in PAGE_MEDIA_TYPES:
        return OutcomeRecord(Outcome.NOT_HTML, media_type)
    if page.header("Content-Encoding") is None and page.body.startswith(BINARY_SIGNATURES):
        served = (
            Sentence("a binary file served as {media}", media=media_type) if media_type else Sentence("a binary file served as nothing")
        )
        return OutcomeRecord(Outcome.NOT_HTML, served)
    return None

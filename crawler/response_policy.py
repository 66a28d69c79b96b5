"""What an answer means: take the body, try again later, or an ending. Pure: a page, a number of attempts and the time go in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from newsmill.discovery.robots import retry_after
from newsmill.discovery.schedule import backoff
from newsmill.model import Ending, Kind, Outcome, Page

TRANSIENT = frozenset({408, 425, 429})  # and every 5xx: the server asks us to come back
SECOND_TRY = frozenset({401, 403, 451})  # a bot filter's mood may change once; asking more often would be knocking at a closed door
GONE = frozenset({404, 410})

# Failures that may pass by themselves. The others are the address's or the server's nature and end at once.
PASSING = frozenset({Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.DATA_LOSS, Outcome.ROBOTS_UNREACHABLE})

# What may be a web page. Anything else a server names (image/…, application/pdf, …) is not archived.
PAGE_TYPES = frozenset({"", "text/html", "application/xhtml+xml", "application/xml", "text/xml", "text/plain", "application/octet-stream"})
MAGIC = (b"%PDF-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"RIFF", b"\x7fELF", b"MZ\x90\x00")  # a binary file behind .html


@dataclass(frozen=True, slots=True)
class Later:
    """Try this address again at `at`, and nothing of its host before `host_until`."""

    at: datetime
    detail: str
    host_until: datetime | None = None


def judge(page: Page, kind: Kind, attempts: int, now: datetime) -> Ending | Later | None:
    """None when the body is what we asked for. `attempts` are the fetches tried before this one."""
    status = page.status
    if status == 304 and kind is not Kind.PAGE:
        return Ending(Outcome.NOT_MODIFIED)
    if status in GONE:
        return Ending(Outcome.GONE, f"status {status}")
    if status in TRANSIENT or status >= 500:
        return _postponed(page, attempts, now)
    if status in SECOND_TRY and attempts == 0:
        return _again(f"status {status}", Outcome.HTTP_ERROR, attempts, now)
    if status not in (200, 203):
        return Ending(Outcome.HTTP_ERROR, f"status {status}")
    return _not_html(page) if kind is Kind.PAGE else None


def judge_failure(ending: Ending, attempts: int, now: datetime) -> Ending | Later:
    """A failure that may pass is tried again with growing distance; after the last try it is the ending."""
    if ending.outcome is Outcome.TLS and attempts == 0:
        return _again(ending.detail or "tls", ending.outcome, attempts, now)  # a certificate just being renewed
    if ending.outcome not in PASSING:
        return ending
    return _again(ending.detail or "", ending.outcome, attempts, now)


def _postponed(page: Page, attempts: int, now: datetime) -> Ending | Later:
    """408, 425, 429 and 5xx. Retry-After holds for the whole host (it is about us, not about the page) whatever becomes of this address."""
    later = _again(f"status {page.status}", Outcome.HTTP_ERROR, attempts, now)
    seconds = retry_after(page.header("Retry-After"), now) if page.status in (429, 503) else None
    if isinstance(later, Ending) or seconds is None:
        return later
    until = now + timedelta(seconds=seconds)
    return Later(max(later.at, until), f"{later.detail}, Retry-After {seconds:.0f} s", until)


def _again(detail: str, outcome: Outcome, attempts: int, now: datetime) -> Ending | Later:
    wait = backoff(attempts + 1)
    return Ending(outcome, detail) if wait is None else Later(now + wait, f"{outcome}: {detail}")


def _not_html(page: Page) -> Ending | None:
    kind = (page.header("Content-Type") or "").partition(";")[0].strip().lower()
    if kind not in PAGE_TYPES:
        return Ending(Outcome.NOT_HTML, kind)
    if page.header("Content-Encoding") is None and page.body.startswith(MAGIC):
        return Ending(Outcome.NOT_HTML, f"a binary file served as {kind or 'nothing'}")
    return None

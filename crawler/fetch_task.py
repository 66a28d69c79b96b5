"""What an answer means: take the body, try again later, or an ending. Pure: a page, a number of attempts and the time go in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import regex

from crawler.downloader import PAGE_ACCEPT, FetchRequest
from crawler.listing_task import ListingTask
from crawler.listings import MAX_SITEMAP_BYTES, own_sites
from crawler.robots import fetch_robots, known, restore_robots
from crawler.settings import MAX_BODY_BYTES
from crawler.throttle import HostThrottle
from newsmill import urls
from newsmill.discovery.robots import parse_retry_after
from newsmill.discovery.schedule import compute_retry_delay
from newsmill.model import Kind, LeasedUrl, Outcome, OutcomeRecord, Page, Source
from newsmill.storage.ledger import Ended, Postponed

if TYPE_CHECKING:
    from crawler.frontier import Frontier

TRANSIENT_STATUSES = frozenset({408, 425, 429})  # and every 5xx: the server asks us to come back
RETRY_ONCE_STATUSES = frozenset(
    {401, 403, 451}
)  # a bot filter's mood may change once; asking more often would be knocking at a closed door
GONE_STATUSES = frozenset({404, 410})

# Failures that may pass by themselves. The others are the address's or the server's nature and end at once.
TRANSIENT_FAILURES = frozenset(
    {Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.DATA_LOSS, Outcome.ROBOTS_UNREACHABLE}
)

# What may be a web page. Anything else a server names (image/…, application/pdf, …) is not archived.
PAGE_MEDIA_TYPES = frozenset(
    {"", "text/html", "application/xhtml+xml", "application/xml", "text/xml", "text/plain", "application/octet-stream"}
)
BINARY_SIGNATURES = (
    b"%PDF-",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"PK\x03\x04",
    b"RIFF",
    b"\x7fELF",
    b"MZ\x90\x00",
)  # a binary file behind .html


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try this address again at `at`, and nothing of its host before `host_until`."""

    at: datetime
    detail: str
    host_until: datetime | None = None


def decide_response(page: Page, kind: Kind, attempts: int, now: datetime) -> OutcomeRecord | RetryAt | None:
    """None when the body is what we asked for. `attempts` are the fetches tried before this one."""
    status = page.status
    if status == 304 and kind is not Kind.PAGE:
        return OutcomeRecord(Outcome.NOT_MODIFIED)
    if status in GONE_STATUSES:
        return OutcomeRecord(Outcome.GONE, f"status {status}")
    if status in TRANSIENT_STATUSES or status >= 500:
        return _postponed(page, attempts, now)
    if status in RETRY_ONCE_STATUSES and attempts == 0:
        return _again(f"status {status}", Outcome.HTTP_ERROR, attempts, now)
    if status not in (200, 203):
        return OutcomeRecord(Outcome.HTTP_ERROR, f"status {status}")
    return _not_html(page) if kind is Kind.PAGE else None


def decide_failure(ending: OutcomeRecord, attempts: int, now: datetime) -> OutcomeRecord | RetryAt:
    """A failure that may pass is tried again with growing distance; after the last try it is the ending."""
    if ending.outcome is Outcome.TLS and attempts == 0:
        return _again(ending.detail or "tls", ending.outcome, attempts, now)  # a certificate just being renewed
    if ending.outcome not in TRANSIENT_FAILURES:
        return ending
    return _again(ending.detail or "", ending.outcome, attempts, now)


def _postponed(page: Page, attempts: int, now: datetime) -> OutcomeRecord | RetryAt:
    """408, 425, 429 and 5xx. Retry-After holds for the whole host (it is about us, not about the page) whatever becomes of this address."""
    later = _again(f"status {page.status}", Outcome.HTTP_ERROR, attempts, now)
    seconds = parse_retry_after(page.header("Retry-After"), now) if page.status in (429, 503) else None
    if isinstance(later, OutcomeRecord) or seconds is None:
        return later
    until = now + timedelta(seconds=seconds)
    return RetryAt(max(later.at, until), f"{later.detail}, Retry-After {seconds:.0f} s", until)


def _again(detail: str, outcome: Outcome, attempts: int, now: datetime) -> OutcomeRecord | RetryAt:
    wait = compute_retry_delay(attempts + 1)
    return OutcomeRecord(outcome, detail) if wait is None else RetryAt(now + wait, f"{outcome}: {detail}")


def _not_html(page: Page) -> OutcomeRecord | None:
    kind = (page.header("Content-Type") or "").partition(";")[0].strip().lower()
    if kind not in PAGE_MEDIA_TYPES:
        return OutcomeRecord(Outcome.NOT_HTML, kind)
    if page.header("Content-Encoding") is None and page.body.startswith(BINARY_SIGNATURES):
        return OutcomeRecord(Outcome.NOT_HTML, f"a binary file served as {kind or 'nothing'}")
    return None


# One leased URL from fetch to conclusion: a page for the writer, links for the ledger, another try later, or an ending.

MAX_PATTERN_SECONDS = 0.01  # of CPU time for one pattern and one URL, in the event loop; an honest pattern takes some microseconds
BUSY_HOST_PAUSE_SECONDS = 30.0  # seconds; a visit lasts up to five minutes, most a few seconds
FEED_ACCEPT = "application/rss+xml,application/atom+xml,application/feed+json,application/xml;q=0.9,*/*;q=0.5"
ACCEPT = {Kind.FEED: FEED_ACCEPT, Kind.SITEMAP: "application/xml,text/xml,*/*;q=0.5"}


def refusal(owed: LeasedUrl, source: Source | None, throttle: HostThrottle) -> OutcomeRecord | None:
    """Why this URL is not even asked for: robots.txt, or the source's patterns."""
    forbidden = disallowed(owed.url, throttle)
    return denial(owed.url, source, throttle) if forbidden is None and owed.kind is Kind.PAGE else forbidden


def disallowed(url: str, throttle: HostThrottle) -> OutcomeRecord | None:
    """How a URL ends that the robots.txt of its host forbids, or may forbid."""
    decision = throttle.decide(url)
    if decision.is_allowed:
        return None
    return OutcomeRecord(
        Outcome.ROBOTS_DISALLOWED, None if decision.is_complete else f"robots.txt has too many wildcards: {decision.searches:,} were tried"
    )


def denial(url: str, source: Source | None, throttle: HostThrottle) -> OutcomeRecord | None:
    """How a URL ends that the source's own allow and deny patterns leave out. Deny wins.

    A pattern may backtrack for years on a URL made for it. Where one takes longer than MAX_PATTERN_SECONDS, nobody knows whether it
    matches: the URL is left out, and its host waits.
    """
    if source is None:
        return None
    pattern = ""
    try:
        for pattern in source.deny:
            if _found(pattern, url):
                return OutcomeRecord(Outcome.DENIED, f"deny {pattern!r}")
        for pattern in source.allow:
            if _found(pattern, url):
                return None
    except TimeoutError:
        throttle.pay(MAX_PATTERN_SECONDS)
        return OutcomeRecord(
            Outcome.DENIED, f"the pattern {pattern!r} takes longer than {MAX_PATTERN_SECONDS} s on this URL; write a simpler one"
        )
    return OutcomeRecord(Outcome.DENIED, "matches no allow pattern") if source.allow else None


def _found(pattern: str, url: str) -> bool:
    return regex.search(pattern, url, timeout=MAX_PATTERN_SECONDS) is not None


class HostBusyError(Exception):
    """Raised when a redirect leads to a host that another crawler holds, or that asked for a pause."""


class FetchTask:
    """Fetches one row and says what came of it."""

    def __init__(self, crawl: Frontier, owed: LeasedUrl, throttle: HostThrottle) -> None:
        self.crawl = crawl
        self.owed = owed
        self.throttle = throttle
        self.source = crawl.source_of(owed)
        self.borrowed: list[str] = []
        self.here = throttle  # of the host that is being asked, after redirects

    async def run(self) -> RetryAt | None:
        """Conclude the row. A pause that concerns the whole host comes back. Raises Stopping with the row untouched."""
        try:
            return await self._run()
        except HostBusyError as e:
            soon = self.crawl.now() + timedelta(seconds=BUSY_HOST_PAUSE_SECONDS)
            await self._postpone(RetryAt(soon, f"redirects to {e}, which another crawler is asking"), count_attempt=False)
            return None
        finally:
            for host in self.borrowed:
                await self.crawl.held.give_back(host)

    async def _run(self) -> RetryAt | None:
        await self.throttle.turn()
        answer = await self.crawl.fetcher.fetch(self._ask(), self._hop)
        self.here.rest()
        now = self.crawl.now()
        if isinstance(answer, OutcomeRecord):
            verdict: OutcomeRecord | RetryAt | None = decide_failure(answer, self.owed.attempts, now)
        else:
            verdict = decide_response(answer, self.owed.kind, self.owed.attempts, now)
        match verdict:
            case None:
                assert isinstance(answer, Page)
                await self._take(answer)
            case OutcomeRecord():
                await self._end(verdict)
            case RetryAt():
                await self._postpone(verdict)
        return self._pause(answer, verdict)

    def _ask(self) -> FetchRequest:
        owed = self.owed
        accept = ACCEPT.get(owed.kind, PAGE_ACCEPT)
        if owed.kind is Kind.PAGE:  # a page comes again only when its bytes are wanted: a 304 would be no answer
            return FetchRequest(owed.url, accept)
        return FetchRequest(
            owed.url, accept, owed.etag, owed.last_modified, MAX_SITEMAP_BYTES if owed.kind is Kind.SITEMAP else MAX_BODY_BYTES
        )

    async def _hop(self, _: str, target: str) -> OutcomeRecord | None:
        """Whether a redirect may be followed; waits its turn on the target's host."""
        self.here.rest()
        if self.owed.kind is Kind.PAGE and self.owed.source is not None:
            if urls.get_site(target) not in own_sites(self.source, self.owed.url):
                return OutcomeRecord(Outcome.OFF_SITE, f"redirects to {target}")
            if denied := denial(target, self.source, self.throttle):
                return denied
        host = urls.get_host(target)
        throttle = self.crawl.held.throttle(host)
        if host != self.throttle.host and host not in self.borrowed:
            refused = await self._enter(host, throttle, target)
            if refused is not None:
                return refused
        if (forbidden := disallowed(target, throttle)) is not None:
            return replace(forbidden, detail=f"redirects to {target}")
        self.here = throttle
        await throttle.turn()
        return None

    async def _enter(self, host: str, throttle: HostThrottle, target: str) -> OutcomeRecord | None:
        """Come to another host: hold it while we are there, and read its robots.txt."""
        lease = await self.crawl.held.borrow(host)
        if lease is None:
            raise HostBusyError(host)
        self.borrowed.append(host)
        await restore_robots(throttle, lease, self.crawl.now())
        if not known(throttle):
            answer = await fetch_robots(self.crawl.fetcher, throttle, target, self.crawl.held.throttle)
            await self.crawl.held.save_robots(throttle, answer)
            if answer.refusal is not None:
                return answer.refusal
        throttle.be_patient(max(self.throttle.delay, throttle.delay))
        return None

    def _pause(self, answer: Page | OutcomeRecord, verdict: OutcomeRecord | RetryAt | None) -> RetryAt | None:
        """Keep the host's count of failures in a row; the pause it asked for, or the one that many failures call for."""
        if isinstance(verdict, RetryAt) and verdict.host_until is not None:
            return verdict
        if isinstance(answer, Page) and answer.status < 500 and answer.status != 429:
            self.throttle.answered()
            return None
        if not isinstance(verdict, RetryAt):
            return None
        wait = self.throttle.failed()
        if wait is None and not (isinstance(answer, Page) and answer.status == 429):
            return None
        until = self.crawl.now() + (wait or self.throttle.first_pause)
        return RetryAt(verdict.at, verdict.detail, until)

    # ---- conclusions

    async def _take(self, page: Page) -> None:
        if self.owed.kind is not Kind.PAGE:
            await self._write(await ListingTask(self.crawl, self.owed, self.source, self.throttle).gather(page))
            return
        await self.crawl.writer.put(self.owed, replace(page, source=self.owed.source, hint=self.owed.hint))

    async def _end(self, ending: OutcomeRecord) -> None:
        """A listing that did not change, or failed, keeps the validators it had."""
        owed = self.owed
        await self._write(Ended(owed.id, owed.fence, ending, owed.etag, owed.last_modified))

    async def _write(self, ended: Ended) -> None:
        await self.crawl.sql(lambda now: self.crawl.ledger.end([ended], now=now))

    async def _postpone(self, later: RetryAt, *, count_attempt: bool = True) -> None:
        row = Postponed(self.owed.id, self.owed.fence, later.at, later.detail, count_attempt)
        await self.crawl.sql(lambda now: self.crawl.ledger.postpone([row], now=now))

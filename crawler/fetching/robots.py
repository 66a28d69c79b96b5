"""Fetches the robots.txt of a host before anything else of it, as RFC 9309 says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from crawler.fetching.downloader import Downloader, FetchRequest
from crawler.politeness.publisher_orders import STOPPED_BY_OWNER, FindOrder, make_stopped_redirect, wait_for_turn
from crawler.politeness.throttle import HostThrottle
from newsmill.discovery.retry_after import RETRY_AFTER_STATUSES, parse_retry_after
from newsmill.discovery.robots import RobotsTxt
from newsmill.exceptions import DecodeError
from newsmill.extraction.decode import decode_body
from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.storage.ledger import HostLease
from newsmill.text import urls
from newsmill.text.sentences import Sentence, keyed

MAX_ROBOTS_AGE = timedelta(hours=6)  # RFC 9309 section 2.4 allows 24 hours; with six hours a changed robots.txt counts the same day
ROBOTS_ACCEPT = "text/plain,*/*;q=0.5"
REDIRECT_DELAY_SECONDS = 1.0  # between two requests to a host that only a robots.txt redirects to; the default delay of a source

# Failures of the host itself: its pages would fail the same way.
HOST_FAILURES = frozenset(
    {Outcome.DNS, Outcome.REFUSED, Outcome.TLS, Outcome.SSRF_BLOCKED, Outcome.BAD_URL, Outcome.PROXY_ERROR, Outcome.MIDDLEWARE_ERROR}
)
MISSING_ROBOTS = frozenset({Outcome.REDIRECT_LOOP, Outcome.BAD_REDIRECT})  # RFC 9309 section 2.3.1.2: the same as no robots.txt


@dataclass(frozen=True, slots=True)
class RobotsResponse:
    """The status (None: no response) and body of a robots.txt, and the outcome of the host's URLs if nothing may be fetched.

    The outcome STOPPED_BY_OWNER says nothing about the robots.txt, which was not requested. `retry_after`: the seconds for which the server
    wants no request.
    """

    status: int | None
    body: bytes
    refusal: OutcomeRecord | None = None
    retry_after: float = 0.0


def product_name(user_agent: str) -> str:
    """The name that robots.txt rules are matched with: "Newsmill/0.1 (+…)" → "Newsmill"."""
    return user_agent.partition("/")[0].strip() or "Newsmill"


def robots_url(url: str) -> str:
    """The URL of the robots.txt that applies to `url`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"


async def fetch_robots(
    downloader: Downloader, throttle: HostThrottle, url: str, throttle_of: Callable[[str], HostThrottle], find_order: FindOrder
) -> RobotsResponse:
    """Fetch the robots.txt that applies to `url` and apply it to `throttle`. Raises StopRequestedError.

    It is a request like any other: the owner of the host may have stopped the crawler. The caller obeys a Retry-After, unless the source
    need not obey the robots.txt.

    RFC 9309 wants redirects to other hosts followed. Those hosts are not leased, but their throttles are used: otherwise a wildcard domain
    whose names all redirect to one host would make us send that host one request for each name, all at once.
    """
    current_throttle = throttle

    async def check_redirect(_: str, target: str) -> OutcomeRecord | None:
        nonlocal current_throttle
        current_throttle.mark_response()
        current_throttle = throttle_of(urls.get_host(target))
        if current_throttle.pause_seconds > 0 or not current_throttle.is_held:
            return OutcomeRecord(Outcome.HTTP_ERROR, Sentence("redirects to {url}, whose host is paused", url=target))
        if current_throttle is throttle:
            return await wait_for_turn(throttle, find_order)
        current_throttle.delay = max(current_throttle.delay, REDIRECT_DELAY_SECONDS)
        return None if await wait_for_turn(current_throttle, find_order) is None else make_stopped_redirect(target)

    if await wait_for_turn(throttle, find_order) is not None:
        return RobotsResponse(None, b"", STOPPED_BY_OWNER)
    page = await downloader.fetch(FetchRequest(robots_url(url), accept=ROBOTS_ACCEPT, cookiejar=f"host {throttle.host}"), check_redirect)
    current_throttle.mark_response()
    if page == STOPPED_BY_OWNER:
        return RobotsResponse(None, b"", STOPPED_BY_OWNER)
    if isinstance(page, OutcomeRecord):
        response = _response_of_failure(page)
    else:  # in a thread: other hosts must not wait while a body is unpacked
        response = await asyncio.to_thread(_response_of_page, page)
    if current_throttle is not throttle:
        current_throttle.pause(response.retry_after)
    await _apply(throttle, response.status, response.body)
    return response


async def restore_throttle(throttle: HostThrottle, lease: HostLease, now: datetime) -> None:
    """Apply what the host's last holder, perhaps another process, left: failures, and the robots.txt if it is younger than MAX_ROBOTS_AGE.

    A holder that was killed may have sent a request a moment ago, so the whole delay passes first.
    """
    throttle.failures = max(throttle.failures, lease.failures)
    if lease.is_abandoned:
        throttle.delay = max(throttle.delay, lease.crawl_delay or 0.0)
        throttle.mark_response()
    if throttle.has_current_robots or lease.robots_fetched_at is None or lease.robots_status is None:
        return
    age = abs(now - lease.robots_fetched_at)  # negative if the clock was set back
    if age < MAX_ROBOTS_AGE:
        await _apply(throttle, lease.robots_status, lease.robots_body or b"", age)


async def _apply(throttle: HostThrottle, status: int | None, body: bytes, age: timedelta = timedelta(0)) -> None:
    """Rules are valid for MAX_ROBOTS_AGE; an unreachable robots.txt is fetched again with the next lease of the host.

    The rules are compiled in a thread: 500 KiB take up to 0.4 s, for which other hosts must not wait.
    """
    robots = await asyncio.to_thread(_compile, throttle.agent, status, body)
    throttle.set_robots(robots, MAX_ROBOTS_AGE - age if robots.is_reachable else timedelta(0))


def _compile(agent: str, status: int | None, body: bytes) -> RobotsTxt:
    robots = RobotsTxt.from_response(status, body)
    robots.select_rules(agent)
    return robots


def _response_of_failure(failure: OutcomeRecord) -> RobotsResponse:
    if failure.outcome in MISSING_ROBOTS:
        return RobotsResponse(404, b"")
    if failure.outcome in HOST_FAILURES:
        return RobotsResponse(None, b"", failure)
    if failure.outcome is Outcome.DENIED:
        return RobotsResponse(None, b"", replace(failure, detail=Sentence("robots.txt: {detail}", detail=failure.detail)))
    return _unreachable(None, keyed(failure.outcome, failure.detail))


def _response_of_page(page: Page) -> RobotsResponse:
    try:
        body = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError as e:
        return _unreachable(None, str(e))
    if RobotsTxt.from_response(page.status, b"").is_reachable:
        return RobotsResponse(page.status, body)
    seconds = parse_retry_after(page.header("Retry-After"), page.fetched_at) if page.status in RETRY_AFTER_STATUSES else None
    if seconds is None:
        return _unreachable(page.status, Sentence("HTTP {status}", status=page.status))
    response = _unreachable(page.status, Sentence("HTTP {status}, Retry-After {n:.0f} s", status=page.status, n=seconds))
    return replace(response, retry_after=seconds)


def _unreachable(status: int | None, detail: str) -> RobotsResponse:
    return RobotsResponse(status, b"", OutcomeRecord(Outcome.ROBOTS_UNREACHABLE, Sentence("robots.txt: {detail}", detail=detail)))

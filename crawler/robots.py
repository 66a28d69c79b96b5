"""Reading a host's robots.txt before anything else of it, by RFC 9309."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from crawler.downloader import Downloader, FetchRequest
from crawler.throttle import HostThrottle
from newsmill import urls
from newsmill.discovery.robots import RobotsTxt
from newsmill.exceptions import DecodeError
from newsmill.extraction.decode import decode_body
from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.storage.ledger import HostLease

MAX_ROBOTS_AGE = timedelta(
    hours=1
)  # RFC 9309 section 2.4 allows 24 hours; an hour lets a publisher who changes his mind be heard the same day
ROBOTS_ACCEPT = "text/plain,*/*;q=0.5"
REDIRECT_DELAY_SECONDS = 1.0  # seconds between two requests to a host that only a robots.txt redirected to; what a source has by default

# Failures that say more than "robots.txt could not be read": the host's pages would fail the same way.
HOST_FAILURES = frozenset({Outcome.DNS, Outcome.REFUSED, Outcome.TLS, Outcome.SSRF_BLOCKED, Outcome.BAD_URL})
MISSING_ROBOTS = frozenset({Outcome.REDIRECT_LOOP, Outcome.BAD_REDIRECT})  # RFC 9309 section 2.3.1.2: may be taken as "there is none"


@dataclass(frozen=True, slots=True)
class RobotsResponse:
    """What asking for robots.txt gave: a status (None: no answer) and body for the ledger, and why nothing may be fetched, if so."""

    status: int | None
    body: bytes
    refusal: OutcomeRecord | None = None


def robots_url(url: str) -> str:
    """The robots.txt that rules over an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"


async def fetch_robots(fetcher: Downloader, throttle: HostThrottle, url: str, manners_of: Callable[[str], HostThrottle]) -> RobotsResponse:
    """Ask the host of `url` for its robots.txt and give what it says to `manners`. Raises Stopping.

    RFC 9309 wants redirects to other hosts followed. Those are not leased for it, but asked no faster than we ever ask them: a wildcard
    domain whose names all redirect to one victim would else have us ask it once for each name, all at once.
    """
    here = throttle

    async def hop(_: str, target: str) -> OutcomeRecord | None:
        nonlocal here
        here.rest()
        here = manners_of(urls.get_host(target))
        if here is not throttle:
            here.delay = max(here.delay, REDIRECT_DELAY_SECONDS)
        await here.turn()
        return None

    await here.turn()
    fetched = await fetcher.fetch(FetchRequest(robots_url(url), accept=ROBOTS_ACCEPT), hop)
    here.rest()
    answer = _failed(fetched) if isinstance(fetched, OutcomeRecord) else _read(fetched)
    await adopt(throttle, answer.status, answer.body)
    return answer


def _failed(ending: OutcomeRecord) -> RobotsResponse:
    if ending.outcome in MISSING_ROBOTS:
        return RobotsResponse(404, b"")
    if ending.outcome in HOST_FAILURES:
        return RobotsResponse(None, b"", ending)
    return RobotsResponse(None, b"", OutcomeRecord(Outcome.ROBOTS_UNREACHABLE, f"robots.txt: {ending.outcome}: {ending.detail}"))


def _read(page: Page) -> RobotsResponse:
    try:
        body = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError as e:
        return RobotsResponse(None, b"", OutcomeRecord(Outcome.ROBOTS_UNREACHABLE, f"robots.txt: {e}"))
    if RobotsTxt.from_response(page.status, b"").is_reachable:
        return RobotsResponse(page.status, body)
    return RobotsResponse(page.status, b"", OutcomeRecord(Outcome.ROBOTS_UNREACHABLE, f"robots.txt: status {page.status}"))


async def adopt(throttle: HostThrottle, status: int | None, body: bytes, age: timedelta = timedelta(0)) -> None:
    """Rules hold for an hour from when they were read; an unreachable robots.txt is asked for again at the next visit.

    They are compiled in a thread: for 500 KiB that takes up to 0.4 s, which other hosts shall not wait.
    """
    robots = await asyncio.to_thread(_compiled, throttle.agent, status, body)
    throttle.obey(robots, MAX_ROBOTS_AGE - age if robots.is_reachable else timedelta(0))


def _compiled(agent: str, status: int | None, body: bytes) -> RobotsTxt:
    robots = RobotsTxt.from_response(status, body)
    robots.select_rules(agent)
    return robots


async def restore_robots(throttle: HostThrottle, lease: HostLease, now: datetime) -> None:
    """Take over what an earlier holder of the host, perhaps another process, read within the last hour."""
    if throttle.robots_until > time.monotonic() or lease.robots_fetched_at is None or lease.robots_status is None:
        return
    age = abs(now - lease.robots_fetched_at)  # read in the future, it was read before the clock was set back
    if age < MAX_ROBOTS_AGE:
        await adopt(throttle, lease.robots_status, lease.robots_body or b"", age)


def known(throttle: HostThrottle) -> bool:
    return throttle.robots_until > time.monotonic()

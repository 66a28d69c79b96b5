"""A host whose robots.txt or URLs cost much CPU, and the honest hosts beside it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from fake_site import Farm
from world import World

from crawler.frontier.host_worker import MAX_BATCH_ROWS
from crawler.politeness.throttle import MAX_CPU_SHARE, SECONDS_PER_SEARCH, HostThrottle, StopSignal
from crawler.politeness.url_refusals import MAX_PATTERN_SECONDS, find_pattern_refusal
from crawler.state.host_leases import MAX_ROBOTS_CHARACTERS, HostLeases
from newsmill.discovery.robots import MAX_SEARCHES, RobotsTxt
from newsmill.model import Outcome, OutcomeRecord, Source, State

if TYPE_CHECKING:
    from crawler.state.crawl_state import CrawlState

WILDCARDS = "".join(f"Disallow: *a${n}\n" for n in range(25_000))
ROWS = 1_000


def test_expensive_rules_block_only_their_host(sites: Farm, world: World) -> None:
    """The work for one host is counted in refused rows: each costs at most `MAX_SEARCHES` and blocks the host itself.

    Without that, the other hosts would not get their 45 pages within a minute.
    """
    hostile = sites.site()
    hostile.robots(f"User-agent: *\nDisallow: /\n{WILDCARDS}")
    world.source("hostile", delay=0.2)
    rows = [hostile.url(f"/{n}/{'a' * 1_800}") for n in range(ROWS)]
    world.submit(*rows, source="hostile")
    pages = []
    for name in ("one", "two", "three"):
        site = sites.site()
        world.source(name, delay=0.2)
        stories = [site.article(f"/story-{n}") for n in range(15)]
        world.submit(*stories, source=name)
        pages += stories
    world.crawl(done=lambda: all(world.outcome(url) is State.FETCHED for url in pages), seconds=60)
    outcomes = [world.outcome(url) for url in rows]
    assert outcomes.count(Outcome.ROBOTS_DISALLOWED) <= 2 * MAX_BATCH_ROWS
    assert set(outcomes) == {Outcome.ROBOTS_DISALLOWED, State.DUE}
    refused = next(url for url, outcome in zip(rows, outcomes, strict=True) if outcome is Outcome.ROBOTS_DISALLOWED)
    assert (world.trace(refused).detail or "").startswith("robots.txt has too many wildcards")
    assert [hit.path for hit in hostile.log] == ["/robots.txt"]


def test_batches_without_a_page_to_fetch_take_one_delay_each(sites: Farm, world: World) -> None:
    """A plain `Disallow: /` costs no work, but refusing rows without delay would keep the database busy."""
    closed, other = sites.site(), sites.site()
    closed.robots("User-agent: *\nDisallow: /")
    for name in ("closed", "other"):
        world.source(name, delay=1.0)
    rows = [closed.url(f"/{n}") for n in range(ROWS)]
    world.submit(*rows, source="closed")
    pages = [other.article(f"/story-{n}") for n in range(5)]
    world.submit(*pages, source="other")
    world.crawl(done=lambda: all(world.outcome(url) is State.FETCHED for url in pages))
    seconds = time.monotonic() - closed.log[0].at
    refused = [world.outcome(url) for url in rows].count(Outcome.ROBOTS_DISALLOWED)
    assert MAX_BATCH_ROWS <= refused <= MAX_BATCH_ROWS * (2 + seconds)


def test_matching_rules_blocks_the_host() -> None:
    throttle = HostThrottle("a.example", "Newsmill", StopSignal())
    throttle.robots = RobotsTxt.parse(f"User-agent: *\n{WILDCARDS}".encode())
    for _ in range(10):
        throttle.decide("https://a.example/" + "a" * 1_800)
    assert throttle.seconds_until_free > 0.9 * 10 * MAX_SEARCHES * SECONDS_PER_SEARCH

    throttle.set_robots(RobotsTxt.parse(f"User-agent: *\n{WILDCARDS}".encode()), timedelta(hours=1))
    assert throttle.seconds_until_free > 10 * MAX_SEARCHES * SECONDS_PER_SEARCH + 8

    throttle.blocked_until = 0.0
    throttle.set_robots(RobotsTxt.parse(b"User-agent: *\nDisallow: /*/print/\nDisallow: /search"), timedelta(hours=1))
    throttle.decide("https://a.example/news/story")
    asyncio.run(throttle.acquire())
    assert throttle.seconds_until_free < 1


def test_a_pattern_that_backtracks_blocks_its_host() -> None:
    """Without a limit, matching this URL would take years."""
    throttle = HostThrottle("a.example", "Newsmill", StopSignal())
    url = f"https://a.example/{'a' * 90}!"
    for source in (Source("paper", deny=(r"/(\w|\w\w)*$",)), Source("paper", allow=(r"/(\w|\w\w)*$",))):
        assert find_pattern_refusal("https://a.example/news", source, throttle) == (
            OutcomeRecord(Outcome.DENIED, f"deny {source.deny[0]!r}") if source.deny else None
        )
        assert throttle.seconds_until_free == 0
        refusal = find_pattern_refusal(url, source, throttle)
        assert refusal is not None and refusal.outcome is Outcome.DENIED
        assert (refusal.detail or "").startswith(r"the pattern '/(\\w|\\w\\w)*$' takes longer than")
        assert throttle.seconds_until_free > 0.9 * MAX_PATTERN_SECONDS / MAX_CPU_SHARE
        throttle.blocked_until = 0.0


def test_large_robots_txt_are_not_all_kept_in_memory() -> None:
    host_leases = HostLeases(cast("CrawlState", SimpleNamespace(agent="Newsmill", stop=StopSignal())))
    robots = RobotsTxt.parse(f"User-agent: *\n{WILDCARDS}".encode())
    small = host_leases.throttle("small.example")
    small.set_robots(RobotsTxt.parse(b"User-agent: *\nDisallow: /search"), timedelta(hours=1))
    for n in range(100):
        host_leases.throttle(f"{n}.example").set_robots(robots, timedelta(hours=1))
        host_leases.drop_large_robots(f"{n}.example")
    kept = [throttle.robots.size for throttle in host_leases._throttles.values() if throttle.robots is not None]
    assert MAX_ROBOTS_CHARACTERS - robots.size < sum(kept) <= MAX_ROBOTS_CHARACTERS
    assert host_leases.throttle("small.example") is small

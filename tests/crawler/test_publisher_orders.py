"""The crawler obeys the owner of a host from its next request on, whatever sends the request."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from fake_site import Farm
from world import World, now

from crawler.fetching.downloader import Downloader
from crawler.fetching.robots import fetch_robots
from crawler.politeness.publisher_orders import ORDER_LOOKUPS, STOPPED_BY_OWNER
from crawler.politeness.throttle import HostThrottle, StopSignal
from newsmill.model import Kind, Link, Outcome, State
from newsmill.network.address_guard import Guard
from newsmill.storage.ledger import FROM_BACKFILL
from newsmill.storage.publishers import PublisherOrder, Publishers


def test_a_stop_holds_from_the_next_request_and_a_slower_pace_too(sites: Farm, world: World) -> None:
    site, other = sites.site(), sites.site()
    pages = [site.article(f"/{n}") for n in range(6)]
    moving = site.page("/moving", redirect="/moved")
    publishers = Publishers(world.engine)
    world.submit(*pages)
    with world.crawler(delay=0.3, patch={"crawler.politeness.response_policy.STOPPED_HOST_PAUSE_SECONDS": 0.5}):
        world.wait(lambda: len(site.log) >= 3)
        publishers.give_order(site.host, is_stopped=True, delay=None, now=now())
        in_flight = len(site.log) + 1  # a request whose order was looked up before
        redirecting = other.page("/away", redirect=site.url("/9"))
        listings = {Kind.FEED: "/feed", Kind.SITEMAP: "/sitemap.xml", Kind.SECTION: "/news", Kind.HOMEPAGE: "/"}
        world.ledger.links.add([Link(site.url(path), kind, None, FROM_BACKFILL) for kind, path in listings.items()], now=now())
        world.submit(redirecting)
        world.wait(lambda: world.outcome(redirecting) is Outcome.REDIRECTED)
        command = [sys.executable, "-P", "-m", "crawler.inspection.page_fetch", pages[0]]
        done = subprocess.run(command, env={**os.environ, **world.environ()}, capture_output=True, check=True, timeout=60)
        assert json.loads(done.stdout) == {"outcome": STOPPED_BY_OWNER.outcome, "detail": STOPPED_BY_OWNER.detail}
        assert len(site.log) <= in_flight
        stopped_at = len(site.log)
        publishers.give_order(site.host, is_stopped=False, delay=0.8, now=now())
        world.wait(lambda: all(world.outcome(page) is State.FETCHED for page in pages))
        # A stop between a redirect of the host and its target: the page waits like every other.
        world.submit(moving)
        world.wait(lambda: len(site.hits("/moving")) == 1)
        publishers.give_order(site.host, is_stopped=True, delay=None, now=now())
        world.wait(lambda: world.trace(moving).detail == STOPPED_BY_OWNER.detail)
        assert world.outcome(moving) is State.DUE and site.hits("/moved") == []
    assert [len(site.hits(page.removeprefix(site.url("")))) for page in pages] == [1] * 6
    times = [hit.at for hit in site.log]
    assert min(b - a for a, b in zip(times[stopped_at + 1 :], times[stopped_at + 2 :], strict=False)) >= 0.75


def test_no_request_reaches_the_network_for_a_stopped_host(engine: Any, sites: Farm) -> None:
    site, other = sites.site(), sites.site()
    page, redirecting = site.article("/a"), other.page("/away", redirect=site.url("/a"))

    async def find_order(host: str) -> PublisherOrder | None:
        return PublisherOrder(host, True, None, now()) if host == site.host else None

    async def refuse(_: Any) -> Any:
        raise AssertionError("a request was sent")

    ORDER_LOOKUPS[engine.crawler] = find_order
    try:
        # In the download handler, which no middleware and no spider of the operator can pass by.
        assert engine.fetch(page) == STOPPED_BY_OWNER
        stopped = engine.fetch(redirecting)
        assert stopped.outcome is Outcome.ROBOTS_DISALLOWED and stopped.detail.endswith(f"(redirected to {page})")
    finally:
        del ORDER_LOOKUPS[engine.crawler]
    throttle = HostThrottle(site.host, "Newsmill", StopSignal())
    response = asyncio.run(fetch_robots(Downloader(refuse, Guard(), "Newsmill/1"), throttle, page, lambda _: throttle, find_order))
    assert (response.status, response.refusal, throttle.robots) == (None, STOPPED_BY_OWNER, None)
    assert site.log == []

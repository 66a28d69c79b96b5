"""The crawler obeys the owner of a host from its next request on."""

from __future__ import annotations

from fake_site import Farm
from world import World, now

from newsmill.model import Outcome, State
from newsmill.storage.publishers import Publishers


def test_a_stop_holds_from_the_next_request_and_a_slower_pace_too(sites: Farm, world: World) -> None:
    site, other = sites.site(), sites.site()
    pages = [site.article(f"/{n}") for n in range(8)]
    publishers = Publishers(world.engine)
    world.submit(*pages)
    with world.crawler(delay=0.3, patch={"crawler.fetch_task.STOPPED_HOST_PAUSE_SECONDS": 0.5}):
        world.wait(lambda: len(site.log) >= 3)
        publishers.give_order(site.host, is_stopped=True, delay=None, now=now())
        in_flight = len(site.log) + 1  # a request whose order was looked up before
        redirecting = other.page("/away", redirect=site.url("/9"))
        world.submit(redirecting)
        world.wait(lambda: world.outcome(redirecting) is Outcome.ROBOTS_DISALLOWED)
        assert len(site.log) <= in_flight
        stopped_at = len(site.log)
        publishers.give_order(site.host, is_stopped=False, delay=0.8, now=now())
        world.wait(lambda: all(world.outcome(page) is State.FETCHED for page in pages))
    assert len(site.log) == 9  # robots.txt, and every page once
    times = [hit.at for hit in site.log]
    assert min(b - a for a, b in zip(times[stopped_at + 1 :], times[stopped_at + 2 :], strict=False)) >= 0.75

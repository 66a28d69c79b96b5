"""A Retry-After silences the host that sent it, also where a redirect of another host led there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fake_site import Farm, Response, Site
from sqlalchemy import update
from world import World, now

from newsmill.model import Kind, Outcome, State
from newsmill.storage.database import writing
from newsmill.storage.schema import ledger

TOLERANCE = 0.1  # seconds; a request that was on its way already
PAUSE = 600
BUSY = Response(429, (("Retry-After", str(PAUSE)),))


def pause_seconds(world: World, site: Site) -> float:
    """The seconds for which no request may be sent to the host."""
    until = world.ledger.hosts.find_pause(site.host, now=now())
    return 0.0 if until is None else (until - now()).total_seconds()


@pytest.mark.parametrize(("robots", "other"), [(True, True), (True, False), (False, True)])
def test_a_robots_txt_pauses_its_host(sites: Farm, world: World, robots: bool, other: bool) -> None:
    """Not for a source that need not obey it. `other`: whether all other sources obey theirs."""
    site = sites.site()
    site.robots("", status=503, headers={"Retry-After": str(PAUSE)})
    world.source("other", robots=other)
    world.source(robots=robots)
    page = site.article("/a")
    world.submit(page, source="paper")
    world.crawl()
    assert [hit.path for hit in site.log] == ["/robots.txt", *([] if robots else ["/a"])]
    assert (pause_seconds(world, site) > PAUSE - 60) is robots
    if robots:
        detail = "robots_unreachable: robots.txt: HTTP 503, Retry-After 600 s"
        assert (world.trace(page).state, world.trace(page).detail) == (State.DUE, detail)


def test_the_last_try_of_a_url_pauses_its_host_too(sites: Farm, world: World) -> None:
    site = sites.site()
    site.pages["/busy"] = BUSY
    world.submit(site.url("/busy"))
    with writing(world.engine) as conn:
        conn.execute(update(ledger).values(attempts=8, rank=0))
    world.submit(site.page("/a"))
    world.crawl(delay=0.0, done=lambda: pause_seconds(world, site) > PAUSE - 60)
    assert [hit.path for hit in site.log] == ["/robots.txt", "/busy"]
    assert world.outcome(site.url("/busy")) is Outcome.HTTP_ERROR


def test_the_robots_txt_of_a_redirect_target_pauses_the_target(sites: Farm, world: World) -> None:
    site, target = sites.site(), sites.site()
    target.robots("", status=429, headers={"Retry-After": str(PAUSE)})
    world.submit(site.page("/go", redirect=target.url("/a")), kind=Kind.FEED)
    world.crawl(delay=0.0)
    assert [hit.path for hit in target.log] == ["/robots.txt"]
    assert pause_seconds(world, target) > PAUSE - 60 and pause_seconds(world, site) < 1


def test_the_target_of_a_redirect_is_paused_and_the_host_that_redirects_is_not(sites: Farm, world: World) -> None:
    site, target = sites.site(), sites.site()
    target.pages["/busy"] = BUSY
    go = site.page("/go", redirect=target.url("/busy"))
    world.submit(go, kind=Kind.FEED)  # a page would leave its site, and the target would have a row of its own
    world.crawl(delay=0.0)
    assert [hit.path for hit in target.log] == ["/robots.txt", "/busy"]
    assert PAUSE - 60 < pause_seconds(world, target) <= PAUSE
    assert pause_seconds(world, site) < 1
    assert "Retry-After 600 s" in (world.trace(go).detail or "")


def test_pages_of_the_target_wait(sites: Farm, world: World) -> None:
    """The crawler fetches pages of the target when the redirect leads there."""
    site, target = sites.site(), sites.site()
    target.pages["/busy"] = BUSY
    own = [target.page(f"/{n}", delay=0.5) for n in range(20)]
    world.submit(*own)
    with world.crawler(delay=0.0):
        world.wait(lambda: len(target.log) > 3)
        world.submit(site.page("/go", redirect=target.url("/busy")), kind=Kind.FEED)
        world.wait(lambda: pause_seconds(world, target) > PAUSE - 60)
    (busy,) = target.hits("/busy")
    assert [hit.path for hit in target.log if hit.at > busy.at + TOLERANCE] == []
    assert sum(world.outcome(url) is State.FETCHED for url in own) < len(own)


def test_a_redirect_to_a_paused_host_waits_for_the_end_of_the_pause(sites: Farm, world: World) -> None:
    """Otherwise the host that redirects gets a request every half a minute."""
    site, target = sites.site(), sites.site()
    until = now() + timedelta(hours=2)
    assert world.ledger.hosts.lease_one(target.host, "test", seconds=60, now=now()) is not None
    world.ledger.hosts.release(target.host, "test", now=now(), next_fetch_at=until)
    go = site.page("/go", redirect=target.url("/a"))
    world.submit(go, kind=Kind.FEED)
    world.crawl(delay=0.0)
    trace = world.trace(go)
    assert (trace.next_at, trace.attempts, trace.detail) == (until, 0, f"redirects to {target.host}, which is paused")
    assert target.log == []


def test_a_host_that_leads_every_page_to_a_paused_host_is_paused(sites: Farm, world: World) -> None:
    site, wall = sites.site(), sites.site()
    wall.pages["/wall"] = BUSY
    world.submit(*(site.page(f"/{n}", redirect=wall.url("/wall")) for n in range(20)), kind=Kind.FEED)
    world.crawl(delay=0.0, done=lambda: pause_seconds(world, site) > 10)
    assert len(wall.hits("/wall")) == 1 and len(site.log) == 1 + 3

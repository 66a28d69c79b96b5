"""Ends, kind and unkind: SIGTERM gives everything back, kill -9 loses nothing, two crawlers never meet on a host."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from fake_site import Farm, Site
from world import World, now

from newsmill.model import State


def paper(sites: Farm, hosts: int, pages: int, *, slow: float = 0.0) -> dict[Site, list[str]]:
    here = {}
    for _ in range(hosts):
        site = sites.site()
        here[site] = [site.page(f"/a{n}", f"<p>page {n}", delay=slow) for n in range(pages)]
    return here


def held(world: World) -> tuple[int, int]:
    """Hosts and rows that somebody holds."""
    db = sqlite3.connect(world.data / "newsmill.db")
    try:
        hosts = db.execute("SELECT count(*) FROM hosts WHERE owner IS NOT NULL").fetchone()[0]
        rows = db.execute("SELECT count(*) FROM ledger WHERE state = 'fetching' OR owner IS NOT NULL").fetchone()[0]
    finally:
        db.close()
    return hosts, rows


def fetched(world: World) -> int:
    return world.ledger.progress().states.get(State.FETCHED, 0)


def archived(world: World, here: dict[Site, list[str]]) -> None:
    """Every page is in the archive once, with its own bytes."""
    assert {world.outcome(url) for pages in here.values() for url in pages} == {State.FETCHED}
    places = Counter((t.segment, t.offset) for t in world.rows())
    assert set(places.values()) == {1}
    for site, pages in here.items():
        for n, url in enumerate(pages):
            page = world.page(url)
            assert (page.url, page.body) == (url, f"<p>page {n}".encode()), site.host


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_stop_leaves_nothing_held_and_loses_nothing(sites: Farm, world: World, how: signal.Signals) -> None:
    here = paper(sites, 6, 25, slow=0.1)
    world.source(delay=0.05)
    world.submit(*(url for pages in here.values() for url in pages), source="paper")
    crawler = world.start()
    world.wait(lambda: sum(len(site.log) for site in here) > 50)
    asked = {site: len(site.log) for site in here}
    assert world.stop(crawler, how=how) == 0, world.log()
    assert held(world) == (0, 0)
    assert all(len(site.log) <= asked[site] + 2 for site in here)
    served = sum(len(site.log) - 1 for site in here)
    assert fetched(world) >= served - 6  # a request in flight per host may have been given up
    world.crawl()
    archived(world, here)
    assert sum(len(site.log) for site in here) <= 6 * 26 + 6
    assert "Traceback" not in world.log(), world.log()


def test_a_stop_does_not_wait_for_a_slow_server(sites: Farm, world: World) -> None:
    site = sites.site()
    url = site.page("/a", delay=60)
    world.submit(url)
    crawler = world.start()
    world.wait(lambda: bool(site.hits("/a")))
    assert world.stop(crawler) == 0, world.log()
    assert site.hits("/a") and not world.trace(url).fetched_at, "the server answers after a minute, long after we are gone"
    assert held(world) == (0, 0)
    assert (world.trace(url).state, world.trace(url).attempts) == (State.DUE, 0)


def test_a_second_signal_ends_at_once(sites: Farm, world: World) -> None:
    site = sites.site()
    world.submit(site.page("/a", delay=60))
    crawler = world.start()
    world.wait(lambda: bool(site.hits("/a")))
    crawler.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    world.stop(crawler, seconds=3)


def test_killed_crawlers_lose_nothing(sites: Farm, world: World) -> None:
    here = paper(sites, 6, 50, slow=0.02)
    world.source(delay=0.01)
    world.submit(*(url for pages in here.values() for url in pages), source="paper")
    dice = random.Random(7)
    for _ in range(3):
        crawler = world.start(lease_seconds=1.5)
        world.wait(lambda crawler=crawler: world.alive(crawler))
        time.sleep(dice.uniform(0.1, 0.8))
        crawler.kill()
        crawler.wait(5)
        time.sleep(1.6)
        world.ledger.expire_leases(now=now())  # the scheduler's work
    world.crawl(lease_seconds=1.5, done=lambda: fetched(world) == 300)
    archived(world, here)
    assert held(world) == (0, 0)
    assert not list((world.data / "spool").iterdir())
    asked = sum(len(site.hits(f"/a{n}")) for site in here for n in range(50))
    assert asked <= 300 + 3 * 6  # what was in flight, one request per host; what had come was saved by the next crawler


def test_a_crawler_saves_what_a_dead_one_had_fetched(sites: Farm, world: World) -> None:
    """A disk too full for segments and a kill: the pages wait in the spool, also while somebody frees their leases."""
    site = sites.site()
    pages = [site.page(f"/a{n}", f"<p>page {n}") for n in range(10)]
    world.source()
    world.submit(*pages, source="paper")
    (world.data / "segments").write_text("in the archive's way")
    crawler = world.start()
    world.wait(lambda: sum(len(site.hits(f"/a{n}")) for n in range(10)) == 10)
    time.sleep(0.2)
    crawler.kill()
    crawler.wait(5)
    assert fetched(world) == 0
    world.ledger.expire_leases(now=now() + timedelta(minutes=5))
    (world.data / "segments").unlink()
    world.crawl(done=lambda: fetched(world) == 10)
    archived(world, {site: pages})
    assert sum(len(site.hits(f"/a{n}")) for n in range(10)) == 10
    assert "saved 10 pages that a dead crawler had fetched" in world.log()


def test_a_killed_crawler_forgets_no_retry_after(sites: Farm, world: World) -> None:
    """One page asks for a pause while another is still on its way; the crawler dies before it could give the host back."""
    site = sites.site()
    world.source(concurrency=2)
    world.submit(site.page("/slow", delay=30), site.page("/busy", status=429, headers={"Retry-After": "600"}), source="paper")
    crawler = world.start()
    world.wait(lambda: world.trace(site.url("/busy")).attempts == 1 and bool(site.hits("/slow")))
    time.sleep(0.5)
    crawler.kill()
    crawler.wait(5)
    later = now() + timedelta(minutes=5)
    world.ledger.expire_leases(now=later)
    assert world.outcome(site.url("/slow")) is State.DUE
    assert world.ledger.lease_hosts("next", limit=10, seconds=1, now=later) == []
    assert [lease.host for lease in world.ledger.lease_hosts("next", limit=10, seconds=1, now=later + timedelta(minutes=6))]


def test_two_crawlers_never_meet_on_a_host(sites: Farm, world: World) -> None:
    here = paper(sites, 8, 25, slow=0.03)
    world.source(delay=0.02)
    with world.crawler(hosts=3, user_agent="One/1 (+x)"), world.crawler(hosts=3, user_agent="Two/1 (+x)"):
        world.submit(*(url for pages in here.values() for url in pages), source="paper")
        world.wait(lambda: fetched(world) == 200, 60)
    archived(world, here)
    assert max(hit.in_flight for site in here for hit in site.log) == 1
    agents = Counter(hit.headers["user-agent"] for site in here for hit in site.log)
    assert len(agents) == 2, agents
    assert all(len(site.log) <= 25 + 2 for site in here)


def test_a_lost_lease_stops_the_host_at_once(sites: Farm, world: World) -> None:
    """The clock of another machine says the lease is over, and a third party takes the host."""
    site = sites.site()
    world.source(delay=0.2)
    world.submit(*(site.page(f"/a{n}", "x") for n in range(100)), source="paper")
    crawler = world.start(lease_seconds=3.0)
    world.wait(lambda: len(site.log) > 3)
    taken = world.ledger.lease_hosts("thief", limit=9, seconds=60, now=now() + timedelta(seconds=30))
    assert [lease.host for lease in taken] == [site.host]
    time.sleep(2.0)  # a renewal is due every second
    asked = len(site.log)
    time.sleep(1.0)
    assert len(site.log) == asked
    assert "lost the lease" in world.log()
    assert world.stop(crawler) == 0, world.log()
    assert held(world)[0] == 1  # the thief's


def test_a_clock_that_jumps_stops_no_crawl_and_doubles_no_visit(sites: Farm, world: World, tmp_path: Path) -> None:
    """The crawler's own clock jumps there and back six times while it is at work; a scheduler's passes go by the same clock."""
    here = paper(sites, 2, 350, slow=0.02)
    world.source(delay=0.01)
    ahead, passed = tmp_path / "ahead", 0.0
    ahead.write_text("0")

    def has_fetched(more: int) -> bool:
        moment = now() + timedelta(seconds=passed)
        world.ledger.adjust_to_clock(now=moment)
        world.ledger.expire_leases(now=moment)
        return fetched(world) >= more

    with world.crawler(ahead=str(ahead), lease_seconds=3.0):
        world.submit(*(url for pages in here.values() for url in pages), source="paper")
        for number, passed in enumerate((15.0, 0.0, 3600.0, 0.0, -3600.0, 0.0, 2 * 86400.0, 0.0, -2 * 86400.0, 0.0), 1):
            draft = tmp_path / "draft"
            draft.write_text(str(passed))
            draft.replace(ahead)
            world.wait(lambda more=65 * number: has_fetched(more), 60)  # type: ignore[misc]
        world.wait(lambda: has_fetched(700), 60)
    archived(world, here)
    assert max(hit.in_flight for site in here for hit in site.log) == 1


def test_the_workers_pace_is_the_limit(sites: Farm, world: World) -> None:
    """No worker at all: with a high-water mark of three segments the crawler stops, and goes on when the backlog is worked off."""
    here = paper(sites, 4, 100)
    world.source()
    world.submit(*(url for pages in here.values() for url in pages), source="paper")
    with world.crawler(high_water=3):
        world.wait(lambda: len(world.ledger.pending_segments(now=now(), limit=99)) >= 3)
        time.sleep(4)
        backlog = len(world.ledger.pending_segments(now=now(), limit=99))
        asked = sum(len(site.log) for site in here)
        assert backlog <= 12, backlog
        time.sleep(2)
        assert sum(len(site.log) for site in here) == asked < 404
        for segment in world.ledger.pending_segments(now=now(), limit=99):
            world.ledger.claim_segment(segment, "worker", seconds=600, now=now())
        world.wait(lambda: sum(len(site.log) for site in here) > asked)


def test_redis_may_go_away(sites: Farm, world: World) -> None:
    """Pages are saved and go unannounced; the scheduler announces what is owed."""
    from newsmill.queue.embedded_redis import EmbeddedRedis

    site = sites.site()
    world.source()
    with EmbeddedRedis(world.data / "redis") as redis:
        crawler = world.start(redis_url=redis.url)
        world.wait(lambda: world.alive(crawler))
    url = site.page("/a", "<p>x")
    world.submit(url, source="paper")
    world.wait(lambda: world.outcome(url) is State.FETCHED)
    world.wait(lambda: "is saved but not enqueued" in world.log())
    assert world.stop(crawler) == 0, world.log()
    assert len(world.ledger.pending_segments(now=now(), limit=9)) == 1


def test_a_redirect_waits_for_a_host_that_another_crawler_holds(sites: Farm, world: World) -> None:
    site, held_site = sites.site(), sites.site()
    held_site.article("/a")
    url = site.page("/go", redirect=held_site.url("/a"))
    assert world.ledger.lease_host(held_site.host, "another", seconds=60, now=now()) is not None
    world.submit(url)
    with world.crawler(patch={"crawler.fetch_task.OCCUPIED_PAUSE": 1.0}, delay=0.0):
        world.wait(lambda: "which another crawler is asking" in (world.trace(url).detail or ""))
        assert (held_site.log, world.trace(url).attempts) == ([], 0)
        world.ledger.release_host(held_site.host, "another", now=now())
        world.wait(lambda: world.outcome(url) is State.FETCHED)
    assert [hit.path for hit in held_site.log] == ["/robots.txt", "/a"]
    assert held(world) == (0, 0)

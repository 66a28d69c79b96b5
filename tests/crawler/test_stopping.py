"""Stops and kills: SIGTERM or SIGINT releases everything, kill -9 loses nothing, and two crawlers never fetch from one host at once."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from fake_site import Farm, Site
from world import World, now

from newsmill.model import Kind, Outcome, State


def add_sites(sites: Farm, hosts: int, pages: int, *, slow: float = 0.0) -> dict[Site, list[str]]:
    sites_pages = {}
    for _ in range(hosts):
        site = sites.site()
        sites_pages[site] = [site.page(f"/a{n}", f"<p>page {n}", delay=slow) for n in range(pages)]
    return sites_pages


def count_leases(world: World) -> tuple[int, int]:
    """The numbers of leased hosts and rows."""
    db = sqlite3.connect(world.data / "newsmill.db")
    try:
        hosts = db.execute("SELECT count(*) FROM hosts WHERE owner IS NOT NULL").fetchone()[0]
        rows = db.execute("SELECT count(*) FROM ledger WHERE state = 'fetching' OR owner IS NOT NULL").fetchone()[0]
    finally:
        db.close()
    return hosts, rows


def count_fetched(world: World) -> int:
    return world.ledger.progress.count().states.get(State.FETCHED, 0)


def assert_archived_once(world: World, sites_pages: dict[Site, list[str]]) -> None:
    """Every page is in the archive once, with its own bytes."""
    assert {world.outcome(url) for pages in sites_pages.values() for url in pages} == {State.FETCHED}
    positions = Counter((t.segment, t.offset) for t in world.rows())
    assert set(positions.values()) == {1}
    for site, pages in sites_pages.items():
        for n, url in enumerate(pages):
            page = world.page(url)
            assert (page.url, page.body) == (url, f"<p>page {n}".encode()), site.host


def test_a_stop_releases_everything_and_loses_nothing(sites: Farm, world: World) -> None:
    sites_pages = add_sites(sites, 6, 15, slow=0.1)
    world.source(delay=0.05)
    world.submit(*(url for pages in sites_pages.values() for url in pages), source="paper")
    crawler = world.start()
    world.wait(lambda: sum(len(site.log) for site in sites_pages) > 30)
    requests = {site: len(site.log) for site in sites_pages}
    assert world.stop(crawler) == 0, world.log()
    assert count_leases(world) == (0, 0)
    assert all(len(site.log) <= requests[site] + 2 for site in sites_pages)
    served = sum(len(site.log) - 1 for site in sites_pages)
    assert count_fetched(world) >= served - 6  # a request in flight per host may have been given up
    world.crawl()
    assert_archived_once(world, sites_pages)
    assert sum(len(site.log) for site in sites_pages) <= 6 * 16 + 6
    assert "Traceback" not in world.log(), world.log()


def test_a_stop_does_not_wait_for_a_slow_server(sites: Farm, world: World) -> None:
    site = sites.site()
    url = site.page("/a", delay=60)
    world.submit(url)
    crawler = world.start(patch={"crawler.frontier.frontier.GRACE_SECONDS": 1.0})
    world.wait(lambda: bool(site.hits("/a")))
    assert world.stop(crawler, how=signal.SIGINT) == 0, world.log()
    assert site.hits("/a") and not world.trace(url).fetched_at, "the server responds after a minute, long after the stop"
    assert count_leases(world) == (0, 0)
    assert (world.trace(url).state, world.trace(url).attempts) == (State.DUE, 0)


def test_a_second_signal_ends_at_once(sites: Farm, world: World) -> None:
    """The crawler does not wait for requests in flight, so it cannot release its host and row."""
    site = sites.site()
    world.submit(site.page("/a", delay=60))
    crawler = world.start()
    world.wait(lambda: bool(site.hits("/a")))
    crawler.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    world.stop(crawler)
    assert count_leases(world) == (1, 1)


def test_killed_crawlers_lose_nothing(sites: Farm, world: World) -> None:
    sites_pages = add_sites(sites, 4, 40, slow=0.02)
    world.source(delay=0.01)
    world.submit(*(url for pages in sites_pages.values() for url in pages), source="paper")
    random_numbers = random.Random(7)
    for _ in range(3):
        crawler = world.start(lease_seconds=1.5)
        world.wait(lambda crawler=crawler: world.alive(crawler))
        time.sleep(random_numbers.uniform(0.1, 0.8))
        crawler.kill()
        crawler.wait(5)
        world.ledger.url_leases.expire(now=now() + timedelta(seconds=1.6))  # the scheduler's work
    world.crawl(done=lambda: count_fetched(world) == 160)
    assert_archived_once(world, sites_pages)
    assert count_leases(world) == (0, 0)
    assert not list((world.data / "spool").iterdir())
    requests = sum(len(site.hits(f"/a{n}")) for site in sites_pages for n in range(40))
    assert requests <= 160 + 3 * 4  # one request per host was in flight at each kill; the next crawler saved the other pages


def test_a_crawler_saves_what_a_dead_one_had_fetched(sites: Farm, world: World) -> None:
    """The disk is too full for segments, and the crawler is killed: its pages stay in the spool, also when the leases expire."""
    site = sites.site()
    pages = [site.page(f"/a{n}", f"<p>page {n}") for n in range(10)]
    world.source()
    world.submit(*pages, source="paper")
    (world.data / "segments").write_text("a file in place of the folder")
    crawler = world.start()
    world.wait(lambda: sum(len(site.hits(f"/a{n}")) for n in range(10)) == 10)
    time.sleep(0.2)
    crawler.kill()
    crawler.wait(5)
    assert count_fetched(world) == 0
    world.ledger.url_leases.expire(now=now() + timedelta(minutes=5))
    (world.data / "segments").unlink()
    world.crawl(done=lambda: count_fetched(world) == 10)
    assert_archived_once(world, {site: pages})
    assert sum(len(site.hits(f"/a{n}")) for n in range(10)) == 10
    assert "pages of a killed crawler saved from the spool: 10" in world.log()


def test_a_killed_crawlers_retry_after_is_kept(sites: Farm, world: World) -> None:
    """One page asks for a pause while another is in flight. The crawler is killed before it can release the host."""
    site = sites.site()
    world.source(concurrency=2)
    world.submit(site.page("/slow", delay=30), site.page("/busy", status=429, headers={"Retry-After": "600"}), source="paper")
    crawler = world.start()
    world.wait(lambda: world.trace(site.url("/busy")).attempts == 1 and bool(site.hits("/slow")))
    time.sleep(0.5)
    crawler.kill()
    crawler.wait(5)
    later = now() + timedelta(minutes=5)
    world.ledger.url_leases.expire(now=later)
    assert world.outcome(site.url("/slow")) is State.DUE
    assert world.ledger.hosts.lease("next", limit=10, seconds=1, now=later) == []
    assert [lease.host for lease in world.ledger.hosts.lease("next", limit=10, seconds=1, now=later + timedelta(minutes=6))]


def test_two_crawlers_never_fetch_from_one_host_at_once(sites: Farm, world: World) -> None:
    sites_pages = add_sites(sites, 8, 15, slow=0.03)
    world.source(delay=0.02)
    with world.crawler(hosts=3, user_agent="One/1 (+x)"), world.crawler(hosts=3, user_agent="Two/1 (+x)"):
        world.submit(*(url for pages in sites_pages.values() for url in pages), source="paper")
        world.wait(lambda: count_fetched(world) == 120, 60)
    assert_archived_once(world, sites_pages)
    assert max(hit.in_flight for site in sites_pages for hit in site.log) == 1
    agents = Counter(hit.headers["user-agent"] for site in sites_pages for hit in site.log)
    assert len(agents) == 2, agents
    assert all(len(site.log) <= 15 + 2 for site in sites_pages)


def test_a_lost_lease_stops_the_host_at_once(sites: Farm, world: World) -> None:
    """The clock of another machine says that the lease is over, and another crawler leases the host."""
    site = sites.site()
    world.source(delay=0.2)
    world.submit(*(site.page(f"/a{n}", "x") for n in range(100)), source="paper")
    crawler = world.start(lease_seconds=3.0)
    world.wait(lambda: len(site.log) > 3)
    leases = world.ledger.hosts.lease("another", limit=9, seconds=60, now=now() + timedelta(seconds=30))
    assert [lease.host for lease in leases] == [site.host]
    world.wait(lambda: "lost the lease" in world.log())  # a renewal is due every second
    requests = len(site.log)
    time.sleep(1.0)
    assert len(site.log) == requests
    assert world.stop(crawler) == 0, world.log()
    assert count_leases(world)[0] == 1  # the other crawler's


def test_a_clock_that_jumps_stops_no_crawl_and_doubles_no_worker(sites: Farm, world: World, tmp_path: Path) -> None:
    """The crawler's clock jumps forward and back while it works. The scheduler's passes use the same clock."""
    sites_pages = add_sites(sites, 2, 210, slow=0.02)
    world.source(delay=0.01)
    ahead, passed = tmp_path / "ahead", 0.0
    ahead.write_text("0")

    def has_fetched(pages: int) -> bool:
        moment = now() + timedelta(seconds=passed)
        world.ledger.clock_repair.adjust(now=moment)
        world.ledger.url_leases.expire(now=moment)
        return count_fetched(world) >= pages

    with world.crawler(ahead=str(ahead), lease_seconds=3.0):
        world.submit(*(url for pages in sites_pages.values() for url in pages), source="paper")
        for number, passed in enumerate((15.0, 0.0, -3600.0, 0.0, 2 * 86400.0, 0.0), 1):
            draft = tmp_path / "draft"
            draft.write_text(str(passed))
            draft.replace(ahead)
            world.wait(lambda pages=65 * number: has_fetched(pages), 60)  # type: ignore[misc]
        world.wait(lambda: has_fetched(420), 60)
    assert_archived_once(world, sites_pages)
    assert max(hit.in_flight for site in sites_pages for hit in site.log) == 1


def test_a_full_backlog_stops_fetching(sites: Farm, world: World) -> None:
    """Without workers and with a high-water mark of three segments the crawler stops. It resumes when the segments are claimed."""
    sites_pages = add_sites(sites, 4, 100)
    world.source()
    world.submit(*(url for pages in sites_pages.values() for url in pages), source="paper")
    with world.crawler(high_water=3, patch={"crawler.frontier.frontier.MAINTENANCE_INTERVAL_SECONDS": 0.5}):
        world.wait(lambda: len(world.ledger.segments.list_pending(now=now(), limit=99)) >= 3)
        time.sleep(2)
        backlog = len(world.ledger.segments.list_pending(now=now(), limit=99))
        requests = sum(len(site.log) for site in sites_pages)
        assert backlog <= 12, backlog
        time.sleep(1)
        assert sum(len(site.log) for site in sites_pages) == requests < 404
        for segment in world.ledger.segments.list_pending(now=now(), limit=99):
            world.ledger.claims.claim(segment, "worker", seconds=600, now=now())
        world.wait(lambda: sum(len(site.log) for site in sites_pages) > requests)


def test_redis_may_go_away(sites: Farm, world: World) -> None:
    """Pages are saved without being enqueued. The scheduler enqueues them later."""
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
    assert len(world.ledger.segments.list_pending(now=now(), limit=9)) == 1


def test_a_redirect_waits_for_a_host_that_another_crawler_holds(sites: Farm, world: World) -> None:
    site, busy_site = sites.site(), sites.site()
    url = site.page("/go", redirect=busy_site.feed("/a"))  # a page would leave its site, and the target would have a row of its own
    assert world.ledger.hosts.lease_one(busy_site.host, "another", seconds=60, now=now()) is not None
    world.submit(url, kind=Kind.FEED)
    with world.crawler(patch={"crawler.frontier.fetch_task.BUSY_HOST_PAUSE_SECONDS": 1.0}, delay=0.0):
        world.wait(lambda: "a host that another crawler holds" in (world.trace(url).detail or ""))
        assert (busy_site.log, world.trace(url).attempts) == ([], 0)
        world.ledger.hosts.release(busy_site.host, "another", now=now())
        world.wait(lambda: world.outcome(url) is Outcome.EMPTY_LISTING)
    assert [hit.path for hit in busy_site.log] == ["/robots.txt", "/a"]
    assert count_leases(world) == (0, 0)


def test_the_delay_is_kept_after_a_kill(sites: Farm, world: World) -> None:
    """The next crawler cannot know when the killed one sent its last request."""
    site = sites.site()
    site.robots("User-agent: *\nCrawl-delay: 4")
    world.submit(*(site.article(f"/{n}") for n in range(9)))
    crawler = world.start(delay=0.0)
    world.wait(lambda: len(site.log) == 3)
    crawler.kill()
    with world.crawler(delay=0.0):
        world.wait(lambda: len(site.log) == 4)
    assert min(site.gaps()) >= 4 - 0.05

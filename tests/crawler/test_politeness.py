"""Politeness as the hosts' own logs show it, in one crawl over several hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fake_site import Farm, Hit, Response, Site, farm
from world import World, now

from crawler.politeness.throttle import HostThrottle, StopSignal
from newsmill.discovery.robots import RobotsTxt
from newsmill.model import Kind, Link, Outcome, State

TOLERANCE = 0.05  # seconds; clocks of two processes, read a moment apart
PAUSE = 3.0


class Hosts:
    """The hosts of the crawl, and the pages that it must fetch."""

    def __init__(self, sites: Farm, world: World) -> None:
        self.world = world
        self.sites = sites
        self.waiting: list[str] = []  # pages that must be fetched before the crawl ends
        self.delaying = self.add_host("delaying", delay=0.1, concurrency=4)
        self.delaying.robots("User-agent: *\nCrawl-delay: 0.7")
        self.parallel = self.add_host("parallel", concurrency=3, pages=12, slow=0.3)
        self.seconds = self.add_host("seconds")
        self.busy(self.seconds, lambda: f"{PAUSE:.0f}")
        self.date = self.add_host("date")
        self.busy(self.date, lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=PAUSE + 1), usegmt=True))
        self.silent = self.add_host("silent", pages=0)
        self.refuse(self.silent, 1, 429)
        self.broken = self.add_host("broken", pages=0)
        self.refuse(self.broken, 10, 500)
        self.locked = self.add_host("locked", pages=0)
        self.locked.robots("", status=503)
        self.refuse(self.locked, 40, 200)
        self.slow = self.add_host("slow", pages=0)
        world.submit(self.slow.page("/a", delay=60), source="slow")
        self.healthy = self.add_host("healthy", pages=50)

    def add_host(self, name: str, *, delay: float = 0.0, concurrency: int = 1, pages: int = 4, slow: float = 0.0) -> Site:
        site = self.sites.site()
        self.world.source(name, delay=delay, concurrency=concurrency)
        fetched = [site.page(f"/a{n}", "<p>x", delay=slow) for n in range(pages)]
        self.world.submit(*fetched, source=name)
        self.waiting += fetched
        return site

    def busy(self, site: Site, value: object) -> None:
        """/busy responds with 429 and a Retry-After, the first time."""

        def respond(hit: Hit) -> Response:
            is_repeated = len(site.hits("/busy")) > 1
            return Response(200) if is_repeated else Response(429, (("Retry-After", value()),))  # type: ignore[operator]

        site.pages["/busy"] = respond
        self.world.submit(site.url("/busy"), source="seconds" if site is self.seconds else "date")

    def refuse(self, site: Site, pages: int, status: int) -> None:
        name = {id(self.silent): "silent"}.get(id(site)) or ("broken" if status == 500 else "locked")
        self.world.submit(*(site.page(f"/a{n}", status=status) for n in range(pages)), source=name)

    def done(self) -> bool:
        return all(self.world.outcome(url) is State.FETCHED for url in self.waiting) and len(self.broken.log) >= 4


@pytest.fixture(scope="module")
def hosts(redis_url: str, authority: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with farm() as sites:
        world = World(Path(tmp_path_factory.mktemp("hosts")), redis_url)
        hosts = Hosts(sites, world)
        world.crawl(done=hosts.done, seconds=60, patch={"crawler.frontier.frontier.GRACE_SECONDS": 1.0})
        yield hosts
        world.close()


def test_crawl_delay_wins_over_a_shorter_delay_of_the_source(hosts: Hosts) -> None:
    log = hosts.delaying
    assert len(log.log) == 5
    assert min(log.gaps()) >= 0.7 - TOLERANCE
    assert max(hit.in_flight for hit in log.log) == 1


def test_concurrency_is_what_the_source_says(hosts: Hosts) -> None:
    assert max(hit.in_flight for hit in hosts.parallel.log) == 3


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_silences_the_host(hosts: Hosts, how: str) -> None:
    site: Site = getattr(hosts, how)
    first = site.hits("/busy")[0].at
    early = [hit for hit in site.log if first < hit.at < first + PAUSE - TOLERANCE]
    assert early == []
    trace = hosts.world.trace(site.url("/busy"))
    assert (trace.state, trace.attempts, "Retry-After" in (trace.detail or "")) == (State.DUE, 1, True)


def test_a_429_without_a_time_pauses_the_host(hosts: Hosts) -> None:
    assert [hit.path for hit in hosts.silent.log] == ["/robots.txt", "/a0"]
    assert not leasable(hosts, hosts.silent, timedelta(seconds=15))
    assert leasable(hosts, hosts.silent, timedelta(minutes=2))


def test_failures_in_a_row_pause_the_host(hosts: Hosts) -> None:
    """Three broken pages and the host is left alone; seven of its pages were not requested."""
    assert len(hosts.broken.log) == 4
    assert not leasable(hosts, hosts.broken, timedelta(seconds=15))


def test_an_unreachable_robots_txt_forbids_everything(hosts: Hosts) -> None:
    assert [hit.path for hit in hosts.locked.log] == ["/robots.txt"]
    traces = [hosts.world.trace(hosts.locked.url(f"/a{n}")) for n in range(40)]
    assert {(t.state, t.attempts, t.detail) for t in traces} == {(State.DUE, 1, "robots_unreachable: robots.txt: HTTP 503")}
    assert not leasable(hosts, hosts.locked, timedelta(seconds=15))


def test_a_slow_host_slows_nobody(hosts: Hosts) -> None:
    """The healthy host is done while the slow response, which takes longer than the deadline, is still awaited."""
    assert len(hosts.healthy.log) == 51
    (slow_request,) = hosts.slow.hits("/a")
    assert slow_request.at < hosts.healthy.log[-1].at
    assert hosts.world.trace(hosts.slow.url("/a")).attempts == 0


def test_robots_txt_is_fetched_once_and_first(hosts: Hosts) -> None:
    for site in (hosts.delaying, hosts.parallel, hosts.seconds, hosts.date, hosts.healthy):
        assert [hit.path for hit in site.log].index("/robots.txt") == 0
        assert len(site.hits("/robots.txt")) == 1


def leasable(hosts: Hosts, site: Site, after: timedelta) -> bool:
    """Whether a crawler could lease the host that long after now."""
    at = now() + after
    leases = hosts.world.ledger.hosts.lease("test", limit=99, seconds=0, now=at)
    return site.host in {lease.host for lease in leases}


# ---- over several crawls


def test_politeness_is_kept_across_crawlers(sites: Farm, world: World) -> None:
    """The delay and robots.txt are kept with the host; a feed's validators with its row, also after a 304."""
    site = sites.site()
    validators = (("ETag", '"v1"'), ("Last-Modified", "Mon, 23 Nov 2026 10:00:00 GMT"))

    def unchanged(hit: Hit) -> Response:
        sent = (hit.headers.get("if-none-match"), hit.headers.get("if-modified-since"))
        return (
            Response(304, (("Expires", "0"),) if len(site.hits("/feed.xml")) > 2 else ()) if sent == ('"v1"', validators[1][1]) else first
        )

    headers = (*validators, ("Content-Type", "application/rss+xml"), ("Cache-Control", "max-age=90"), ("Age", "30"))
    first = Response(200, headers, b'<rss version="2.0"><channel><ttl>45</ttl></channel></rss>')
    site.pages["/feed.xml"] = unchanged
    feed = site.url("/feed.xml")
    world.source(feeds=(feed,), delay=0.5)
    outcomes, fresh = [], []
    for n in range(3):
        world.submit(site.article(f"/a{n}"), source="paper")
        world.ledger.links.add([Link(feed, Kind.FEED, "paper")], now=now(), again=True)
        world.crawl()
        outcomes.append(world.outcome(feed))
        (listing,) = world.ledger.poll_plans.list_polled("paper")
        fresh.append((listing.cache_seconds, listing.update_interval))
    assert outcomes == [Outcome.EMPTY_LISTING, Outcome.NOT_MODIFIED, Outcome.NOT_MODIFIED]
    # The first 304 says nothing about freshness, so that of the first response stays (RFC 9111 section 4.3.4).
    assert fresh == [(60, timedelta(minutes=45)), (60, timedelta(minutes=45)), (0, timedelta(minutes=45))]
    assert len(site.hits("/robots.txt")) == 1
    assert min(site.gaps()) >= 0.5 - TOLERANCE


def test_a_long_crawl_delay_is_clamped() -> None:
    throttle = HostThrottle("a.example", "Newsmill", StopSignal())
    throttle.robots = RobotsTxt.parse(b"User-agent: *\nCrawl-delay: 1000000000")
    throttle.set_delay(1.0)
    assert throttle.delay == 120.0


def test_the_newest_responses_weigh_most_in_the_time_of_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for a host's turn does not count."""
    clock = [100.0]
    monkeypatch.setattr("crawler.politeness.throttle.time.monotonic", lambda: clock[0])
    throttle = HostThrottle("slow.example", "Newsmill", StopSignal())
    means = []
    for seconds in (20.0, 20.0, 0.0, *[1.0] * 20):
        asyncio.run(throttle.acquire())
        clock[0] += seconds
        throttle.mark_response()
        throttle.mark_response()  # of a redirect that was not followed
        means.append(throttle.response_seconds)
    assert means[:3] == [20.0, 20.0, 16.0]
    assert means[-1] == pytest.approx(1.0, abs=0.3)

"""What the hosts' own logs say about our manners: one crawl over a town of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fake_site import Answer, Farm, Hit, Site, farm
from world import World, now

from crawler.throttle import HostThrottle, StopSignal
from newsmill.discovery.robots import RobotsTxt
from newsmill.model import Kind, Link, Outcome, State

TOLERANCE = 0.05  # seconds; clocks of two processes, read a moment apart
PAUSE = 3.0


class Town:
    def __init__(self, sites: Farm, world: World) -> None:
        self.world = world
        self.sites = sites
        self.waiting: list[str] = []  # pages that must have been fetched before the crawl ends
        self.delaying = self.place("delaying", delay=0.1, concurrency=4)
        self.delaying.robots("User-agent: *\nCrawl-delay: 0.7")
        self.parallel = self.place("parallel", concurrency=3, pages=12, slow=0.3)
        self.seconds = self.place("seconds")
        self.busy(self.seconds, lambda: f"{PAUSE:.0f}")
        self.date = self.place("date")
        self.busy(self.date, lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=PAUSE + 1), usegmt=True))
        self.silent = self.place("silent", pages=0)
        self.refuse(self.silent, 1, 429)
        self.broken = self.place("broken", pages=0)
        self.refuse(self.broken, 10, 500)
        self.locked = self.place("locked", pages=0)
        self.locked.robots("", status=503)
        self.refuse(self.locked, 40, 200)
        self.slow = self.place("slow", pages=0)
        world.submit(self.slow.page("/a", delay=60), source="slow")
        self.healthy = self.place("healthy", pages=50)

    def place(self, name: str, *, delay: float = 0.0, concurrency: int = 1, pages: int = 4, slow: float = 0.0) -> Site:
        site = self.sites.site()
        self.world.source(name, delay=delay, concurrency=concurrency)
        fetched = [site.page(f"/a{n}", "<p>x", delay=slow) for n in range(pages)]
        self.world.submit(*fetched, source=name)
        self.waiting += fetched
        return site

    def busy(self, site: Site, value: object) -> None:
        """/busy says 429 and when to come back, to its first visitor."""

        def answer(hit: Hit) -> Answer:
            again = len(site.hits("/busy")) > 1
            return Answer(200) if again else Answer(429, (("Retry-After", value()),))  # type: ignore[operator]

        site.pages["/busy"] = answer
        self.world.submit(site.url("/busy"), source="seconds" if site is self.seconds else "date")

    def refuse(self, site: Site, pages: int, status: int) -> None:
        name = {id(self.silent): "silent"}.get(id(site)) or ("broken" if status == 500 else "locked")
        self.world.submit(*(site.page(f"/a{n}", status=status) for n in range(pages)), source=name)

    def done(self) -> bool:
        return all(self.world.outcome(url) is State.FETCHED for url in self.waiting) and len(self.broken.log) >= 4


@pytest.fixture(scope="module")
def town(redis_url: str, authority: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with farm() as sites:
        world = World(Path(tmp_path_factory.mktemp("town")), redis_url)
        town = Town(sites, world)
        world.crawl(done=town.done, seconds=60)
        yield town
        world.close()


def test_crawl_delay_is_kept_though_the_source_would_hurry(town: Town) -> None:
    log = town.delaying
    assert len(log.log) == 5
    assert min(log.gaps()) >= 0.7 - TOLERANCE
    assert max(hit.in_flight for hit in log.log) == 1


def test_concurrency_is_what_the_source_says(town: Town) -> None:
    assert max(hit.in_flight for hit in town.parallel.log) == 3


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_silences_the_host(town: Town, how: str) -> None:
    site: Site = getattr(town, how)
    first = site.hits("/busy")[0].at
    early = [hit for hit in site.log if first < hit.at < first + PAUSE - TOLERANCE]
    assert early == []
    trace = town.world.trace(site.url("/busy"))
    assert (trace.state, trace.attempts, "Retry-After" in (trace.detail or "")) == (State.DUE, 1, True)


def test_a_429_without_a_time_pauses_the_host(town: Town) -> None:
    assert [hit.path for hit in town.silent.log] == ["/robots.txt", "/a0"]
    assert not leasable(town, town.silent, timedelta(seconds=15))
    assert leasable(town, town.silent, timedelta(minutes=2))


def test_failures_in_a_row_pause_the_host(town: Town) -> None:
    """Three broken pages and the host is left alone; seven of its pages were not asked for."""
    assert len(town.broken.log) == 4
    assert not leasable(town, town.broken, timedelta(seconds=15))


def test_an_unreachable_robots_txt_forbids_everything(town: Town) -> None:
    assert [hit.path for hit in town.locked.log] == ["/robots.txt"]
    traces = [town.world.trace(town.locked.url(f"/a{n}")) for n in range(40)]
    assert {(t.state, t.attempts, t.detail) for t in traces} == {(State.DUE, 1, "robots_unreachable: robots.txt: status 503")}
    assert not leasable(town, town.locked, timedelta(seconds=15))


def test_a_slow_host_slows_nobody(town: Town) -> None:
    times = [hit.at for hit in town.healthy.log]
    assert (len(times), max(times) - min(times) < 20) == (51, True)


def test_robots_txt_is_asked_for_once_and_before_anything_else(town: Town) -> None:
    for site in (town.delaying, town.parallel, town.seconds, town.date, town.healthy):
        assert [hit.path for hit in site.log].index("/robots.txt") == 0
        assert len(site.hits("/robots.txt")) == 1


def leasable(town: Town, site: Site, after: timedelta) -> bool:
    """Whether a crawler could lease the host that long after now."""
    at = now() + after
    leases = town.world.ledger.lease_hosts("test", limit=99, seconds=0, now=at)
    return site.host in {lease.host for lease in leases}


# ---- over several crawls


def test_manners_outlive_the_crawler(sites: Farm, world: World) -> None:
    """The delay and robots.txt are kept with the host; a feed's validators with its row, also after a 304."""
    site = sites.site()
    validators = (("ETag", '"v1"'), ("Last-Modified", "Mon, 23 Nov 2026 10:00:00 GMT"))

    def unchanged(hit: Hit) -> Answer:
        asked = (hit.headers.get("if-none-match"), hit.headers.get("if-modified-since"))
        return Answer(304) if asked == ('"v1"', validators[1][1]) else first

    first = Answer(200, (*validators, ("Content-Type", "application/rss+xml")), b'<rss version="2.0"><channel></channel></rss>')
    site.pages["/feed.xml"] = unchanged
    feed = site.url("/feed.xml")
    world.source(feeds=(feed,), delay=0.5)
    outcomes = []
    for n in range(3):
        world.submit(site.article(f"/a{n}"), source="paper")
        world.ledger.add([Link(feed, Kind.FEED, "paper")], now=now(), again=True)
        world.crawl()
        outcomes.append(world.outcome(feed))
    assert outcomes == [Outcome.EMPTY_LISTING, Outcome.NOT_MODIFIED, Outcome.NOT_MODIFIED]
    assert len(site.hits("/robots.txt")) == 1
    assert min(site.gaps()) >= 0.5 - TOLERANCE


def test_a_long_crawl_delay_is_clamped() -> None:
    throttle = HostThrottle("a.example", "Newsmill", StopSignal())
    throttle.robots = RobotsTxt.parse(b"User-agent: *\nCrawl-delay: 1000000000")
    throttle.be_patient(1.0)
    assert throttle.delay == 120.0

"""Spiders of the operator: run when due, in a process of their own, with the limits of the continuous crawl."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from certificates import Authority
from fake_site import Farm, Response
from run_processes import find_runs
from spider_scenarios import Paper, Scenario, Steps, run_scenarios
from spider_sites import add_articles, serve_login
from world import World, now

from crawler.spider_runs.storing_sink import MAX_BATCH_SECONDS
from newsmill.model import Outcome, SpiderLimits, State
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.publishers import Publishers

pytestmark = pytest.mark.timeout(600)  # the first test waits for all scenarios
SCENARIOS: dict[str, Scenario] = {}
VISIT_START = "    def parse(self, response):\n        yield page(response)\n"


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def visit(urls: list[str]) -> str:
    """The code of a spider that hands over the page of each URL."""
    return f"""
    def parse(self, response):
        for url in {urls!r}:
            yield scrapy.Request(url, callback=self.parse_article)

    def parse_article(self, response):
        yield page(response)
"""


def wait_for(url: str) -> str:
    """The code of a spider that hands over its first page and then waits for the response of `url`."""
    return f"""
    def parse(self, response):
        yield page(response)
        yield scrapy.Request({url!r}, callback=self.ignore)

    def ignore(self, response):
        pass
"""


# ---- runs that fail


CRASHES = {
    "crash_by_signal": (
        "    def parse(self, response):\n        import os, signal\n        os.kill(os.getpid(), signal.SIGSEGV)\n",
        "the run crashed (signal 11)",
    ),
    "crash_by_exceptions": (
        "    class Broken:\n        def process_item(self, item):\n            raise OSError('no database')\n\n"
        "    custom_settings = {'ITEM_PIPELINES': {Broken: 300}}\n\n    def parse(self, response):\n        yield {'url': response.url}\n"
        "        raise KeyError('headline')\n",
        "2 errors in callbacks or pipelines, first ",
    ),
    "crash_by_system_exit": (
        "    def parse(self, response):\n        raise SystemExit('no token')\n",
        "the spider called sys.exit: no token",
    ),
    "crash_by_memory": ("    def parse(self, response):\n        self.kept = bytearray(2_000_000_000)\n", "needed more than 200 MB"),
    "crash_by_arguments": ("    def __init__(self, url, section):\n        pass\n", "missing 1 required positional argument: 'section'"),
}


@scenario
def blocked_process(paper: Paper) -> Steps:
    """A spider that blocks its process is killed."""
    code = "    def parse(self, response):\n        while True:\n            pass\n"
    paper.add(code, paper.site.article("/a"), spider_limits=SpiderLimits(seconds=2))
    yield paper.has_ended
    assert "was killed" in paper.detail()
    assert paper.world.ledger.hosts.lease_one(paper.site.host, "me", seconds=1, now=now()) is not None


@scenario
def time_limit(paper: Paper) -> Steps:
    """The run ends and keeps its pages."""
    slow = paper.site.page("/slow", "x", delay=6)
    paper.add(wait_for(slow), paper.site.article("/a"), spider_limits=SpiderLimits(seconds=2))
    yield paper.has_ended
    assert "the run took longer than 2 s" in paper.detail()
    assert paper.archived() == [paper.site.url("/a")]


@scenario
def pipeline_of_other_projects(paper: Paper) -> Steps:
    """In a source's spider Newsmill's pipeline and middleware are disabled, in words: each page would be archived twice.

    The source has `robots = false`, the only way round robots.txt, and a spider of the configuration folder, with the operator's settings.
    """
    paper.site.robots("User-agent: *\nDisallow: /\n")
    folder = paper.world.data / "of-the-pipeline"
    components = {"ITEM_PIPELINES": "NewsmillPipeline", "SPIDER_MIDDLEWARES": "NewsmillMiddleware"}
    values = {name: {f"newsmill.scrapy.{component}": 300} for name, component in components.items()} | {"NEWSMILL_DATA": str(folder)}
    paper.add(f"    custom_settings = {values!r}\n\n" + VISIT_START, paper.site.article("/a"), robots=False)
    (paper.world.data / "spiders" / f"{paper.name}.py").rename(paper.world.data / "config" / "spiders" / f"{paper.name}.py")
    yield paper.has_ended
    assert paper.archived() == [paper.site.url("/a")]
    assert paper.detail().startswith("1 page (1 new, 0 known)")
    assert paper.log().count("Newsmill stores what the spider of a source yields") == 2
    assert not folder.exists()
    assert paper.site.hits("/a")[0].headers["x-reader"] == "desk"


def crash(paper: Paper, code: str, detail: str) -> Steps:
    """A crash is an outcome of the run, and the crawl goes on."""
    paper.add(code, paper.site.article("/a"), spider_limits=SpiderLimits(memory_mb=200))
    other = paper.site.article("/other")
    paper.world.submit(other)
    yield paper.has_ended
    trace = paper.trace()
    assert trace.detail is not None and trace.detail.startswith("spider_failed: ") and detail in trace.detail
    assert 50 < (trace.next_at - now()).total_seconds() <= 61
    yield lambda: paper.world.outcome(other) is State.FETCHED


SCENARIOS |= {name: partial(crash, code=code, detail=detail) for name, (code, detail) in CRASHES.items()}


@scenario
def failed_request(paper: Paper) -> Steps:
    """It is tried again by Scrapy's rules, and the summary of the run names it."""

    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    article, broken = paper.site.article("/a"), paper.site.raw("/b", hang_up)
    paper.add(visit([article, broken]), paper.site.page("/start", "x"))
    yield paper.has_ended
    assert paper.trace().outcome is Outcome.LISTED
    assert paper.detail().startswith("1 page (1 new, 0 known); 1 request failed, first DownloadFailedError: "), paper.detail()
    assert len(paper.site.hits("/b")) >= 3  # Twisted repeats a request on a connection that was kept open


@scenario
def missing_spider(paper: Paper) -> Steps:
    """It is not tried again."""
    paper.world.source(paper.name, spider="nothing:Here")
    yield paper.has_ended
    assert paper.trace().outcome is Outcome.SPIDER_FAILED
    assert "module nothing cannot be imported" in paper.detail() and str(paper.world.data / "spiders") in paper.detail()


@scenario
def refused_password(paper: Paper) -> Steps:
    serve_login(paper.site, 5)
    arguments = {"login": paper.site.url("/login"), "url": paper.site.url("/archive"), "password_variable": "WRONG_PASSWORD"}
    paper.world.source(paper.name, spider="crawler.spiders.form_login:FormLoginSpider", spider_args=arguments)
    yield paper.has_ended
    assert "the site refused the user name or the password" in paper.detail()
    assert "wrong word" not in paper.log()


# ---- pages, links and items


@scenario
def links_and_items(paper: Paper) -> Steps:
    """Links are fetched by the crawl, and pages are stored. The source gets its spider while a crawler runs that has read it before."""
    section = paper.site.page("/section", "<p>none</p>")
    paper.world.source(paper.name, sections=(section,))
    yield lambda: paper.world.trace(section).outcome is not None
    one, two = add_articles(paper.site, 2)
    code = f"""
    def parse(self, response):
        yield link({two!r}, title="Two", published="2026-11-25T08:30:00+01:00")
        yield link("ftp://nothing.example/")
        yield {{"title": "no text"}}
        yield scrapy.Request({one!r}, callback=self.parse_article)

    def parse_article(self, response):
        print("a line of the spider")
        yield PageItem(response=response)
"""
    paper.add(code, paper.site.page("/start", "<p>list</p>"))
    yield lambda: paper.has_ended() and len(paper.archived()) == 2
    world = paper.world
    assert paper.detail() == "1 page (1 new, 0 known); 1 link (1 new); 1 left out; 1 item without url, title and text"
    assert paper.archived() == sorted([one, two])
    assert (world.trace(one).found_by, world.trace(two).found_by) == ("spider", "spider")
    assert world.page(two).hint.title == "Two"
    assert len(paper.site.hits("/story/0")) == len(paper.site.hits("/story/1")) == 1
    assert "a line of the spider" in paper.log()


@scenario
def redirects_cookies_and_retries(paper: Paper) -> Steps:
    """They are Scrapy's; a host that asks for a pause gets it."""
    site = paper.site
    site.page("/go", redirect="/end", headers={"Set-Cookie": "a=1; Path=/"})
    site.article("/end")
    end = site.pages["/end"]
    assert isinstance(end, Response)
    flaky = iter([Response(503, end.headers, end.body), end])
    site.pages["/flaky"] = lambda _: next(flaky)
    busy = iter([Response(429, (("Retry-After", "3"),)), end])
    site.pages["/busy"] = lambda _: next(busy)
    code = f"""
    def parse(self, response):
        yield page(response)
        yield scrapy.Request({site.url("/flaky")!r}, callback=self.parse_flaky)

    def parse_flaky(self, response):
        yield page(response)
        yield scrapy.Request({site.url("/busy")!r}, callback=self.parse_busy)

    def parse_busy(self, response):
        yield page(response)
"""
    paper.add(code, site.url("/go"))
    yield paper.has_ended
    assert paper.detail().startswith("3 pages (3 new"), (paper.detail(), paper.log())
    assert paper.world.page(site.url("/go")).redirects == (site.url("/go"),)
    assert site.hits("/end")[0].headers["cookie"] == "a=1"
    assert len(site.hits("/flaky")) == len(site.hits("/busy")) == 2
    assert site.gaps()[-1] >= 2.9


@scenario
def page_limit_passwords_and_size_of_the_log(paper: Paper) -> Steps:
    code = f"""
    def parse(self, response):
        self.logger.info("https://ada:secret@example.org/ \\x1b[31m")
        for _ in range(3_000):
            self.logger.info("x" * 1_000)
        self.logger.info("https://ada:secret@example.org/ \\x1b[31m")
        for url in {add_articles(paper.site, 20)!r}:
            yield link(url)
"""
    paper.add(code, paper.site.page("/start", "<p>list</p>"), spider_limits=SpiderLimits(pages=3), enabled=True)
    yield paper.has_ended
    assert paper.trace().outcome is Outcome.LISTED
    assert paper.detail() == "3 links (3 new); stopped at spider_limits.pages"
    files = list((paper.world.data / "logs" / "spiders").glob(f"{paper.name}.*"))
    assert 1_000_000 < sum(file.stat().st_size for file in files) < 2_100_000
    assert "example.org" in paper.log() and "secret" not in paper.log() and "\x1b" not in paper.log()
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


# ---- what a spider cannot get round


@scenario
def guard_robots_and_throttle(paper: Paper) -> Steps:
    """They apply to every request, whatever the spider's settings are."""
    site, canary = paper.site, paper.sites.site("127.66.6.6")
    site.robots("User-agent: *\nDisallow: /private\n")
    site.page("/to-canary", redirect=canary.url("/secret"))
    site.page("/to-private", redirect="/private/a")
    urls = [canary.url("/x"), "http://169.254.169.254/latest", "http://2130706433/", "file:///etc/passwd", site.url("/private/b")]
    urls += [site.url("/to-canary"), site.url("/to-private"), *add_articles(site, 4)]
    code = """
    custom_settings = {
        "ROBOTSTXT_OBEY": False, "CONCURRENT_REQUESTS": 50, "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingThreadedResolver",
        "DOWNLOAD_HANDLERS": {"file": "scrapy.core.downloader.handlers.file.FileDownloadHandler"}, "RETRY_ENABLED": False,
        "DOWNLOADER_MIDDLEWARES_BASE": {}, "TELNETCONSOLE_ENABLED": True,
    }
"""
    paper.add(code + visit(urls), site.page("/start", "<p>list</p>"), delay=0.3)
    yield paper.has_ended
    assert paper.archived() == sorted(site.url(f"/story/{number}") for number in range(4)), (paper.detail(), paper.log())
    assert "2 requests refused: robots_disallowed" in paper.detail()
    assert site.hits()[0].path == "/robots.txt"
    assert not site.hits("/private/a") and not site.hits("/private/b")
    assert min(site.gaps()) >= 0.28
    assert max(hit.in_flight for hit in site.log) == 1
    assert "TWISTED_DNS_RESOLVER: Newsmill decides this setting" in paper.log()
    assert canary.connections == 0


@scenario
def unreachable_robots(paper: Paper) -> Steps:
    """Every request is refused."""
    paper.site.robots("", status=503)
    paper.add(VISIT_START, paper.site.article("/a"))
    yield paper.has_ended
    assert paper.detail().startswith("spider_failed: 1 request refused: robots_unreachable (")
    assert not paper.site.hits("/a")


@scenario
def throttle_shared_with_the_crawl(paper: Paper) -> Steps:
    site = paper.site
    crawled = [site.article(f"/crawl/{number}") for number in range(3)]
    wanted = [*crawled, *add_articles(site, 3)]
    paper.add(visit(wanted[3:]), site.page("/start", "<p>list</p>"), delay=0.4)
    paper.world.submit(*crawled, source=paper.name)
    yield lambda: paper.has_ended() and len(paper.archived()) == 6
    assert paper.archived() == sorted(wanted)
    assert len(site.hits("/robots.txt")) == 1
    assert max(hit.in_flight for hit in site.log) == 1
    assert min(site.gaps()) >= 0.38


# ---- changes during a run


@scenario
def host_held_by_another_process(paper: Paper) -> Steps:
    """A spider waits for a host that a crawler holds."""
    site, ledger = paper.site, paper.world.ledger
    paper.add(VISIT_START, site.article("/a"))
    assert ledger.hosts.lease_one(site.host, "another", seconds=60, now=now()) is not None

    def holds_host() -> bool:  # a lease of more than some minutes counts as that of a wrong clock, and ends early
        return ledger.hosts.renew("another", [site.host], seconds=60, now=now()) == {site.host}

    yield lambda: holds_host() and "Spider opened" in paper.log()
    until = time.monotonic() + 2
    yield lambda: holds_host() and time.monotonic() > until
    assert not site.hits()
    ledger.hosts.release(site.host, "another", now=now())
    yield paper.has_ended
    assert paper.archived() == [site.url("/a")]
    assert "s for hosts that another process held" in paper.detail()


@scenario
def order_of_the_publisher(paper: Paper) -> Steps:
    """A running spider obeys the owner of a host."""
    site, publishers = paper.site, Publishers(paper.world.engine)
    publishers.give_order(site.host, is_stopped=False, delay=0.5, now=now())
    paper.add(visit(add_articles(site, 8)), site.page("/start", "<p>list</p>"))
    yield lambda: len(site.log) >= 4
    publishers.give_order(site.host, is_stopped=True, delay=None, now=now())
    in_flight = len(site.log) + 1  # a request whose order was looked up before
    yield paper.has_ended
    assert len(site.log) <= in_flight
    assert f"{10 - len(site.log)} requests refused: robots_disallowed" in paper.detail()
    assert min(site.gaps()) >= 0.48


@pytest.fixture(scope="module")
def failures(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, authority: Authority, sites: Farm
) -> Iterator[dict[str, Exception | None]]:
    """What went wrong in the scenarios."""
    with pytest.MonkeyPatch.context() as patch:  # what crawlers inherit: the users of the sites with a log-in
        for name, value in (("PAPER_USER", "ada"), ("PAPER_PASSWORD", "secret word"), ("WRONG_PASSWORD", "wrong word")):
            patch.setenv(name, value)
        world = World(tmp_path_factory.mktemp("scenarios"), redis_url)
        # more than the time_limit scenario takes to start and to wait for its slow page
        folder = world.data / "config"
        (folder / "spiders").mkdir(parents=True)
        (folder / "sources.toml").write_text('[scrapy.DEFAULT_REQUEST_HEADERS]\nX-Reader = "desk"\n')
        config = {"patch": {"crawler.spider_runs.spider_process.KILL_AFTER_SECONDS": 40}, "config": str(folder)}
        yield run_scenarios(world, sites, SCENARIOS, seconds=500, **config)
        world.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_spider_beside_others_in_one_crawl(failures: dict[str, Exception | None], name: str) -> None:
    failure = failures[name]
    if failure is not None:
        raise failure


# ---- crawlers of their own


def test_stopped_and_killed_crawlers_end_the_run_and_the_next_one_starts_it_again(sites: Farm, world: World) -> None:
    """test_spider_kills.py shows that every article comes in once."""
    paper = Paper(world, sites)
    site = paper.site
    paper.add(visit(add_articles(site, 30)), site.page("/start", "<p>list</p>"), delay=0.1)
    crawler = world.start()
    world.wait(lambda: len(site.hits()) > 10, 120)
    assert world.stop(crawler, seconds=60) == 0
    assert (paper.trace().state, paper.trace().attempts) == (State.DUE, 0)
    assert 0 < len(paper.archived()) < 30

    requests = len(site.hits())
    crawler = world.start()
    world.wait(lambda: len(site.hits()) > requests, 120)
    (run,) = find_runs(crawler.pid)
    world.stop(crawler, how=signal.SIGKILL)
    world.wait(lambda: not Path(f"/proc/{run}/cmdline").exists() or not Path(f"/proc/{run}/cmdline").read_bytes(), 120)


def test_the_run_of_a_removed_source_ends_and_stores_nothing_more(sites: Farm, world: World) -> None:
    paper = Paper(world, sites)
    paper.add(visit(add_articles(paper.site, 200)), paper.site.page("/start", "<p>list</p>"), delay=0.1)
    crawler = world.start()
    world.wait(lambda: len(paper.archived()) > 2, 120)
    SourceChanges(world.engine).remove(paper.name, now=datetime.now(UTC))
    world.wait(lambda: not find_runs(crawler.pid), 60)
    world.stop(crawler, seconds=60)
    assert len(paper.site.hits()) < 200
    assert world.rows() == []


def test_a_run_that_ends_while_a_batch_is_being_stored_loses_nothing(sites: Farm, world: World) -> None:
    paper = Paper(world, sites)
    slow = paper.site.page("/slow", "x", delay=MAX_BATCH_SECONDS + 1)
    paper.add(wait_for(slow), paper.site.article("/a"))
    with world.crawler():
        world.wait(lambda: bool(paper.site.hits("/slow")), 120)
        with closing(sqlite3.connect(world.data / "newsmill.db", timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")  # the run's batch waits from here on, and the spider ends
            time.sleep(MAX_BATCH_SECONDS + 3)
            other.rollback()
        world.wait(paper.has_ended, 120)
    assert paper.archived() == [paper.site.url("/a")]
    assert paper.detail() == "1 page (1 new, 0 known)"

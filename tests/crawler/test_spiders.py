"""Spiders of the operator: run when due, in a process of their own, with the limits of the continuous crawl."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_site import Farm, Response, Site
from run_processes import find_runs
from spider_sites import add_articles, serve_api, serve_login, serve_stream
from world import World, now

from newsmill.model import Outcome, SpiderLimits, State
from newsmill.settings import Settings
from newsmill.spider_logs import read_log_end, spider_log
from newsmill.storage.ledger import Trace
from newsmill.storage.publishers import Publishers
from newsmill.storage.source_changes import SourceChanges
from newsmill.urls import make_spider_url

RUN = make_spider_url("paper")
EXAMPLES: dict[str, tuple[str, Callable[[Site, int], list[str]], Callable[[Site], dict[str, str]]]] = {
    "json_api": ("JsonApiSpider", serve_api, lambda site: {"url": site.url("/api/articles")}),
    "cursor_scroll": ("CursorScrollSpider", serve_stream, lambda site: {"url": site.url("/stream"), "link_css": "article a::attr(href)"}),
    "form_login": ("FormLoginSpider", serve_login, lambda site: {"login": site.url("/login"), "url": site.url("/archive")}),
}


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """What crawlers inherit: the user of the site with a log-in."""
    monkeypatch.setenv("PAPER_USER", "ada")
    monkeypatch.setenv("PAPER_PASSWORD", "secret word")


def write_spider(world: World, code: str) -> str:
    """A spider in the data folder; its class has start_urls in the argument `url`."""
    folder = world.data / "spiders"
    folder.mkdir(exist_ok=True)
    head = "import scrapy\nfrom newsmill.scrapy import PageItem, link, page\n\n\nclass PaperSpider(scrapy.Spider):\n    name = 'paper'\n"
    start = "    async def start(self):\n        yield scrapy.Request(self.url)\n\n"
    (folder / "paper.py").write_text(head + start + code)
    return "paper:PaperSpider"


def add_spider(world: World, code: str, url: str, **plan: object) -> None:
    world.source(spider=write_spider(world, code), spider_args={"url": url}, **plan)


def visit(urls: list[str]) -> str:
    """The code of a spider that hands over the page of each URL."""
    return f"""
    def parse(self, response):
        for url in {urls!r}:
            yield scrapy.Request(url, callback=self.parse_article)

    def parse_article(self, response):
        yield page(response)
"""


def archived(world: World) -> list[str]:
    """The URLs of rows with an archived page."""
    return sorted(trace.url for trace in world.rows() if trace.state is State.FETCHED)


def read_log(world: World) -> str:
    return read_log_end(spider_log(Settings(data=world.data), "paper")) or ""


def run(world: World, *, done: Callable[[], bool] | None = None, **config: object) -> Trace:
    """Run one crawler until nothing is due; the row of the spider's runs."""
    world.crawl(seconds=180, done=done, **config)
    return world.trace(RUN)


def has_failed(world: World) -> Callable[[], bool]:
    """Whether the first run has failed: its row is due again later."""
    return lambda: world.trace(RUN).attempts == 1 and world.trace(RUN).state is State.DUE


# ---- the examples


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_brings_every_article(sites: Farm, world: World, example: str) -> None:
    class_name, serve, find_arguments = EXAMPLES[example]
    site = sites.site()
    wanted = serve(site, 25)
    world.source(spider=f"crawler.spiders.{example}:{class_name}", spider_args=find_arguments(site))
    trace = run(world)
    assert trace.outcome is Outcome.LISTED, (trace.detail, read_log(world))
    assert trace.detail is not None and "(25 new, 0 known)" in trace.detail, trace.detail
    assert archived(world) == sorted(wanted)
    world.ledger.read_listings("paper", now=now())
    trace = run(world)
    assert trace.detail == ("25 finished articles (0 new, 25 known)" if example == "json_api" else "25 known pages skipped")
    assert archived(world) == sorted(wanted)


def test_a_refused_password_is_the_outcome(sites: Farm, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPER_PASSWORD", "wrong")
    site = sites.site()
    serve_login(site, 5)
    class_name, _, find_arguments = EXAMPLES["form_login"]
    world.source(spider=f"crawler.spiders.form_login:{class_name}", spider_args=find_arguments(site))
    trace = run(world, done=has_failed(world))
    assert trace.detail is not None and "the site refused the user name or the password" in trace.detail
    assert "wrong" not in read_log(world)


# ---- pages, links and items


def test_links_are_fetched_by_the_crawl_and_pages_are_stored(sites: Farm, world: World) -> None:
    site = sites.site()
    one, two = add_articles(site, 2)
    start = site.page("/start", "<p>list</p>")
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
    add_spider(world, code, start)
    trace = run(world)
    assert trace.detail == "1 page (1 new, 0 known); 1 link (1 new); 1 left out; 1 item without url, title and text"
    assert archived(world) == sorted([one, two])
    assert (world.trace(one).found_by, world.trace(two).found_by) == ("spider", "spider")
    assert world.page(two).hint.title == "Two"
    assert len(site.hits("/story/0")) == len(site.hits("/story/1")) == 1
    assert "a line of the spider" in read_log(world)


def test_redirects_cookies_and_retries_are_scrapys(sites: Farm, world: World) -> None:
    site = sites.site()
    site.page("/go", redirect="/end", headers={"Set-Cookie": "a=1; Path=/"})
    site.article("/end")
    flaky = iter([503, 200])
    site.pages["/flaky"] = lambda _: type(site.pages["/end"])(next(flaky), site.pages["/end"].headers, site.pages["/end"].body)  # type: ignore[union-attr,call-arg]
    code = f"""
    def parse(self, response):
        yield page(response)
        yield scrapy.Request({site.url("/flaky")!r}, callback=self.parse_end)

    def parse_end(self, response):
        yield page(response)
"""
    add_spider(world, code, site.url("/go"))
    trace = run(world)
    assert trace.detail is not None and trace.detail.startswith("2 pages (2 new"), (trace.detail, read_log(world))
    assert world.page(site.url("/go")).redirects == (site.url("/go"),)
    assert site.hits("/end")[0].headers["cookie"] == "a=1"
    assert len(site.hits("/flaky")) == 2


# ---- what a spider cannot get round


def test_the_guard_robots_and_the_throttle_apply_to_every_request(sites: Farm, world: World, canary: Site) -> None:
    site = sites.site()
    site.robots("User-agent: *\nDisallow: /private\n")
    site.page("/to-canary", redirect=canary.url("/secret"))
    site.page("/to-private", redirect="/private/a")
    start = site.page("/start", "<p>list</p>")
    urls = [canary.url("/x"), "http://169.254.169.254/latest", "http://2130706433/", "file:///etc/passwd", site.url("/private/b")]
    urls += [site.url("/to-canary"), site.url("/to-private"), *add_articles(site, 4)]
    code = """
    custom_settings = {
        "ROBOTSTXT_OBEY": False, "CONCURRENT_REQUESTS": 50, "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingThreadedResolver",
        "DOWNLOAD_HANDLERS": {"file": "scrapy.core.downloader.handlers.file.FileDownloadHandler"}, "RETRY_ENABLED": False,
        "DOWNLOADER_MIDDLEWARES_BASE": {}, "TELNETCONSOLE_ENABLED": True,
    }
"""
    add_spider(world, code + visit(urls), start, delay=0.3)
    trace = run(world)
    assert archived(world) == sorted(site.url(f"/story/{number}") for number in range(4)), (trace.detail, read_log(world))
    assert trace.detail is not None and "2 requests refused: robots_disallowed" in trace.detail
    assert site.hits()[0].path == "/robots.txt"
    assert not site.hits("/private/a") and not site.hits("/private/b")
    assert min(site.gaps()) >= 0.28
    assert max(hit.in_flight for hit in site.log) == 1
    log = read_log(world)
    assert "TWISTED_DNS_RESOLVER: Newsmill decides this setting" in log


def test_robots_false_is_the_only_way_round_robots(sites: Farm, world: World) -> None:
    site = sites.site()
    site.robots("User-agent: *\nDisallow: /\n")
    add_spider(world, "    def parse(self, response):\n        yield page(response)\n", site.article("/a"), robots=False)
    assert run(world).outcome is Outcome.LISTED
    assert archived(world) == [site.url("/a")]


def test_a_spider_waits_for_a_host_that_a_crawler_holds(sites: Farm, world: World) -> None:
    site = sites.site()
    add_spider(world, "    def parse(self, response):\n        yield page(response)\n", site.article("/a"))
    assert world.ledger.lease_host(site.host, "another", seconds=300, now=now()) is not None
    released_at = 0.0
    with world.crawler():
        world.wait(lambda: "Spider opened" in read_log(world), 120)
        time.sleep(2)
        released_at = time.monotonic()
        world.ledger.release_host(site.host, "another", now=now())
        world.wait(world.quiet, 120)
    trace = world.trace(RUN)
    assert site.hits()[0].at >= released_at
    assert trace.detail is not None and "s for hosts that another process held" in trace.detail


def test_a_spider_and_the_crawl_share_the_throttle_of_a_host(sites: Farm, world: World) -> None:
    site = sites.site()
    crawled = [site.article(f"/crawl/{number}") for number in range(5)]
    wanted = add_articles(site, 5)
    code = visit(wanted)
    add_spider(world, code, site.page("/start", "<p>list</p>"), delay=0.4)
    world.submit(*crawled, source="paper")
    run(world)
    assert archived(world) == sorted([*crawled, *wanted])
    assert len(site.hits("/robots.txt")) == 1
    assert max(hit.in_flight for hit in site.log) == 1
    assert min(site.gaps()) >= 0.38


def test_a_running_spider_obeys_the_owner_of_a_host(sites: Farm, world: World) -> None:
    site = sites.site()
    publishers = Publishers(world.engine)
    publishers.give_order(site.host, is_stopped=False, delay=0.5, now=now())
    add_spider(world, visit(add_articles(site, 8)), site.page("/start", "<p>list</p>"))
    with world.crawler():
        world.wait(lambda: len(site.log) >= 4, 120)
        publishers.give_order(site.host, is_stopped=True, delay=None, now=now())
        in_flight = len(site.log) + 1  # a request whose order was looked up before
        world.wait(lambda: world.trace(RUN).outcome is not None, 120)
    detail = world.trace(RUN).detail
    assert len(site.log) <= in_flight and detail is not None
    assert f"{10 - len(site.log)} requests refused: robots_disallowed" in detail
    assert min(site.gaps()) >= 0.48


def test_a_host_that_asks_for_a_pause_gets_it(sites: Farm, world: World) -> None:
    site = sites.site()
    site.article("/a")
    answers = iter([Response(429, (("Retry-After", "3"),)), site.pages["/a"]])
    site.pages["/a"] = lambda _: next(answers)  # type: ignore[assignment,return-value]
    add_spider(world, "    def parse(self, response):\n        yield page(response)\n", site.url("/a"))
    run(world)
    assert archived(world) == [site.url("/a")]
    assert site.gaps()[-1] >= 2.9


def test_an_unreachable_robots_txt_refuses_every_request(sites: Farm, world: World) -> None:
    site = sites.site()
    site.robots("", status=503)
    add_spider(world, "    def parse(self, response):\n        yield page(response)\n", site.article("/a"))
    trace = run(world)
    assert trace.detail is not None and trace.detail.startswith("1 request refused: robots_unreachable (")
    assert not site.hits("/a")


def test_settings_of_the_operator_and_a_spider_of_the_configuration_folder(
    sites: Farm, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = sites.site()
    code = "    def parse(self, response):\n        yield page(response)\n"
    add_spider(world, code, site.article("/a"))
    config = tmp_path / "config"
    config.mkdir()
    (world.data / "spiders").rename(config / "spiders")
    (config / "sources.toml").write_text('[scrapy.DEFAULT_REQUEST_HEADERS]\nX-Reader = "desk"\n')
    monkeypatch.setenv("NEWSMILL_CONFIG", str(config))
    assert run(world).outcome is Outcome.LISTED
    assert site.hits("/a")[0].headers["x-reader"] == "desk"


# ---- runs that fail


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("    def parse(self, response):\n        import os\n        os._exit(3)\n", "the run crashed (exit code 3)"),
        ("    def parse(self, response):\n        import os, signal\n        os.kill(os.getpid(), signal.SIGSEGV)\n", "(signal 11)"),
        ("    def parse(self, response):\n        raise KeyError('headline')\n", "1 error in callbacks, first KeyError: 'headline'"),
        ("    def parse(self, response):\n        self.kept = bytearray(2_000_000_000)\n", "needed more than 200 MB"),
        ("    def __init__(self, url, section):\n        pass\n", "missing 1 required positional argument: 'section'"),
    ],
    ids=["exit", "segfault", "exception", "memory", "arguments"],
)
def test_a_crash_is_an_outcome_of_the_run(sites: Farm, world: World, code: str, detail: str) -> None:
    site = sites.site()
    add_spider(world, code, site.article("/a"), spider_limits=SpiderLimits(memory_mb=200))
    page = site.article("/other")
    world.submit(page)
    trace = run(world, done=lambda: has_failed(world)() and world.outcome(page) is State.FETCHED)
    assert trace.detail is not None and trace.detail.startswith("spider_failed: ") and detail in trace.detail
    assert 50 < (trace.next_at - now()).total_seconds() <= 61


def test_a_run_ends_at_its_time_limit_and_keeps_its_pages(sites: Farm, world: World) -> None:
    site = sites.site()
    slow = site.page("/slow", "x", delay=60)
    code = f"""
    def parse(self, response):
        yield page(response)
        yield scrapy.Request({slow!r})
"""
    add_spider(world, code, site.article("/a"), spider_limits=SpiderLimits(seconds=4))
    trace = run(world, done=has_failed(world))
    assert trace.detail is not None and "the run took longer than 4 s" in trace.detail
    assert archived(world) == [site.url("/a")]


def test_a_spider_that_blocks_its_process_is_killed(sites: Farm, world: World) -> None:
    site = sites.site()
    code = "    def parse(self, response):\n        while True:\n            pass\n"
    add_spider(world, code, site.article("/a"), spider_limits=SpiderLimits(seconds=2))
    trace = run(world, done=has_failed(world), patch={"crawler.spider_process.KILL_AFTER_SECONDS": 3})
    assert trace.detail is not None and "was killed" in trace.detail
    assert world.ledger.lease_host(site.host, "me", seconds=1, now=now()) is not None


def test_a_run_ends_at_its_limit_of_pages(sites: Farm, world: World) -> None:
    site = sites.site()
    start = site.page("/start", "<p>list</p>")
    code = f"    def parse(self, response):\n        for url in {add_articles(site, 20)!r}:\n            yield link(url)\n"
    add_spider(world, code, start, spider_limits=SpiderLimits(pages=3), enabled=True)
    trace = run(world)
    assert trace.outcome is Outcome.LISTED
    assert trace.detail == "3 links (3 new); stopped at spider_limits.pages"


def test_a_spider_that_does_not_exist_is_not_tried_again(world: World) -> None:
    world.source(spider="nothing:Here")
    trace = run(world)
    assert trace.outcome is Outcome.SPIDER_FAILED
    assert trace.detail is not None and "module nothing cannot be imported" in trace.detail and str(world.data / "spiders") in trace.detail


def test_a_misspelt_argument_is_the_outcome(world: World) -> None:
    world.source(spider="crawler.spiders.json_api:JsonApiSpider", spider_args={"ulr": "https://www.example.org/api"})
    trace = run(world)
    assert trace.outcome is Outcome.SPIDER_FAILED
    assert trace.detail == "source \"paper\": spider_args: JsonApiSpider takes no argument 'ulr'; it takes url"


def test_a_source_that_gets_a_spider_while_a_crawler_runs(sites: Farm, world: World) -> None:
    site = sites.site()
    code = "    def parse(self, response):\n        yield page(response)\n"
    world.source(name="other", spider=write_spider(world, code), spider_args={"url": site.article("/other")})
    world.source(sections=(site.page("/section", "<p>none</p>"),))
    with world.crawler():
        world.wait(lambda: world.trace(make_spider_url("other")).outcome is Outcome.LISTED, 120)
        add_spider(world, code, site.article("/a"))
        world.wait(lambda: world.trace(RUN).outcome is not None, 120)
    assert world.trace(RUN).outcome is Outcome.LISTED
    assert archived(world) == sorted([site.url("/a"), site.url("/other")])


# ---- stops


def test_a_stopped_crawler_ends_the_run_and_the_next_one_starts_it_again(sites: Farm, world: World) -> None:
    site = sites.site()
    start = site.page("/start", "<p>list</p>")
    wanted = add_articles(site, 30)
    code = visit(wanted)
    add_spider(world, code, start, delay=0.1)
    crawler = world.start()
    world.wait(lambda: len(site.hits()) > 10, 120)
    assert world.stop(crawler, seconds=60) == 0
    trace = world.trace(RUN)
    assert (trace.state, trace.attempts) == (State.DUE, 0)
    assert 0 < len(archived(world)) < 30
    trace = run(world)
    assert trace.outcome is Outcome.LISTED
    assert archived(world) == sorted(wanted)


def test_the_run_of_a_removed_source_ends_and_stores_nothing_more(sites: Farm, world: World) -> None:
    site = sites.site()
    start = site.page("/start", "<p>list</p>")
    add_spider(world, visit(add_articles(site, 200)), start, delay=0.1)
    crawler = world.start()
    world.wait(lambda: len(archived(world)) > 2, 120)
    SourceChanges(world.engine).remove("paper")
    world.wait(lambda: not find_runs(crawler.pid), 60)
    world.stop(crawler, seconds=60)
    assert len(site.hits()) < 200
    assert world.rows() == []


def test_a_killed_crawler_takes_the_run_with_it(sites: Farm, world: World) -> None:
    site = sites.site()
    site.page("/slow", "x", delay=20)
    add_spider(world, "    def parse(self, response):\n        pass\n", site.url("/slow"))
    crawler = world.start()
    world.wait(lambda: bool(site.hits("/slow")), 120)
    (child,) = find_runs(crawler.pid)
    world.stop(crawler, how=signal.SIGKILL)
    world.wait(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes(), 120)


def test_the_log_has_no_password_and_a_limit(sites: Farm, world: World) -> None:
    site = sites.site()
    code = """
    def parse(self, response):
        self.logger.info("https://ada:secret@example.org/ \\x1b[31m")
        for _ in range(30_000):
            self.logger.info("x" * 100)
        self.logger.info("https://ada:secret@example.org/ \\x1b[31m")
"""
    add_spider(world, code, site.article("/a"))
    trace = run(world)
    assert trace.outcome is Outcome.EMPTY_LISTING
    files = list((world.data / "logs" / "spiders").iterdir())
    assert sum(file.stat().st_size for file in files) < 2_100_000
    text = read_log(world)
    assert "example.org" in text and "secret" not in text and "\x1b" not in text
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)

"""Sources with `render`: a crawler process, a real Chromium and a worker, on sites whose text comes from fetch()."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_site import Farm, Site
from forked_process import ForkedProcess
from services import is_running
from world import World

from crawler.browser.renderer import SAMPLE_RATE
from newsmill.context import build_context
from newsmill.logs.spider_log import read_log_end, spider_log
from newsmill.model import Outcome, Render, Rendering, State
from newsmill.sandbox.pages import Sandbox
from newsmill.settings import Settings, load
from newsmill.storage.ledger.rendering import MIN_SCRIPT_PAGES
from newsmill.text.urls import make_spider_url
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

TEXT = " ".join(f"The council met on day {number} to talk about the bridge over the river and its costs." for number in range(12))
APP = """<!DOCTYPE html><html lang="en"><head><title>The council talks about bridge %(n)d</title></head>
<body><main id="app"></main><script>
fetch("/api/%(n)d").then(r => r.json()).then(a => { document.getElementById("app").innerHTML = a.html })
</script><noscript>You need to enable JavaScript to run this app.</noscript></body></html>"""


def add_app(site: Site, number: int) -> str:
    html = f"<article><h1>The council talks about bridge {number}</h1><p>{TEXT}</p><p>Story number {number}.</p></article>"
    site.page(f"/api/{number}", f'{{"html": "{html}"}}', content_type="application/json")
    return site.page(f"/story/{number}", APP % {"n": number})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


def work(world: World, sandbox: Sandbox) -> None:
    """Extract all segments that wait, as a worker does."""
    app = build_context(world.engine, str(world.data), settings=load({"NEWSMILL_DATA": str(world.data)}))
    context = WorkerContext(app, sandbox, "worker-1")
    for segment_id in world.ledger.segments.list_pending(now=datetime.now(UTC), limit=100):
        extract_claimed_pages(context, segment_id)


def test_always(world: World, sandbox: Sandbox, sites: Farm) -> None:
    site = sites.site()
    urls = [add_app(site, number) for number in range(2)]
    world.source("paper", homepage=site.url("/"), render=Render.ALWAYS)
    world.source("plain", homepage=site.url("/plain"))
    plain = add_app(site, 9)
    world.submit(*urls, source="paper")
    world.submit(plain, source="plain")
    world.crawl(seconds=120)
    for url in urls:
        page = world.page(url)
        assert page.rendered is not None and b"Story number" in page.rendered and b"Story number" not in page.body
        assert world.trace(url).rendering is Rendering.DONE and len(site.hits(url.removeprefix(site.url("")))) == 1
    assert world.page(plain).rendering is None and world.trace(plain).rendering is None
    assert "Chromium" not in world.log()
    work(world, sandbox)
    assert {world.outcome(url) for url in urls} == {Outcome.STORED}
    assert world.outcome(plain) is Outcome.NEEDS_SCRIPT
    assert world.ledger.rendering.count_rendered() == {"paper": 2} and world.ledger.rendering.count_rendered("plain") == {}


def test_auto_renders_a_page_without_text_once_and_learns(world: World, sandbox: Sandbox, sites: Farm) -> None:
    site = sites.site()
    urls = [add_app(site, number) for number in range(MIN_SCRIPT_PAGES)]
    article = site.article("/article", "The council has finished the bridge over the river")
    empty = site.page("/empty", "<html><head><title>Empty</title></head><body><div id=root></div></body></html>")
    world.source("paper", homepage=site.url("/"), render=Render.AUTO, discover=False)
    xml = site.page("/xml", "<html><head><title>Empty</title></head><body><div></div></body></html>", content_type="application/xml")
    world.submit(*urls, article, empty, xml, source="paper")
    world.crawl(seconds=60)
    assert all(world.page(url).rendering is None for url in (*urls, article, empty))
    work(world, sandbox)
    assert world.outcome(article) is Outcome.STORED
    assert {world.outcome(url) for url in (*urls, empty)} == {State.DUE}
    assert {world.trace(url).rendering for url in (*urls, empty)} == {Rendering.WANTED} and world.trace(empty).attempts == 0
    assert world.ledger.rendering.list_script_sources() == set()

    world.crawl(seconds=120)
    work(world, sandbox)
    assert {world.outcome(url) for url in urls} == {Outcome.STORED}
    assert world.outcome(empty) not in (State.DUE, Outcome.STORED) and world.trace(empty).rendering is Rendering.DONE  # once
    assert world.outcome(xml) is not State.DUE and world.trace(xml).rendering in (None, Rendering.FAILED)  # once, too
    assert len(site.hits("/story/0")) == 2 and len(site.hits("/article")) == 1
    assert world.ledger.rendering.list_script_sources() == {"paper"}

    number = next(number for number in range(100, 200) if zlib.crc32(site.url(f"/story/{number}").encode()) % SAMPLE_RATE)
    direct = add_app(site, number)
    world.submit(direct, source="paper")
    world.crawl(seconds=60)
    assert world.page(direct).rendered is not None and len(site.hits(f"/story/{number}")) == 1


MIDDLEWARES = """
import pathlib
DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": 900,
    "scrapy.downloadermiddlewares.retry.RetryMiddleware": 550,
    "middleware_settings.Tag": 500,
}
HTTPCACHE_ENABLED = True
HTTPCACHE_DIR = str(pathlib.Path(__file__).parent / "cache")
DOWNLOAD_HANDLERS = dict.fromkeys(("http", "https"), "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler")
PLAYWRIGHT_CDP_URL = "http://127.0.0.1:9/"
class Tag:
    def process_request(self, request):
        request.headers["X-Tag"] = "1"
"""


def test_middlewares_of_the_operator_see_the_fetch_and_not_the_rendering(world: World, sites: Farm) -> None:
    site = sites.site()
    url = add_app(site, 0)
    world.source("paper", homepage=site.url("/"), render=Render.ALWAYS, discover=False)
    world.submit(url, source="paper")
    (world.data / "config").mkdir()
    (world.data / "config" / "middleware_settings.py").write_text(MIDDLEWARES)
    config = {"config": str(world.data / "config"), "scrapy_settings": "middleware_settings"}
    world.crawl(seconds=90, **config)
    page = world.page(url)
    assert page.rendered is not None and b"Story number" in page.rendered
    assert [hit.headers.get("x-tag") for hit in site.hits("/story/0")] == ["1"]


SPIDER = """
import scrapy
from newsmill.scrapy import page

class PaperSpider(scrapy.Spider):
    name = "paper"

    async def start(self):
        for url in (self.url, self.outside):
            yield scrapy.Request(url, meta={"playwright": True, "playwright_page_goto_kwargs": {"wait_until": "networkidle"}})
        short = {"playwright": True, "playwright_page_goto_kwargs": {"timeout": 1}, "max_retry_times": 0}
        yield scrapy.Request(self.outside + "?short", meta=short)

    def parse(self, response):
        yield page(response)
"""


def test_a_spider_of_the_operator_uses_the_browser(world: World, sites: Farm, canary: Site) -> None:
    """The pages of the browser are pages like any other; the guard is the proxy's, also in the process of a run."""
    site = sites.site()
    url = add_app(site, 0)
    frame = site.page("/frame", f"<html><body><p>{TEXT}</p><iframe src='{canary.url('/')}'></iframe></body></html>")
    (world.data / "spiders").mkdir()
    (world.data / "spiders" / "paper.py").write_text(SPIDER)
    world.source(spider="paper:PaperSpider", spider_args={"url": url, "outside": frame}, discover=False)
    world.crawl(seconds=120)
    run, log = world.trace(make_spider_url("paper")), read_log_end(spider_log(Settings(data=world.data), "paper"))
    assert run.outcome is Outcome.LISTED, log
    assert str(run.detail).startswith("2 pages (2 new, 0 known); 1 request failed, first DownloadTimeoutError: "), log
    assert b"Story number 0" in world.page(url).body and TEXT.encode() in world.page(frame).body
    assert world.page(url).rendering is None


def test_a_page_that_cannot_be_rendered_says_why(world: World, sandbox: Sandbox, sites: Farm) -> None:
    site = sites.site()
    url = add_app(site, 0)
    world.source("paper", homepage=site.url("/"), render=Render.ALWAYS)
    world.submit(url, source="paper")
    world.crawl(seconds=60, patch={"crawler.browser.chromium.PROGRAMS": ["no-such-browser"]})
    assert world.trace(url).rendering is Rendering.FAILED
    assert world.log().count("source paper asks for rendering: Chromium is not installed") == 1
    work(world, sandbox)
    assert world.outcome(url) is Outcome.NEEDS_SCRIPT
    assert "not rendered: Chromium is not installed" in (world.trace(url).detail or "")


def start_rendering(world: World, site: Site, script: str) -> tuple[ForkedProcess, str]:
    """A crawler that renders a page whose script has called the site, and the URL of the page."""
    url = site.page("/story", f"<html><body><script>{script}</script></body></html>")
    site.page("/called", "x")
    world.source("paper", homepage=site.url("/"), render=Render.ALWAYS)
    world.submit(url, source="paper")
    crawler = world.start(patch={"crawler.frontier.frontier.GRACE_SECONDS": 1.0})
    world.wait(lambda: bool(site.hits("/called")), 60)
    return crawler, url


def test_a_crawler_that_stops_while_it_renders_gives_the_page_back(world: World, sites: Farm) -> None:
    crawler, url = start_rendering(world, sites.site(), "fetch('/called'); setTimeout(() => { while (true) {} }, 500)")
    processes = descendants(crawler.pid)
    assert len(processes) > 3
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in processes]
    assert not any(b"DATABASE_URL" in environment for environment in environments)
    assert world.stop(crawler) == 0
    assert world.outcome(url) is State.DUE and world.trace(url).attempts == 0
    world.wait(lambda: not any(is_running(pid) for pid in processes))


def test_a_killed_crawler_leaves_no_browser(world: World, sites: Farm) -> None:
    crawler, _ = start_rendering(world, sites.site(), "fetch('/called'); setInterval(() => fetch('/called'), 100)")
    processes = descendants(crawler.pid)
    crawler.kill()
    crawler.wait(10)
    world.wait(lambda: not any(is_running(pid) for pid in processes))


def descendants(root: int) -> list[int]:
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except FileNotFoundError:
                continue
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sorted(below - {root})


def test_nothing_of_the_browser_is_loaded_without_a_page_to_render() -> None:
    code = "import sys, crawler.process, crawler.fetching.downloader; print([m for m in sys.modules if 'playwright' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Real Scrapy crawls of somebody else's project, killed and repeated: every article is stored once, locally and through the API."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from services import eventually
from site_of_tests import RunningApp, served

from newsmill.context import AppContext, open_context
from newsmill.model import Outcome
from newsmill.sandbox.pages import Sandbox
from newsmill.settings import Settings
from newsmill.web.config import WebConfig
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "scrapy.md"
ARTICLES = 100
KILLS = 2
SEED = 20261125
SENTENCE = "The council of town {n} decided on Tuesday after a long debate that the bridge is built again next year."

SPIDER = """
import scrapy
from newsmill.scrapy import link, page

class Paper(scrapy.Spider):
    name = "paper"
    start_urls = ["HOMEPAGE"]
    custom_settings = {COMPONENTS}

    def parse(self, response):
        yield from response.follow_all(css="a", callback=self.parse_article)

    def parse_article(self, response):
"""
PIPELINE = '"ITEM_PIPELINES": {"newsmill.scrapy.NewsmillPipeline": 300}'
MIDDLEWARE = '"SPIDER_MIDDLEWARES": {"newsmill.scrapy.NewsmillMiddleware": 500}'
PLAIN_SPIDER = SPIDER.replace("COMPONENTS", MIDDLEWARE) + "        pass\n"
PAGES_SPIDER = (
    SPIDER.replace("COMPONENTS", PIPELINE)
    + """
        yield page(response)
        yield link(response.url + "/more", title="More")
        yield {"not": "an article"}
"""
)
ITEMS_SPIDER = (
    SPIDER.replace("COMPONENTS", PIPELINE)
    + """
        text = "\\n\\n".join(response.css("p::text").getall())
        yield {"url": response.url, "headline": response.css("h1::text").get(), "articleBody": text, "datePublished": "2026-11-25"}
"""
)


@dataclass
class Paper:
    """A server with a list of articles; it counts the requests of articles."""

    url: str
    requests: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def paper() -> Iterator[Paper]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                body = "".join(f'<a href="/article/{number}">{number}</a>' for number in range(ARTICLES))
            else:
                site.requests[self.path] += 1
                number = self.path.rpartition("/")[2]
                paragraphs = "".join(f"<p>{n}. {SENTENCE.format(n=number)}</p>" for n in range(8))
                body = f"<html><head><title>Town {number}</title></head><body><article><h1>Town {number}</h1>{paragraphs}</article>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Set-Cookie", "session=secret")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Paper(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Project:
    """A Scrapy project of one spider, and where it stores pages."""

    folder: Path
    paper: Paper
    settings: dict[str, str]

    def start(self, spider: str, **settings: str) -> subprocess.Popen[str]:
        (self.folder / "paper_spider.py").write_text(spider.replace("HOMEPAGE", f"{self.paper.url}/"))
        given = {"ROBOTSTXT_OBEY": "False", "CONCURRENT_REQUESTS_PER_DOMAIN": "4", "LOG_LEVEL": "INFO", **self.settings, **settings}
        options = [word for name, value in given.items() for word in ("-s", f"{name}={value}")]
        command = [sys.executable, "-m", "scrapy", "runspider", "paper_spider.py", *options]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=self.folder, env=environ, stderr=subprocess.PIPE, text=True)

    def run(self, spider: str, **settings: str) -> str:
        """A crawl to its end; its log."""
        process = self.start(spider, **settings)
        _, log = process.communicate(timeout=200)
        assert process.returncode == 0, log
        assert "Spider error processing" not in log and "Error processing" not in log, log
        return log

    def kill_at_random(self, spider: str, chance: random.Random) -> None:
        """A crawl that is killed after some of its requests."""
        process = self.start(spider)
        last = self.paper.requests.total() + chance.randrange(20, ARTICLES)
        eventually(lambda: self.paper.requests.total() >= last)
        time.sleep(chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()


def extract(context: AppContext) -> None:
    with Sandbox() as sandbox:
        while segments := context.ledger.pending_segments(now=context.now(), limit=100):
            for segment in segments:
                extract_claimed_pages(WorkerContext(context, sandbox, "worker"), segment)


def check_each_article_is_stored_once(context: AppContext, paper: Paper) -> None:
    extract(context)
    documents = {document.url: document for document in context.documents.iterate() if "/article/" in document.url}
    assert sorted(documents) == sorted(f"{paper.url}/article/{number}" for number in range(ARTICLES))
    assert {document.revision for document in documents.values()} == {1}
    assert context.ledger.progress().outcomes[Outcome.STORED] == ARTICLES
    stored = [document.archive_ref for document in documents.values() if document.archive_ref is not None]
    segment, _, offset = stored[0].partition("@")
    archived = context.archive.read_page(segment, int(offset))
    assert "secret" not in str(archived.headers)


@pytest.fixture
def local(tmp_path: Path, paper: Paper) -> Project:
    return Project(tmp_path, paper, {"NEWSMILL_DATA": str(tmp_path / "mill")})


@pytest.mark.slow
def test_a_killed_and_repeated_crawl_into_a_data_folder(local: Project, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for _ in range(KILLS):
        local.kill_at_random(PAGES_SPIDER, chance)
    log = local.run(PAGES_SPIDER)
    assert "0 rejected, 0 lost" in log
    again = local.run(PAGES_SPIDER)
    assert f"Newsmill: 0 queued, {ARTICLES} known, 0 rejected, 0 lost, {ARTICLES} links" in again
    with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
        check_each_article_is_stored_once(context, local.paper)
        assert context.ledger.progress().pages == 2 * ARTICLES  # each has a link
        trace = context.ledger.trace(f"{local.paper.url}/article/1/more")
        assert trace is not None
        assert (trace.state, trace.found_by) == ("due", "spider")


@pytest.mark.slow
def test_a_killed_and_repeated_crawl_through_the_api(make_web: Callable[..., RunningApp], paper: Paper, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    web = make_web(WebConfig(allow_nets=("127.0.0.1",)))
    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url:
        project = Project(tmp_path, paper, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": token})
        for _ in range(KILLS):
            project.kill_at_random(PAGES_SPIDER, chance)
        assert "0 rejected, 0 lost" in project.run(PAGES_SPIDER)
        assert f"Newsmill: 0 queued, {ARTICLES} known, 0 rejected, 0 lost, {ARTICLES} links" in project.run(PAGES_SPIDER)
    check_each_article_is_stored_once(web.context, paper)
    assert web.context.ledger.progress().pages == 2 * ARTICLES


def test_the_middleware_stores_responses_of_an_unchanged_spider(local: Project, tmp_path: Path) -> None:
    assert "Newsmill: 101 queued, 0 known, 0 rejected, 0 lost" in local.run(PLAIN_SPIDER)
    with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
        check_each_article_is_stored_once(context, local.paper)
        front = context.ledger.trace(f"{local.paper.url}/")
        assert front is not None
        assert front.document_id is None


def test_items_with_ready_fields_through_both_ways(web: RunningApp, local: Project, tmp_path: Path) -> None:
    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    local.run(ITEMS_SPIDER)
    with served(web) as url:
        Project(tmp_path, local.paper, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": token}).run(ITEMS_SPIDER)
    with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
        for one in (context, web.context):
            check_each_article_is_stored_once(one, local.paper)
            document = next(document for document in one.documents.iterate() if document.url.endswith("/article/7"))
            assert (document.title, document.extractor) == ("Town 7", "spider")
            assert (document.published_precision, document.published_day) == ("day", "2026-11-25")


def test_a_refused_link_costs_no_other(web: RunningApp, paper: Paper, tmp_path: Path) -> None:
    """The server may not fetch from 127.0.0.1, but stores the pages that the spider fetched there."""
    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url:
        log = Project(tmp_path, paper, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": token}).run(PAGES_SPIDER, CLOSESPIDER_ITEMCOUNT="9")
    assert "/more is not stored: " in log
    assert "Spider closed (closespider_itemcount)" in log
    assert web.context.ledger.progress().pages >= 3


@pytest.mark.parametrize("token", [{}, {"NEWSMILL_TOKEN": "wrong"}])
def test_a_missing_or_wrong_token_ends_the_crawl(web: RunningApp, paper: Paper, tmp_path: Path, token: dict[str, str]) -> None:
    web.program("write")  # from the first token on, the server needs one
    with served(web) as url:
        log = Project(tmp_path, paper, {"NEWSMILL_URL": url, **token}).run(PAGES_SPIDER)
    assert "the crawl ends: " in log
    assert "401: " in log
    assert "set NEWSMILL_TOKEN to a token of `newsmill token add NAME --scope write`" in log
    assert "newsmill_unavailable" in log
    assert web.context.ledger.progress().pages == 0


def test_the_spider_of_the_guide(local: Project, tmp_path: Path) -> None:
    (spider,) = re.findall(r'^```python title="paper_spider.py"\n(.*?)^```$', GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    local.run(spider.replace("https://www.example.org/", "HOMEPAGE"))
    with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
        check_each_article_is_stored_once(context, local.paper)


def test_settings_that_contradict_each_other_are_an_error(local: Project) -> None:
    process = local.start(PAGES_SPIDER, NEWSMILL_URL="http://127.0.0.1:1")
    _, log = process.communicate(timeout=100)
    assert "expected exactly one of NEWSMILL_DATA" in log
    assert local.paper.requests.total() == 0

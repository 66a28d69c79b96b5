"""Real Scrapy crawls of somebody else's project, killed and repeated: every article is stored once, locally and through the API."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from services import eventually
from site_of_tests import RunningApp, served

from newsmill.archive.archive import MAX_SEGMENT_PAGES
from newsmill.archive.spool import OrphanedSpool, SpooledLink, SpooledPage
from newsmill.context import AppContext, open_context
from newsmill.exceptions import ConfigError
from newsmill.model import Outcome, Page, State
from newsmill.sandbox.pages import Sandbox
from newsmill.scrapy import NewsmillMiddleware, NewsmillPipeline
from newsmill.scrapy.page_destinations import open_destination
from newsmill.settings import Settings
from newsmill.web.config import WebConfig
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "scrapy.md"
ARTICLES = 48  # a full segment, which is stored at once, and half of one, which waits to be flushed
FEW = 5  # articles where nothing depends on their number
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
DEFAULTS = {"ROBOTSTXT_OBEY": "False", "CONCURRENT_REQUESTS_PER_DOMAIN": "4", "LOG_LEVEL": "INFO"}
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
        yield link(response.url + "/more", published="yesterday")
        text = "\\n\\n".join(response.css("p::text").getall())
        yield {"url": response.url, "headline": response.css("h1::text").get(), "articleBody": text, "datePublished": "2026-11-25"}
"""
)

ACKNOWLEDGING = """
    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.acknowledge, signal=scrapy.signals.item_scraped)
        return spider

    def acknowledge(self, item, response):
        if type(item).__name__ == "PageItem":
            with open("done", "a") as file:
                file.write(response.url + " ")
"""


TOGETHER = """
import json, sys
from importlib import import_module
from scrapy.crawler import CrawlerProcess

process = CrawlerProcess({"LOG_LEVEL": "INFO"})
for module, settings in json.loads(sys.argv[1]).items():
    spider = import_module(module).Paper
    spider.custom_settings |= settings
    process.crawl(spider)
process.start()
"""


@dataclass
class Paper:
    """A server with a list of articles; it counts the requests of articles."""

    url: str
    articles: int = ARTICLES
    requests: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def paper() -> Iterator[Paper]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                body = "".join(f'<a href="/article/{number}">{number}</a>' for number in range(site.articles))
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
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
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
        self.write("paper_spider", spider)
        given = DEFAULTS | self.settings | settings
        options = [word for name, value in given.items() for word in ("-s", f"{name}={value}")]
        return self.start_python("-m", "scrapy", "runspider", "paper_spider.py", *options)

    def write(self, module: str, spider: str) -> None:
        (self.folder / f"{module}.py").write_text(spider.replace("HOMEPAGE", f"{self.paper.url}/"))

    def start_python(self, *arguments: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, *arguments], cwd=self.folder, env=environ, stderr=subprocess.PIPE, text=True)

    def run(self, spider: str, **settings: str) -> str:
        """A crawl to its end; its log."""
        return self.finish(self.start(spider, **settings))

    def run_together(self, *crawls: tuple[str, dict[str, str]]) -> str:
        """Crawls of spiders with settings of their own, in one process, to their end; their log."""
        given = {}
        for number, (spider, settings) in enumerate(crawls):
            self.write(f"spider_{number}", spider)
            given[f"spider_{number}"] = DEFAULTS | settings
        return self.finish(self.start_python("-c", TOGETHER, json.dumps(given)))

    def finish(self, process: subprocess.Popen[str]) -> str:
        _, log = process.communicate(timeout=200)
        assert process.returncode == 0, log
        assert "Spider error processing" not in log and "Error processing" not in log, log
        return log

    def kill(self, spider: str, moment: Callable[[], bool]) -> None:
        """A crawl that is killed at that moment."""
        process = self.start(spider)
        assert eventually(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()


def check_each_article_is_stored_once(context: AppContext, paper: Paper, sandbox: Sandbox) -> None:
    while segments := context.ledger.segments.list_pending(now=context.now(), limit=100):
        for segment in segments:
            extract_claimed_pages(WorkerContext(context, sandbox, "worker"), segment)
    documents = {document.url: document for document in context.documents.iterate() if "/article/" in document.url}
    assert sorted(documents) == sorted(f"{paper.url}/article/{number}" for number in range(paper.articles))
    assert {document.revision for document in documents.values()} == {1}
    assert context.ledger.progress.count().outcomes[Outcome.STORED] == paper.articles
    stored = [document.archive_ref for document in documents.values() if document.archive_ref is not None]
    segment, _, offset = stored[0].partition("@")
    archived = context.archive.read_page(segment, int(offset))
    assert "secret" not in str(archived.headers)


@pytest.fixture
def local(tmp_path: Path, paper: Paper) -> Project:
    return Project(tmp_path, paper, {"NEWSMILL_DATA": str(tmp_path / "mill")})


@pytest.mark.slow
def test_a_killed_and_repeated_crawl_into_a_data_folder(local: Project, tmp_path: Path, sandbox: Sandbox) -> None:
    """Killed when the first items are done; then repeated with the spider of the guide, which has no links.

    An item is done when it is stored: a scheduler that remembers what is done finds each such page in the archive after a kill.
    """
    done = tmp_path / "done"
    acknowledging = PAGES_SPIDER.replace("\n    def parse(", ACKNOWLEDGING + "\n    def parse(", 1)
    local.kill(acknowledging, lambda: done.exists() and done.stat().st_size > 0)
    with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
        for url in set(done.read_text().split()):
            trace = context.ledger.traces.get(url)
            assert trace is not None and trace.state == State.FETCHED, url
    log = local.run(PAGES_SPIDER)
    assert "0 rejected, 0 kept, 0 lost" in log
    (spider,) = re.findall(r'^```python title="paper_spider.py"\n(.*?)^```$', GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    again = local.run(spider.replace("https://www.example.org/", "HOMEPAGE"))
    assert f"Newsmill: 0 queued, {ARTICLES} known, 0 rejected, 0 kept, 0 lost, 0 links" in again
    with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
        check_each_article_is_stored_once(context, local.paper, sandbox)
        assert context.ledger.progress.count().pages == 2 * ARTICLES  # each has a link
        trace = context.ledger.traces.get(f"{local.paper.url}/article/1/more")
        assert trace is not None
        assert (trace.state, trace.found_by) == ("due", "spider")


@pytest.mark.slow
def test_a_killed_and_repeated_crawl_through_the_api(
    make_web: Callable[..., RunningApp], paper: Paper, tmp_path: Path, sandbox: Sandbox
) -> None:
    """Killed when a segment is stored and the rest waits."""
    web = make_web(WebConfig(allow_nets=("127.0.0.1",)))
    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url:
        project = Project(tmp_path, paper, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": token})
        project.kill(PAGES_SPIDER, lambda: web.context.ledger.progress.count().pages > 0)
        log = project.run(PAGES_SPIDER)
    counts = re.search(rf"Newsmill: (\d+) queued, (\d+) known, 0 rejected, 0 kept, 0 lost, {ARTICLES} links", log)
    assert counts is not None
    queued, known = map(int, counts.groups())
    assert (queued + known, known > 0) == (ARTICLES, True)
    check_each_article_is_stored_once(web.context, paper, sandbox)
    assert web.context.ledger.progress.count().pages == 2 * ARTICLES


@pytest.mark.parametrize("is_remote", [False, True])
def test_the_next_crawl_stores_what_a_killed_one_had_not_stored(
    is_remote: bool, local: Project, web: RunningApp, paper: Paper, tmp_path: Path, sandbox: Sandbox
) -> None:
    """The kill comes before the first batch is stored; the next crawl fetches nothing."""
    paper.articles = FEW
    waiting = PAGES_SPIDER + "\nimport newsmill.scrapy.submitter\nnewsmill.scrapy.submitter.FLUSH_SECONDS = 600\n"
    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    with served(web) as url:
        project = Project(tmp_path, paper, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": token}) if is_remote else local
        project.kill(waiting, lambda: len(list_spooled(tmp_path)) == 2 * FEW)
        log = project.run(PAGES_SPIDER.replace('["HOMEPAGE"]', "[]"))
    assert f"pages and links of an earlier crawl stored: {2 * FEW}" in log
    assert not list(tmp_path.rglob("*.spool"))
    if is_remote:
        check_each_article_is_stored_once(web.context, paper, sandbox)
    else:
        with open_context(Settings.model_validate({"data": tmp_path / "mill"})) as context:
            check_each_article_is_stored_once(context, paper, sandbox)
            assert context.ledger.progress.count().pages == 2 * FEW  # each has a link


def list_spooled(folder: Path) -> list[SpooledPage | SpooledLink]:
    """What a running crawl has in the spool."""
    found = []
    for path in folder.rglob("*.spool"):
        with path.open("rb") as file:
            found += OrphanedSpool(path, file).entries()
    return found


def test_responses_of_an_unchanged_spider_and_items_with_ready_fields(
    web: RunningApp, paper: Paper, tmp_path: Path, sandbox: Sandbox
) -> None:
    """The middleware stores the responses. Items go both ways: the server may not fetch links from 127.0.0.1, but stores the items."""
    token = web.program("write").headers["authorization"].removeprefix("Bearer ")
    paper.articles = FEW
    with served(web) as url:
        log = Project(tmp_path, paper, {}).run_together(
            (PLAIN_SPIDER, {"NEWSMILL_DATA": str(tmp_path / "responses")}),
            (ITEMS_SPIDER, {"NEWSMILL_DATA": str(tmp_path / "items")}),
            (ITEMS_SPIDER, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": token}),
        )
    counts = re.findall(r"Newsmill: (\d+) queued, 0 known, 0 rejected, 0 kept, 0 lost", log)
    assert sorted(map(int, counts)) == [FEW, FEW, FEW + 1]
    assert log.count(f"'newsmill/unreadable_dates': {FEW}") == 2
    assert log.count("the date 'yesterday' cannot be read") == 2, "once in a crawl"
    assert log.count("/more is not stored: ") == FEW
    with open_context(Settings.model_validate({"data": tmp_path / "responses"})) as context:
        check_each_article_is_stored_once(context, paper, sandbox)
        front = context.ledger.traces.get(f"{paper.url}/")
        assert front is not None
        assert front.document_id is None
    with open_context(Settings.model_validate({"data": tmp_path / "items"})) as context:
        for one in (context, web.context):
            check_each_article_is_stored_once(one, paper, sandbox)
            document = next(document for document in one.documents.iterate() if document.url.endswith("/article/4"))
            assert (document.title, document.extractor) == ("Town 4", "spider")
            assert (document.published_precision, document.published_day) == ("day", "2026-11-25")


def test_a_missing_or_wrong_token_ends_the_crawl(web: RunningApp, paper: Paper, tmp_path: Path) -> None:
    web.program("write")  # from the first token on, the server needs one
    paper.articles = 3 * MAX_SEGMENT_PAGES  # the crawl is at work when the first segment is refused
    with served(web) as url:
        log = Project(tmp_path, paper, {"NEWSMILL_URL": url, "NEWSMILL_TOKEN": "wrong"}).run(PAGES_SPIDER)
        with pytest.raises(ConfigError) as missing:
            open_destination(None, url, None).store([Page(paper.url, paper.url, web.context.now(), 200, (), b"<p>")])
    assert "the crawl ends: " in log
    assert "newsmill_refused" in log
    for message in (log, str(missing.value)):
        assert "401: " in message
        assert "set NEWSMILL_TOKEN to a token of `newsmill token add NAME --scope write`" in message
        assert "token=" not in message, "one remedy"
    assert web.context.ledger.progress.count().pages == 0


def test_settings_that_contradict_each_other_are_an_error(tmp_path: Path) -> None:
    """Scrapy ends a crawl whose pipeline raises an error other than NotConfigured, before the first request."""
    for component in (NewsmillPipeline, NewsmillMiddleware):
        with pytest.raises(ConfigError, match="expected exactly one of NEWSMILL_DATA"):
            component.from_crawler(Crawler(Spider, {"NEWSMILL_DATA": str(tmp_path), "NEWSMILL_URL": "http://127.0.0.1:1"}))
        with pytest.raises(ConfigError, match="'localhost:8765': expected https://host"):
            component.from_crawler(Crawler(Spider, {"NEWSMILL_URL": "localhost:8765"}))
        with pytest.raises(NotConfigured):
            component.from_crawler(Crawler(Spider))
    assert not issubclass(ConfigError, NotConfigured)

"""End to end: `newsmill crawl` on the newspaper, over HTTP, with the embedded stores; the documents must be exact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from newspaper_site.article import NEWSPAPER, Article, read_articles

from newsmill import demo
from newsmill.model import Link
from newsmill.storage import database
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger

ARTICLES = read_articles()
OTHERS = tomllib.loads((NEWSPAPER / "expected.toml").read_text("utf-8"))["other"]
# A redirect and its target are one document: the one read first is stored, the other is a duplicate.
STORED_OR_DUPLICATE = {"stored", "duplicate"}


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """The newspaper after one crawl."""

    paper: demo.Newspaper
    data: Path
    ledger: Ledger
    stored: Documents
    documents: dict[str, dict[str, Any]]  # by canonical path


def environ(data: Path) -> dict[str, str]:
    elsewhere = ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_CONFIG")
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    nowhere = str(data.parent)  # without a sources.toml
    return kept | {
        "NEWSMILL_DATA": str(data),
        "NEWSMILL_ALLOW_NETS": "127.0.0.0/8",
        "NEWSMILL_CONTACT": "a@localhost",
        "NEWSMILL_CONFIG": nowhere,
    }


def newsmill(data: Path, *words: str) -> str:
    command = [sys.executable, "-m", "newsmill.cli.main", *words]
    done = subprocess.run(command, env=environ(data), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def crawl_result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrawlResult]:
    data = tmp_path_factory.mktemp("newspaper") / "data"
    with demo.serve() as paper:
        newsmill(data, "crawl", f"{paper.url}/", "--delay", "0", "--processes", "1")
        rows = [json.loads(line) for line in newsmill(data, "export", "--format", "jsonl").split("\n")[:-1]]
        documents = {(row["canonical_url"] or row["url"]).removeprefix(paper.url): row for row in rows}
        assert len(documents) == len(rows)
        linked = {request.path for request in paper.log}
        by_hand = [paper.url + row["url"] for row in OTHERS if row["url"] not in linked]  # no listing links to them
        engine = database.connect(f"sqlite:///{data / 'newsmill.sqlite'}")
        ledger = Ledger(engine)
        ledger.links.add([Link(url) for url in by_hand], now=datetime.now(UTC))
        with running(data):
            wait_until(lambda: ledger.progress.count().pending == 0)
        yield CrawlResult(paper, data, ledger, Documents(engine), documents)
        engine.dispose()


@contextmanager
def running(data: Path) -> Iterator[None]:
    """`newsmill up` beside the test."""
    with subprocess.Popen([sys.executable, "-m", "newsmill.cli.main", "up"], env=environ(data), stderr=subprocess.DEVNULL) as up:
        try:
            yield
        finally:
            up.send_signal(signal.SIGINT)


def wait_until(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "the submitted URLs were not finished"
        time.sleep(0.2)


def test_every_article_and_nothing_else_is_stored(crawl_result: CrawlResult) -> None:
    assert set(crawl_result.documents) == {article.url for article in ARTICLES}


@pytest.mark.parametrize("article", ARTICLES, ids=lambda a: a.slug)
def test_article_comes_out_exactly(crawl_result: CrawlResult, article: Article) -> None:
    document = crawl_result.documents[article.url]
    assert document["text"] == (NEWSPAPER / "expected" / f"{article.slug}.txt").read_text("utf-8").rstrip("\n")
    assert document["title"] == article.title
    assert [author["name"] for author in document["authors"]] == list(article.authors)
    assert document["language"] == article.language
    assert document["published_at"].startswith(article.published[:10])


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row["url"])
def test_every_other_row_of_the_ledger_has_its_outcome(crawl_result: CrawlResult, row: dict[str, str]) -> None:
    trace = crawl_result.ledger.traces.get(crawl_result.paper.url + row["url"])
    assert trace is not None
    listings = {"/", "/de/stadt/"}
    expected = {"listed"} if row["url"] in listings else STORED_OR_DUPLICATE if row["outcome"] == "duplicate" else {row["outcome"]}
    assert trace.outcome in expected, trace
    assert trace.detail or row["outcome"] not in ("not_article", "gone", "soft_404"), trace  # the reason, in words


def test_robots_txt_was_fetched_first_and_obeyed(crawl_result: CrawlResult) -> None:
    paths = [request.path for request in crawl_result.paper.log]
    assert paths[0] == "/robots.txt"
    assert not [path for path in paths if path.startswith(("/intern/", "/suche"))]


def test_the_crawl_delay_was_kept(crawl_result: CrawlResult) -> None:
    times = [request.at for request in crawl_result.paper.log][1:]  # the first answer is robots.txt itself
    assert (times[-1] - times[0]) / (len(times) - 1) > 0.095, "robots.txt asks for 0.1 s"


def test_a_second_crawl_stores_nothing_new(crawl_result: CrawlResult) -> None:
    summary = json.loads(newsmill(crawl_result.data, "crawl", f"{crawl_result.paper.url}/", "--delay", "0", "--processes", "1", "--json"))
    assert summary["pages"] == 0
    assert crawl_result.stored.count() == len(crawl_result.documents)

"""End to end: `newsmill crawl` on the newspaper, over HTTP, with the embedded stores; the documents must be exact.

`newsmill up` follows, with URLs that no listing has and an article that changes twice.
"""

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
from changing_article import VERSIONS, serve_article
from command_result import Newsmill, make_runner
from newspaper_site.article import NEWSPAPER, Article, read_articles
from page_client import read, text_of
from site_of_tests import open_door, served

import newsmill as package
from newsmill import demo
from newsmill.model import Link
from newsmill.storage import database
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.web.config import WebConfig

ARTICLES = read_articles()
OTHERS = tomllib.loads((NEWSPAPER / "expected.toml").read_text("utf-8"))["other"]
# A redirect and its target are one document: the one read first is stored, the other is a duplicate.
STORED_OR_DUPLICATE = {"stored", "duplicate"}


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """The newspaper after one crawl, and an article of another site that `newsmill up` has fetched three times."""

    paper: demo.Newspaper
    data: Path
    ledger: Ledger
    stored: Documents
    documents: dict[str, dict[str, Any]]  # by canonical path
    changing_url: str


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
    with demo.serve() as paper, serve_article() as article:
        newsmill(data, "crawl", f"{paper.url}/", "--delay", "0", "--processes", "1")
        rows = [json.loads(line) for line in newsmill(data, "export", "--format", "jsonl").split("\n")[:-1]]
        documents = {(row["canonical_url"] or row["url"]).removeprefix(paper.url): row for row in rows}
        assert len(documents) == len(rows)
        linked = {request.path for request in paper.log}
        by_hand = [paper.url + row["url"] for row in OTHERS if row["url"] not in linked]  # no listing links to them
        engine = database.connect(f"sqlite:///{data / 'newsmill.sqlite'}")
        ledger, stored = Ledger(engine), Documents(engine)
        ledger.links.add([Link(url) for url in by_hand], now=datetime.now(UTC))
        newsmill(data, "submit", article.url)
        with running(data):
            for number in range(len(VERSIONS)):
                article.number = number
                if number:
                    newsmill(data, "submit", "--again", article.url)
                wait_until(lambda number=number: (found := stored.get(article.url)) is not None and found.revision == number + 1)  # type: ignore[misc]
            wait_until(lambda: ledger.progress.count().pending == 0)
        yield CrawlResult(paper, data, ledger, stored, documents, article.url)
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
    read = {"listed", "not_modified"}  # by the first crawl and by a second one
    expected = read if row["url"] in listings else STORED_OR_DUPLICATE if row["outcome"] == "duplicate" else {row["outcome"]}
    assert trace.outcome in expected, trace
    assert trace.detail or row["url"] in listings or row["outcome"] not in ("not_article", "gone", "soft_404"), (
        trace
    )  # the reason, in words


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
    assert crawl_result.stored.count() == len(crawl_result.documents) + 1, "with the article that changes"


def test_both_old_texts_of_an_article_come_back_through_every_interface(
    crawl_result: CrawlResult, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, url, newsmill = crawl_result.data, crawl_result.changing_url, make_runner(capsys, monkeypatch)
    for name, value in environ(data).items():
        monkeypatch.setenv(name, value)
    with package.open(data) as corpus:
        listed = corpus.revisions(url)
        check_list([(one.revision, one.previous, one.changed, one.words_added, one.words_removed) for one in listed])
        contents = [corpus.revision(url, number) for number in (1, 2, 3)]
    for content, (title, changing) in zip(contents, VERSIONS, strict=True):
        assert content is not None and (content.title, content.text.split("\n\n")[3]) == (title, changing)
    check_commands(newsmill, url)
    door = open_door(data, WebConfig())
    with served(door) as base, package.open(base, token=door.reader_token) as corpus:
        assert (corpus.revisions(url), [corpus.revision(url, number) for number in (1, 2, 3)]) == (listed, contents)
    document = corpus_id(contents)
    answer = door.reader.get(f"/api/v1/documents/{document}/revisions", params={"limit": 2}).json()
    rest = door.reader.get(f"/api/v1/documents/{document}/revisions", params={"cursor": answer["next"]}).json()
    assert [one["revision"] for one in (*answer["items"], *rest["items"])] == [3, 2, 1] and rest["next"] is None
    pages = [text_of(read(door.reader, f"/documents/{document}/revisions?old={number}&new={number}")) for number in (1, 2)]
    assert all(changing in page for page, (_, changing) in zip(pages, VERSIONS, strict=False))
    difference = read(door.reader, f"/documents/{document}/revisions?new=3")
    assert [text_of(one) for one in difference.xpath("//section//del")] == ["May", "and", "May"]
    assert [text_of(one) for one in difference.xpath("//section//ins")] == ["<b>June</b>", "&", "June"]
    door.close()


def check_list(rows: list[tuple[Any, ...]]) -> None:
    assert rows == [(3, 2, ("title", "text"), 1, 2), (2, 1, ("text",), 1, 1), (1, None, (), 0, 0)]


def check_commands(newsmill: Newsmill, url: str) -> None:
    lines = newsmill("revisions", url, "--json").lines
    check_list([(one["revision"], one["previous"], tuple(one["changed"]), one["words_added"], one["words_removed"]) for one in lines])
    assert "text +1 −1 (new fetch)" in newsmill("revisions", url).out
    for number, (title, changing) in enumerate(VERSIONS, 1):
        shown = newsmill("revisions", url, "--show", str(number)).out
        assert shown.startswith(f"{title}\n\n") and changing in shown
        assert newsmill("revisions", url, "--show", str(number), "--json").json["title"] == title
    assert "will cost [-four-]{+six+} million" in newsmill("revisions", url, "--changes", "2").out
    paragraphs = newsmill("revisions", url, "--changes", "3", "--json").json["paragraphs"]
    assert [one["kind"] for one in paragraphs].count("changed") == 1
    for option, number, words in (("--changes", "1", "the first that is kept"), ("--show", "9", "is not kept")):
        assert words in newsmill("revisions", url, option, number).err
    assert "exclude each other" in newsmill("revisions", url, "--show", "1", "--changes", "2").err
    assert "No document has the URL" in newsmill("revisions", "https://nowhere.example/").err


def corpus_id(contents: list[Any]) -> str:
    (document,) = {content.document_id for content in contents}
    return str(document)

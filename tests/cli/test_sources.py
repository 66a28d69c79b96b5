"""Sources are renamed and removed."""

from __future__ import annotations

import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_result import Newsmill
from rows import NOON, Mill, document_of, ended, good

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.add_input import AddOptions, make_source
from newsmill.cli.completion import complete_sources
from newsmill.cli.crawl import describe_problem
from newsmill.cli.crawl_source import Changes, choose_source
from newsmill.cli.sources import poll
from newsmill.exceptions import ConfigError
from newsmill.model import Link, Outcome, Source
from newsmill.sources.table import make_name
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.processes import Heartbeat


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_default_name_needs_no_quotes_in_toml(newsmill: Newsmill) -> None:
    for url in ("https://www.example.org/", "http://127.0.0.1:8707/", "https://münchen.example/", "http://[::1]:80/"):
        table = tomllib.loads(f"[sources.{make_name(url)}]\nhomepage = {url!r}")
        assert list(table["sources"]) == [make_name(url)]
    assert newsmill("add", "www.example.org/news", "--no-check").code == 0
    assert newsmill("sources", "list", "--json").json[0]["source"]["name"] == "example-org"


def test_the_shell_completes_names_of_sources(newsmill: Newsmill) -> None:
    assert complete_sources("") == []
    for name in ("paper", "gazette"):
        assert newsmill("add", f"{name}.example", "--no-check", "--name", name).code == 0
    assert (complete_sources(""), complete_sources("pa")) == (["gazette", "paper"], ["paper"])


def store_document(name: str, url: str) -> None:
    with context.open_context(configuration.load()) as store:
        mill = Mill(store.ledger)
        host = url.split("/")[2]
        mill.ledger.url_endings.end([ended(row, Outcome.LISTED) for row in mill.lease(host)], now=NOON)
        mill.ledger.links.add([Link(url, source=name, found_by="feed")], now=NOON)
        mill.lease(host)
        (claim,) = mill.claim(mill.save())
        mill.store(good(claim, document_of(url, source=name)))


def test_poll_reads_the_listings_now(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what the running crawler reads, and says so where none runs."""
    monkeypatch.setattr(poll, "SECONDS_PER_LOOK", 0.02)
    assert newsmill("add", "paper.example", "--no-check", "--name", "paper").code == 0
    alone = newsmill("sources", "poll", "paper")
    assert (alone.code, "no crawler runs" in alone.err) == (1, True)
    with context.open_context(configuration.load()) as store, ThreadPoolExecutor() as pool:
        Heartbeat(store.engine, role="crawler").beat(store.now())
        mill = Mill(store.ledger, now=store.now())
        store.ledger.url_endings.end([ended(row, Outcome.LISTED) for row in mill.lease()], now=mill.now)

        def crawl(outcome: Outcome, detail: str) -> None:
            for _ in range(500):
                mill.now = store.now()
                if rows := store.ledger.url_leases.lease("paper.example", mill.crawler, limit=1, seconds=60, now=mill.now):
                    store.ledger.url_endings.end([ended(row, outcome, detail) for row in rows], now=store.now())
                    return
                time.sleep(0.02)

        for outcome, detail, code, shown in (
            (Outcome.LISTED, "2 new, 0 known", 0, "listed: 2 new, 0 known"),
            (Outcome.HTTP_ERROR, "HTTP 403", 1, "blocked: HTTP 403"),
        ):
            pool.submit(crawl, outcome, detail)
            done = newsmill("sources", "poll", "paper")
            assert (done.code, done.out) == (code, f"homepage https://paper.example/: {shown}\n")
    assert newsmill("sources", "pause", "paper").code == 0
    assert "is paused" in newsmill("sources", "poll", "paper").err


def test_remove_and_rename(newsmill: Newsmill, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert newsmill("add", f"{name}.example", "--no-check", "--name", name).code == 0
        store_document(name, f"https://{name}.example/1")
    refused = newsmill("sources", "remove", "one")
    assert (refused.code, "Remove source one and its 1 document? Confirm with --yes" in refused.err) == (2, True)
    assert newsmill("sources", "remove", "one", "--yes").err == "removed one: 1 document, 2 URLs\n"
    assert newsmill("sources", "remove", "one", "--yes").code == 2
    assert newsmill("show", "https://one.example/1").code == 1
    assert newsmill("sources", "rename", "two", "a b").code == 2
    assert newsmill("sources", "rename", "two", "three").err == "renamed two to three, with 1 document\n"
    assert newsmill("show", "https://two.example/1", "--json").json["source"] == "three"
    assert newsmill("search", "source:three").out.count("https://two.example/1") == 1
    kept = newsmill("sources", "remove", "three", "--keep-documents")
    assert kept.err == "removed three: 0 documents, 1 URL; 1 document kept\n"
    assert newsmill("show", "https://two.example/1").code == 0
    assert newsmill("sources", "remove", "three", "--yes").err == "removed three: 1 document, 1 URL\n"
    assert newsmill("sources", "remove", "three", "--yes").code == 2


def test_the_same_command_finishes_an_interrupted_change(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    assert newsmill("add", "one.example", "--no-check", "--name", "one").code == 0
    store_document("one", "https://one.example/1")

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    for step in ("_rename_rows", "_rename_documents"):
        with monkeypatch.context() as kill:
            kill.setattr(SourceChanges, step, interrupt)
            assert newsmill("sources", "rename", "one", "two").code == 130
    assert newsmill("show", "https://one.example/1", "--json").json["source"] == "one"
    assert newsmill("sources", "rename", "one", "two").err == "renamed one to two, with 1 document\n"
    assert newsmill("show", "https://one.example/1", "--json").json["source"] == "two"
    assert "source 'one' does not exist" in newsmill("sources", "rename", "one", "two").err
    assert [finding["check"] for finding in newsmill("doctor", "--json").json] == ["segment_missing"]  # the test has no archive
    with monkeypatch.context() as kill:
        kill.setattr(SourceChanges, "_remove_rows", interrupt)
        assert newsmill("sources", "remove", "two", "--yes").code == 130
    assert newsmill("sources", "remove", "two", "--yes").err == "removed two: 0 documents, 2 URLs\n"
    assert "source 'two' does not exist" in newsmill("sources", "remove", "two", "--yes").err


def test_a_table_in_sources_toml_is_named(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sources.toml").write_text('[sources.a]\nhomepage = "https://a.example/"\n')
    assert newsmill("add", "--file", "config/sources.toml").code == 0
    assert "sources.toml still has a: rename its table there" in newsmill("sources", "rename", "a", "b").err
    assert newsmill("add", "--file", "config/sources.toml").code == 0
    assert "sources.toml still has it: remove its table there" in newsmill("sources", "remove", "a").err


def test_a_crawl_of_a_homepage_that_is_followed_crawls_its_source(newsmill: Newsmill) -> None:
    assert newsmill("add", "paper.example", "--no-check", "--name", "paper", "--every", "2h").code == 0
    with context.open_context(configuration.load()) as store:
        followed = choose_source(store, site("https://paper.example"), Changes(delay=0.5))
        assert (followed.name, followed.every, followed.politeness.delay) == ("paper", timedelta(hours=2), 0.5)
        second = site("https://paper.example/", name="second")
        store.ledger.sources.put(second, now=NOON)
        assert describe_problem(store, second) == ("https://paper.example/ belongs to source paper; crawl it with --name paper")
        assert choose_source(store, site("https://other.example/"), Changes()) == site("https://other.example/")
        with pytest.raises(ConfigError, match=r"https://paper\.example/sport/ is already followed by paper: run `newsmill crawl"):
            choose_source(store, site("https://paper.example/sport/"), Changes())
        own = site("https://paper.example/sport/", name="sport")
        assert choose_source(store, own, Changes()) == own


def test_a_crawl_keeps_the_plan_of_its_source(newsmill: Newsmill) -> None:
    """What `add` found or the user has set is not replaced by a source that has only a homepage."""
    assert newsmill("add", "paper.example", "--no-check", "--every", "2h", "--delay", "3", "--language", "de").code == 0
    with context.open_context(configuration.load()) as store:
        planned = replace(require(store.ledger.sources.get("paper-example")), feeds=("https://paper.example/feed",))
        store.ledger.sources.put(planned, now=NOON)
        assert choose_source(store, site("http://www.paper.example"), Changes()) == planned
        assert choose_source(store, site("paper.example"), Changes(delay=1.0)).politeness.delay == 1.0
        with pytest.raises(ConfigError, match=r"the-bridge-opens\.html is already followed by paper-example: .* --name makes a source"):
            choose_source(store, site("https://paper.example/town/the-bridge-opens.html"), Changes())
        store.ledger.sources.set_enabled("paper-example", False, now=NOON)
        with pytest.raises(ConfigError, match="source paper-example is paused; run `newsmill sources resume paper-example` first"):
            choose_source(store, site("paper.example"), Changes())
        assert require(store.ledger.sources.get("paper-example")) == replace(planned, enabled=False)


def site(url: str, name: str | None = None) -> Source:
    return make_source(url, AddOptions(name))


def require(source: Source | None) -> Source:
    assert source is not None
    return source

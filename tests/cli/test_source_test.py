"""`newsmill sources test` shows what a source would bring in, and stores nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_result import Newsmill
from fake_site import Farm, Site, farm
from spider_sites import add_articles, serve_api


@pytest.fixture(scope="module")
def sites() -> Iterator[Farm]:
    with farm() as sites:
        yield sites


@pytest.fixture
def site(sites: Farm) -> Site:
    return sites.site()


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NEWSMILL_CONFIG", str(tmp_path))
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.0/24")


def write_sources(folder: Path, **keys: object) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if key != "spider_args"]
    arguments = ", ".join(f"{key} = {json.dumps(value)}" for key, value in dict(keys.get("spider_args", {})).items())  # type: ignore[call-overload]
    lines += [f"spider_args = {{ {arguments} }}"] if arguments else []
    (folder / "sources.toml").write_text("[sources.paper]\n" + "\n".join(lines) + "\n")


def test_a_spider_is_tried_without_a_store(newsmill: Newsmill, site: Site, tmp_path: Path) -> None:
    serve_api(site, 25)
    write_sources(tmp_path, spider="crawler.spiders.json_api:JsonApiSpider", spider_args={"url": site.url("/api/articles")})
    result = newsmill("sources", "test", "paper", "--limit", "3", "--json")
    assert result.code == 0, result.err
    *articles, run = result.lines
    assert [(one["kind"], one["outcome"], one["title"]) for one in articles] == [
        ("article", "stored", f"Headline number {number}") for number in range(3)
    ]
    assert run == {"outcome": "listed", "detail": "3 finished articles; stopped at spider_limits.pages"}
    assert not (tmp_path / "data").exists()


def test_listings_are_read_where_there_is_no_spider(newsmill: Newsmill, site: Site, tmp_path: Path) -> None:
    feed = site.feed("/feed", *add_articles(site, 5))
    write_sources(tmp_path, feeds=[feed])
    result = newsmill("sources", "test", "paper")
    assert result.code == 0, result.err
    assert result.out.count("/story/") == 5
    assert "Headline number 0" in result.out and "Item 4" in result.out
    assert "listed: 3 pages; 2 links" in result.err


def test_a_run_without_results_says_what_to_check(newsmill: Newsmill, site: Site, tmp_path: Path) -> None:
    write_sources(tmp_path, feeds=[site.feed("/feed")])
    result = newsmill("sources", "test", "paper")
    assert (result.code, result.out) == (1, "")
    assert "paper: empty_listing: nothing in " in result.err
    assert "nothing found: open its feeds, sitemaps and pages in a browser" in result.err


def test_a_spider_of_a_clone_for_an_older_scrapy(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found in the clone whose package is installed elsewhere, and the result names the method that Scrapy does not call."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crawler" / "spiders").mkdir(parents=True)
    (tmp_path / "crawler" / "spiders" / "old.py").write_text(
        "import scrapy\n\nclass Old(scrapy.Spider):\n    name = 'old'\n\n    def start_requests(self):\n        yield scrapy.Request('http://127.0.0.1/')\n"
    )
    write_sources(tmp_path, spider="crawler.spiders.old:Old")
    result = newsmill("sources", "test", "paper")
    assert (result.code, "nothing in 0 requests; Old.start_requests is not called by Scrapy" in result.err) == (1, True), result.err


def test_an_argument_that_the_spider_does_not_take(newsmill: Newsmill, tmp_path: Path) -> None:
    write_sources(
        tmp_path, spider="crawler.spiders.cursor_scroll:CursorScrollSpider", spider_args={"url": "https://x.example/", "scrols": "2"}
    )
    message = "source \"paper\": spider_args: CursorScrollSpider takes no argument 'scrols'; it takes link_css, scrolls, url"
    tested = newsmill("sources", "test", "paper")
    assert tested.code == 1
    assert f"paper: spider_failed: {message}" in tested.err
    added = newsmill("add", "--file", str(tmp_path / "sources.toml"))
    assert (added.code, added.err.strip()) == (2, f"newsmill: {message}")
    assert not (tmp_path / "data").exists()


def test_a_spider_that_only_the_crawlers_have_can_be_added(newsmill: Newsmill, tmp_path: Path) -> None:
    write_sources(tmp_path, spider="nothing:Here")
    added = newsmill("add", "--file", str(tmp_path / "sources.toml"))
    assert added.code == 0
    reason = f"(ModuleNotFoundError: No module named 'nothing'); searched {tmp_path / 'spiders'}"
    assert f"module nothing cannot be imported {reason}" in added.err and "the machine of each crawler needs it" in added.err
    assert "following paper (nothing:Here)" in added.err


def test_an_unknown_source_is_an_error_with_a_remedy(newsmill: Newsmill, tmp_path: Path) -> None:
    write_sources(tmp_path, homepage="https://www.example.org/")
    result = newsmill("sources", "test", "papre")
    assert (result.code, result.err.strip()) == (2, "newsmill: source 'papre' does not exist; did you mean paper?")


RAISING_SPIDER = """
import scrapy


class PaperSpider(scrapy.Spider):
    name = "paper"

    def parse(self, response):
        print("é", response.status)
        raise ValueError("no headline")
"""


def test_the_log_of_the_spider_is_printed(newsmill: Newsmill, site: Site, tmp_path: Path) -> None:
    start = site.page("/", "<p>text</p>")
    (tmp_path / "spiders").mkdir()
    (tmp_path / "spiders" / "raising.py").write_text(RAISING_SPIDER.replace('"paper"', f'"paper"\n    start_urls = ["{start}"]'))
    write_sources(tmp_path, spider="raising:PaperSpider")
    result = newsmill("sources", "test", "paper")
    assert result.code == 1
    assert "é 200" in result.err
    assert "raising.py" in result.err and "ValueError: no headline" in result.err
    assert "paper: spider_failed: 1 error in callbacks or pipelines, first ValueError: no headline" in result.err


MISSING_SPIDER = """
import scrapy


class PaperSpider(scrapy.Spider):
    name = "paper"
    start_urls = [{missing!r}, "http://127.1.0.1/"]
"""


def test_a_missing_page_and_a_refused_one_are_named(newsmill: Newsmill, site: Site, tmp_path: Path) -> None:
    (tmp_path / "spiders").mkdir()
    (tmp_path / "spiders" / "missing.py").write_text(MISSING_SPIDER.format(missing=site.url("/nothing")))
    write_sources(tmp_path, spider="missing:PaperSpider")
    result = newsmill("sources", "test", "paper")
    assert (result.code, result.out) == (1, "")
    refused = "1 request refused: ssrf_blocked (Private IP address, or a port that is not 80 or 443; NEWSMILL_ALLOW_NETS permits networks)"
    assert f"paper: empty_listing: {refused}; 1 response with HTTP 404" in result.err
    assert "nothing found: check the URLs that the spider starts with" in result.err

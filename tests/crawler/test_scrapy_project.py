"""The clone as a Scrapy project: the commands that a Scrapy user types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_site import Farm, Site
from world import AGENT, World

from crawler.process import _parse_limit
from newsmill.exceptions import ConfigError
from newsmill.model import State

ROOT = Path(__file__).resolve().parents[2]


def scrapy(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "DATABASE_URL": world.database_url,
        "ARCHIVE_URL": str(world.data),
        "REDIS_URL": world.redis_url,
        "NEWSMILL_DATA": str(world.data),
        "NEWSMILL_CONFIG": str(world.data),
        "NEWSMILL_USER_AGENT": AGENT,
        "NEWSMILL_ALLOW_NETS": "127.0.0.0/24",
        "NEWSMILL_ALLOW_OPEN_REDIS": "true",
    }
    command = [sys.executable, "-m", "scrapy", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=120)


@pytest.fixture
def paper(sites: Farm, world: World) -> Site:
    """A site with a feed of five articles, which is the source `paper` of sources.toml, and a source `other`."""
    site = sites.site()
    table = '[sources.{}]\nfeeds = ["{}"]\ndiscover = false\npoliteness = {{ delay = 0.0 }}\n'
    feeds = {name: site.feed(f"/{name}.xml", *(site.article(f"/{name}{n}") for n in range(5))) for name in ("paper", "other")}
    (world.data / "sources.toml").write_text("".join(table.format(name, feed) for name, feed in feeds.items()))
    return site


def articles(site: Site) -> list[str]:
    return sorted(hit.path for hit in site.log if hit.path[-1].isdigit())


def test_list_and_check(world: World) -> None:
    listed = scrapy(world, "list")
    assert (listed.returncode, "news" in listed.stdout.split()) == (0, True), listed.stderr
    checked = scrapy(world, "check")
    assert checked.returncode == 0 and checked.stderr.rstrip().endswith("OK"), checked.stderr


def test_crawl_of_one_source_with_and_without_a_limit(world: World, paper: Site) -> None:
    first = scrapy(world, "crawl", "news", "-a", "source=paper", "-a", "limit=2")
    assert first.returncode == 0, first.stderr
    assert "2 article URLs requested" in first.stderr and "newsmill worker" in first.stderr
    assert len(articles(paper)) == 2
    second = scrapy(world, "crawl", "news", "-a", "source=paper")
    assert second.returncode == 0, second.stderr
    assert articles(paper) == [f"/paper{n}" for n in range(5)]
    assert [world.outcome(paper.url(f"/paper{n}")) for n in range(5)] == [State.FETCHED] * 5
    assert "/other.xml" not in {hit.path for hit in paper.log}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("crawl", "news", "-a", "source=papre"), "source 'papre' does not exist; did you mean paper?"),
        (("crawl", "news", "-s", "DOWNLOAD_VERIFY_CERTIFICATES=0"), "DOWNLOAD_VERIFY_CERTIFICATES was changed"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(world: World, paper: Site, arguments: tuple[str, ...], message: str) -> None:
    done = scrapy(world, *arguments)
    assert done.returncode == 2, done.stderr
    assert f"scrapy: {message}" in done.stderr and "Traceback" not in done.stderr


def test_a_limit_is_a_whole_number_of_pages() -> None:
    with pytest.raises(ConfigError, match="-a limit: expected a whole number of pages, 1 or more, not '0'"):
        _parse_limit("0")


def test_shell_has_newsmills_network_and_scrapys_middlewares(world: World, sites: Farm, canary: Site) -> None:
    site = sites.site()
    url = site.page("/old", redirect="/new")
    site.page("/new", b"<title>New</title>", zipped=True)
    shown = scrapy(world, "shell", url, "-c", "(response.url, response.css('title::text').get(), response.request.headers['User-Agent'])")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip().endswith(str((site.url("/new"), "New", AGENT.encode())))
    refused: Any = scrapy(world, "shell", canary.url("/"), "-c", "response")
    assert "is not a public IP address; NEWSMILL_ALLOW_NETS permits networks" in refused.stderr

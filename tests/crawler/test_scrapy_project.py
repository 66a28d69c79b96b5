"""The clone as a Scrapy project: the commands that a Scrapy user types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_site import Farm, Site
from forked_process import ForkedProcess
from world import AGENT, World, run_scrapy

from crawler.process import _parse_limit
from newsmill.exceptions import ConfigError
from newsmill.model import State

ROOT = Path(__file__).resolve().parents[2]


def environ(world: World) -> dict[str, str]:
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
    return os.environ | settings


def scrapy(world: World, *arguments: str) -> tuple[int, str]:
    """The exit code and the output of a `scrapy` command in the clone."""
    log = world.data / "scrapy.log"
    command = ForkedProcess(run_scrapy, {"folder": str(ROOT), "arguments": arguments}, environ=environ(world), log=log)
    return command.wait(), log.read_text()


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
    """`list` as a user types it; the other commands are forked from a process that has loaded Scrapy."""
    command = [sys.executable, "-m", "scrapy", "list"]
    listed = subprocess.run(command, cwd=ROOT, env=environ(world), capture_output=True, text=True, timeout=120)
    assert (listed.returncode, "news" in listed.stdout.split()) == (0, True), listed.stderr
    code, output = scrapy(world, "check")
    assert code == 0 and output.rstrip().endswith("OK"), output


def test_crawl_of_one_source_with_and_without_a_limit(world: World, paper: Site) -> None:
    code, output = scrapy(world, "crawl", "news", "-a", "source=paper", "-a", "limit=2")
    assert code == 0, output
    assert "2 article URLs requested" in output and "newsmill worker" in output
    assert len(articles(paper)) == 2
    code, output = scrapy(world, "crawl", "news", "-a", "source=paper")
    assert code == 0, output
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
    code, output = scrapy(world, *arguments)
    assert code == 2, output
    assert f"scrapy: {message}" in output and "Traceback" not in output


def test_a_limit_is_a_whole_number_of_pages() -> None:
    with pytest.raises(ConfigError, match="-a limit: expected a whole number of pages, 1 or more, not '0'"):
        _parse_limit("0")


def test_shell_has_newsmills_network_and_scrapys_middlewares(world: World, sites: Farm, canary: Site) -> None:
    site = sites.site()
    url = site.page("/old", redirect="/new")
    site.page("/new", b"<title>New</title>", zipped=True)
    words = "(response.url, response.css('title::text').get(), response.request.headers['User-Agent'])"
    code, output = scrapy(world, "shell", url, "-c", words)
    assert code == 0, output
    assert str((site.url("/new"), "New", AGENT.encode())) in output.splitlines()
    _, output = scrapy(world, "shell", canary.url("/"), "-c", "response")
    assert "is not a public IP address; NEWSMILL_ALLOW_NETS=" in output

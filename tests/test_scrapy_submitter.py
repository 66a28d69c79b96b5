"""What a crawl of somebody else's project counts and why it ends when a batch cannot be stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scrapy import Spider
from scrapy.http import HtmlResponse
from scrapy.settings import Settings
from scrapy.statscollectors import MemoryStatsCollector

from newsmill.client.api_connection import InvalidRequest
from newsmill.exceptions import AuthenticationError, ConfigError, ServiceError
from newsmill.model import Link, Page, PageReceipt, PageStatus
from newsmill.scrapy import LinkItem, PageItem
from newsmill.scrapy.page_destinations import HttpDestination, LocalDestination, PageDestination
from newsmill.scrapy.submitter import Submitter

URL = "https://paper.example/a"


class FakeCrawler(SimpleNamespace):
    """A crawl of which only settings, statistics and reason of its end count."""

    def __init__(self) -> None:
        super().__init__(settings=Settings(), signals=SimpleNamespace(connect=lambda *_, **__: None), spider=Spider("paper"), reasons=[])
        self.stats = MemoryStatsCollector(cast("Any", SimpleNamespace(settings=self.settings)))
        self.engine = SimpleNamespace(close_spider_async=self.close)

    async def close(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def crawler(monkeypatch: pytest.MonkeyPatch) -> FakeCrawler:
    async def call(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr("newsmill.scrapy.submitter.run_in_thread", call)
    monkeypatch.setattr("newsmill.scrapy.submitter.call_later", lambda *_: None)
    monkeypatch.setattr("newsmill.scrapy.submitter.deferred_from_coro", asyncio.ensure_future)
    monkeypatch.setattr("newsmill.scrapy.submitter.time.sleep", lambda seconds: None)
    return FakeCrawler()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ServiceError("Redis does not answer"), "newsmill_unavailable"),
        (AuthenticationError("403: the token has another scope"), "newsmill_refused"),
        (ConfigError("the folder is that of another program"), "newsmill_refused"),
        (TypeError("'float' object cannot be interpreted as an integer"), "newsmill_failed"),
    ],
)
def test_pages_that_could_not_be_stored_are_kept_and_end_the_crawl(
    crawler: FakeCrawler, error: Exception, reason: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Broken:
        spool_folder = tmp_path

        def store(self, pages: Sequence[Page]) -> tuple[PageReceipt, ...]:
            raise error

    async def run() -> list[bool]:
        submitter = Submitter(cast("Any", crawler), cast("PageDestination", Broken()), None)
        results: list[bool] = []
        for _ in range(3):
            submitter.put_response(PageItem(HtmlResponse(URL))).addCallback(results.append)
        await submitter._flush()
        await asyncio.sleep(0)
        return results

    assert asyncio.run(run()) == [False] * 3
    assert (crawler.reasons, crawler.stats.get_stats()) == ([reason], {"newsmill/kept": 3, "finish_reason": reason})
    assert str(error) in caplog.messages[-1]
    assert ("Traceback" in caplog.text) == (reason == "newsmill_failed")


def make_pages() -> list[Page]:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    names = ("a", "nope", "b", "nope")
    return [Page(f"{URL}/{n}", f"{URL}/{n}", now, 200, (), b"<p>", source=None if name in "ab" else name) for n, name in enumerate(names)]


def check_unknown_source(destination: PageDestination) -> None:
    """Only the pages and links of the unknown source are rejected."""
    receipts = destination.store(make_pages())
    assert [receipt.url for receipt in receipts] == [page.url for page in make_pages()]
    assert [receipt.status for receipt in receipts] == [PageStatus.QUEUED, PageStatus.REJECTED] * 2
    assert "does not exist" in str(receipts[1].reason)
    assert destination.add([Link(f"{URL}/l{n}", source=page.source) for n, page in enumerate(make_pages())]) == 2


def test_an_unknown_source_costs_no_page_of_another(tmp_path: Path) -> None:
    destination = LocalDestination(str(tmp_path))
    check_unknown_source(destination)
    destination.close()


def test_an_unknown_source_costs_no_page_of_another_on_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def post(self: HttpDestination, path: str, content: bytes) -> object:
        request = json.loads(content)
        if request.get("source") == "nope":
            raise InvalidRequest("http://mill: 422: source: 'nope' does not exist", 422)
        return {"items": [{"url": one["requested_url"], "status": "queued"} for one in request.get("pages", ())]}

    monkeypatch.setattr(HttpDestination, "post", post)
    check_unknown_source(HttpDestination("http://127.0.0.1:9", "nm_x"))


def test_links_that_are_refused_are_counted_as_such(crawler: FakeCrawler, tmp_path: Path) -> None:
    async def run() -> None:
        destination = SimpleNamespace(add=lambda links: 1, spool_folder=tmp_path)
        submitter = Submitter(cast("Any", crawler), cast("Any", destination), None)
        assert await submitter.add_link(LinkItem("/relative"))
        waiting = [asyncio.ensure_future(submitter.add_link(LinkItem(f"{URL}/{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        await submitter._flush()
        assert await asyncio.gather(*waiting) == [True] * 3

    asyncio.run(run())
    assert crawler.stats.get_stats() == {"newsmill/links": 2, "newsmill/rejected_links": 2}

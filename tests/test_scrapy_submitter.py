"""What a crawl of somebody else's project counts and why it ends when a batch cannot be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scrapy import Spider
from scrapy.http import HtmlResponse
from scrapy.settings import Settings
from scrapy.statscollectors import MemoryStatsCollector

from newsmill.exceptions import AuthenticationError, ConfigError, ServiceError
from newsmill.model import Page, PageReceipt
from newsmill.scrapy import PageDestination, PageItem, Submitter

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

    monkeypatch.setattr("newsmill.scrapy.run_in_thread", call)
    monkeypatch.setattr("newsmill.scrapy.call_later", lambda *_: None)
    monkeypatch.setattr("newsmill.scrapy.deferred_from_coro", asyncio.ensure_future)
    monkeypatch.setattr("newsmill.scrapy.time.sleep", lambda seconds: None)
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
def test_pages_that_could_not_be_stored_are_lost_and_end_the_crawl(
    crawler: FakeCrawler, error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
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
    assert (crawler.reasons, crawler.stats.get_stats()) == ([reason], {"newsmill/lost": 3, "finish_reason": reason})
    assert str(error) in caplog.messages[-1]
    assert ("Traceback" in caplog.text) == (reason == "newsmill_failed")

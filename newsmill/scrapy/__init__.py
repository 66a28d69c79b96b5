"""Newsmill for Scrapy projects. docs/guides/scrapy.md shows a spider of ten lines.

`NewsmillPipeline` stores what a spider yields: `page(response)`, `link(url)`, and any item with a URL, a title and a text. Other items pass
unchanged. `NewsmillMiddleware` stores every HTML response that reaches a callback, without a change to the spider. Both need one of the
settings NEWSMILL_DATA (a data folder) and NEWSMILL_URL with NEWSMILL_TOKEN; NEWSMILL_SOURCE names the source of the pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem
from scrapy.http import HtmlResponse, Response
from scrapy.utils.defer import maybe_deferred_to_future

import newsmill
from newsmill.intake.page_submission import make_item_page
from newsmill.intake.scrapy_items import (
    LinkItem,
    PageItem,
    link,
    make_article_item,
    page,
)
from newsmill.model import Document
from newsmill.scrapy.submitter import Submitter

__all__ = ["LinkItem", "NewsmillMiddleware", "NewsmillPipeline", "PageItem", "extract", "link", "page"]
META_KEY = "newsmill"  # False in a request's meta: NewsmillMiddleware does not store its response


def extract(response: Response, *, language: str | None = None) -> Document:
    """The document of a response. Stores nothing. `language`: BCP 47 tag of the site, for texts whose language is not recognised.

    Raises ExtractionError where the page holds no document.
    """
    content_type = response.headers.get("Content-Type")
    declared = None if content_type is None else content_type.decode("latin-1")
    return newsmill.extract(response.body, url=response.url, content_type=declared, language=language)


class NewsmillPipeline:
    """An item pipeline that stores pages, links and articles, and returns every item unchanged when it is stored.

    A request is done when its items are, so a scheduler that keeps requests until then sends those of a killed crawl again.
    """

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Submitter.of(crawler))

    async def process_item(self, item: Any) -> Any:
        """Store the item if it is one of Newsmill's, or an article with URL, title and text."""
        self._submitter.count_unreadable_dates(item)
        submitter, is_stored = self._submitter, True
        if isinstance(item, PageItem):
            is_stored = await submitter.add_response(item)
        elif isinstance(item, LinkItem):
            is_stored = await submitter.add_link(item)
        elif (article := make_article_item(item)) is not None:
            is_stored = await submitter.add_page(make_item_page(article, fetched_at=datetime.now(UTC), source=submitter.source))
        if not is_stored:  # the error of the whole batch is in the log
            raise DropItem("Newsmill has not stored it", log_level="DEBUG")
        return item


class NewsmillMiddleware:
    """A spider middleware that stores every HTML response that reaches a callback."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Submitter.of(crawler))

    async def process_spider_output(self, response: Response, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pass on what the callback yields, and wait until the response is stored."""
        stored = self._submitter.put_response(PageItem(response)) if is_wanted(response) else None
        async for item in result:
            yield item
        if stored is not None:
            await maybe_deferred_to_future(stored)


def is_wanted(response: Response) -> bool:
    """Whether NewsmillMiddleware stores a response."""
    return isinstance(response, HtmlResponse) and response.meta.get(META_KEY) is not False

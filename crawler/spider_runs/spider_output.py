"""The items of a run on their way to a sink, counted up to the run's limit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from crawler.spider_runs.run_report import OutputCounts
from newsmill.exceptions import UrlError
from newsmill.intake.page_submission import make_item_page
from newsmill.intake.scrapy_items import (
    UNREADABLE_DATE_MESSAGE,
    LinkItem,
    PageItem,
    find_unreadable_dates,
    make_article_item,
    make_link,
    make_page,
)
from newsmill.model import Link, Page

log = logging.getLogger(__name__)

FOUND_BY = "spider"  # in the rows of the ledger


class Sink(Protocol):
    """Where the results of a run go."""

    async def put_page(self, page: Page, *, is_item: bool) -> None: ...

    async def put_link(self, link: Link) -> None: ...

    async def flush(self) -> None: ...


class SpiderOutput:
    """Takes the items of a spider, up to its limit, and counts them."""

    def __init__(self, sink: Sink, source: str, *, max_items: int, clock: Callable[[], datetime], on_limit: Callable[[], None]) -> None:
        """`on_limit` is called once, when the spider has yielded `max_items` pages, links and articles."""
        self.sink = sink
        self.source = source
        self.max_items = max_items
        self.clock = clock
        self.on_limit = on_limit
        self.counts = OutputCounts()
        self.has_reached_limit = False

    async def take(self, item: Any) -> None:
        """Handle one item, after the spider's own pipelines. The call returns when the item is in the batch or stored."""
        if self.has_reached_limit:
            return
        self._count_unreadable_dates(item)
        if isinstance(item, PageItem):
            self.counts.pages += 1
            await self.sink.put_page(make_page(item, fetched_at=self.clock(), source=self.source), is_item=False)
        elif isinstance(item, LinkItem):
            await self._take_link(item)
        elif (article := make_article_item(item)) is not None:
            self.counts.articles += 1
            await self.sink.put_page(make_item_page(article, fetched_at=self.clock(), source=self.source), is_item=True)
        else:
            self._ignore(item)
        if self.counts.pages + self.counts.links + self.counts.articles >= self.max_items:
            self.has_reached_limit = True
            self.on_limit()

    async def _take_link(self, item: LinkItem) -> None:
        try:
            link = make_link(item, source=self.source, found_by=FOUND_BY)
        except UrlError as error:
            log.warning("link left out: %s", error)
            self.counts.bad_links += 1
            return
        self.counts.links += 1
        await self.sink.put_link(link)

    def _count_unreadable_dates(self, item: Any) -> None:
        for text in find_unreadable_dates(item):
            self.counts.unreadable_dates += 1
            if self.counts.unreadable_dates == 1:
                log.warning(UNREADABLE_DATE_MESSAGE, text)

    def _ignore(self, item: Any) -> None:
        self.counts.ignored += 1
        if self.counts.ignored == 1:
            log.warning("item left out: it has no url, title and text (%s); other such items are counted only", type(item).__name__)

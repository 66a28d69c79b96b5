"""An example: a page that loads more articles while the reader scrolls. Each response names the cursor of the next.

    [sources.paper]
    spider = "crawler.spiders.cursor_scroll:CursorScrollSpider"
    spider_args = { url = "https://www.example.org/stream", link_css = "article a::attr(href)" }

The response of one request: {"html": "<article>…</article>…", "cursor": "…" or null}.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

from scrapy import Request, Selector, Spider
from scrapy.http import JsonResponse, Response

from newsmill.scrapy import page


class CursorScrollSpider(Spider):
    """Follows the cursor and hands over the page of every article."""

    name = "cursor_scroll"

    def __init__(self, url: str, link_css: str = "a::attr(href)", scrolls: str = "50", **kwargs: Any) -> None:
        """`url` is what the page's script requests. `scrolls` is the number of requests with a cursor."""
        super().__init__(**kwargs)
        self.url = url
        self.link_css = link_css
        self.scrolls = int(scrolls)

    async def start(self) -> AsyncIterator[Any]:
        yield Request(self.url, cb_kwargs={"scrolls": self.scrolls})

    def parse(self, response: Response, scrolls: int) -> Iterator[Any]:
        assert isinstance(response, JsonResponse), f"{response.url} is not JSON"
        content = response.json()
        for href in Selector(text=content["html"]).css(self.link_css).getall():
            yield response.follow(href, callback=self.parse_article, meta={"skip_known": True})
        if content.get("cursor") and scrolls > 0:
            query = urlencode({"cursor": content["cursor"]})
            yield Request(f"{self.url}?{query}", cb_kwargs={"scrolls": scrolls - 1})

    def parse_article(self, response: Response) -> Iterator[Any]:
        yield page(response)

"""An example: a site whose articles come from a JSON API, page by page, with all fields.

    [sources.paper]
    spider = "crawler.spiders.json_api:JsonApiSpider"
    spider_args = { url = "https://www.example.org/api/articles?page=1" }

The response of one page: {"articles": [{"url": …, "headline": …, "articleBody": …, "datePublished": …, "author": …}], "next": URL or null}.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from scrapy import Request, Spider
from scrapy.http import JsonResponse, Response

FIELDS = ("headline", "articleBody", "datePublished", "dateModified", "author", "articleSection", "keywords", "inLanguage")


class JsonApiSpider(Spider):
    """Yields one item per article. Newsmill stores an item that has a URL, a title and a text as a document."""

    name = "json_api"

    def __init__(self, url: str, **kwargs: Any) -> None:
        """`url` is the first page of the API."""
        super().__init__(**kwargs)
        self.url = url

    async def start(self) -> AsyncIterator[Any]:
        yield Request(self.url, headers={"Accept": "application/json"})

    def parse(self, response: Response) -> Iterator[Any]:
        assert isinstance(response, JsonResponse), f"{response.url} is not JSON"
        content = response.json()
        for article in content["articles"]:
            yield {"url": response.urljoin(article["url"])} | {name: article[name] for name in FIELDS if article.get(name)}
        if content.get("next"):
            yield response.follow(content["next"])

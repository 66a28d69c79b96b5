"""The spider that tests a source without one: it reads the source's listings and some of the articles they list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scrapy import Request, Spider
from scrapy.http import Response

from crawler.listings.messages import ParsedLinks, ParseRequest
from crawler.listings.parser import ListingParser
from crawler.spider_runs.run_report import RunRequest
from newsmill.discovery.source_sites import list_sites
from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Kind, Link, Source, SpiderLimits
from newsmill.scrapy import LinkItem, page

ARTICLES_PER_LISTING = 3  # fetched and extracted; the others are shown as links
DISCOVERED_LISTINGS = 5  # of a homepage, followed
MAX_TEST_SECONDS = 300.0


def make_test_request(source: Source, limit: int) -> RunRequest:
    """A run that shows up to `limit` results of the source and stores nothing."""
    limits = replace(source.spider_limits, seconds=min(source.spider_limits.seconds, MAX_TEST_SECONDS), pages=limit)
    if source.spider is None:
        arguments = {"listings": json.dumps([[kind.value, url] for kind, url in list_listings(source)])}
        source = replace(source, spider=f"{__name__}:{ListingsSpider.__name__}", spider_args=arguments)
        limits = replace(SpiderLimits(), seconds=MAX_TEST_SECONDS, pages=limit)
    return RunRequest(replace(source, spider_limits=limits), test=True)


def list_listings(source: Source) -> list[tuple[Kind, str]]:
    """The listings of a source's settings."""
    listings = [(Kind.FEED, url) for url in source.feeds]
    listings += [(Kind.SITEMAP, url) for url in source.sitemaps]
    listings += [(Kind.SECTION, url) for url in source.sections]
    if source.homepage is not None and source.discover:
        listings.append((Kind.HOMEPAGE, source.homepage))
    return listings


class ListingsSpider(Spider):
    """Yields the links of each listing, and the pages of the first ones."""

    name = "listings"

    def __init__(self, listings: str, **kwargs: Any) -> None:
        """`listings` is a JSON list of pairs: kind and URL."""
        super().__init__(**kwargs)
        self.listings = [(Kind(kind), url) for kind, url in json.loads(listings)]
        self.parser = ListingParser()

    async def start(self) -> AsyncIterator[Any]:
        for kind, url in self.listings:
            yield Request(url, cb_kwargs={"kind": kind, "depth": 0})

    async def parse(self, response: Response, kind: Kind, depth: int) -> AsyncIterator[Any]:
        request = ParseRequest(
            kind=kind,
            listed_at=response.url,
            url=response.url,
            source=None,
            sites=list_sites(None, response.url),
            now=datetime.now(UTC),
            content_type=(response.headers.get(b"Content-Type") or b"").decode("latin-1") or None,
        )
        try:
            async for links in self.parser.read(request, response.body):
                for result in self._follow(links, depth):
                    yield result
                break  # the first batch is enough for a test
        except (ListingError, DecodeError) as error:
            self.logger.error("%s %s cannot be read: %s", kind, response.url, error)

    def _follow(self, links: ParsedLinks, depth: int) -> list[Any]:
        results: list[Any] = [self._show(link, number) for number, link in enumerate(links.pages)]
        if depth == 0:
            found = (*links.listings, *links.refetch)[:DISCOVERED_LISTINGS]
            results += [Request(link.url, cb_kwargs={"kind": link.kind, "depth": 1}) for link in found]
        return results

    def _show(self, link: Link, number: int) -> Any:
        return Request(link.url, callback=self.parse_article) if number < ARTICLES_PER_LISTING else LinkItem(link.url, hint=link.hint)

    def parse_article(self, response: Response) -> Any:
        yield page(response)

    async def closed(self, reason: str) -> None:
        await self.parser.close()

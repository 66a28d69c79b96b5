"""The peer of the crawler alone: Scrapy with its defaults, which fetches a list of URLs politely and discards the pages.

    python scrapy_fetch.py DELAY HOST:PORT PAGES HOSTS

Its default settings but for the number of requests in flight, which must be wide enough for that many hosts.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response


class Fetch(scrapy.Spider):
    """Fetches every page of every host, in turns as a crawler meets them."""

    name = "fetch"

    async def start(self) -> AsyncIterator[scrapy.Request]:
        for page in range(self.pages):
            for host in self.hosts:
                yield scrapy.Request(f"http://{host}/a/{page}.html", self.parse)

    def parse(self, response: Response) -> None:
        """A page that a program would now read: its text, decoded."""
        self.characters = len(response.text)


if __name__ == "__main__":
    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": 256,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
            "DOWNLOAD_DELAY": float(sys.argv[1]),
            "LOG_LEVEL": "WARNING",
            "USER_AGENT": "scrapy-fetch",
        }
    )
    process.crawl(Fetch, pages=int(sys.argv[2]), hosts=sys.argv[3:])
    process.start()

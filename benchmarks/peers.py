"""The peers with Scrapy: a pipeline in one process for throughput.py, and the fetching alone for crawling.py.

    python peers.py inline OUT.jsonl HOMEPAGE...
    python peers.py fetch DELAY PAGES HOST:PORT...
    python peers.py warc FILE…

`inline` is a spider as one would write it in an afternoon: sitemaps from robots.txt, links of the front page and the sections, and each
page extracted with trafilatura in the callback, without a queue, an archive or a database. Politeness is off, and Scrapy decompresses
bodies, as by default. `fetch` fetches each page of each host politely and discards it, with Scrapy's default settings but for the number
of requests in flight, which must be wide enough for that many hosts. `warc` extracts each page of WARC files, read with warcio.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import scrapy
import trafilatura
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import SitemapSpider

ARTICLE = re.compile(r"/[^/?]*(?:-[^/?]*){3,}$|\d{4,}")  # three hyphens or a long number in the last part
SECTION = re.compile(r"^https?://[^/]+/[a-z]+/(?:\?page=\d+|page/\d+/?)?$")
SKIP = re.compile(r"/(?:events|private|intern|amp|print|tag|author)/")
LEAST = 250  # characters of a text that counts as an article

SETTINGS = {
    "CONCURRENT_REQUESTS": 64,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 8,
    "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": False,
    "COOKIES_ENABLED": False,
    "RETRY_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "WARNING",
    "USER_AGENT": "scrapy-inline",
}


class Inline(SitemapSpider):
    """Fetches, cleans and writes."""

    name = "inline"
    sitemap_rules = (("", "parse_page"),)

    def __init__(self, homepages: list[str], out: str) -> None:
        self.sitemap_urls = [f"{page.rstrip('/')}/robots.txt" for page in homepages]
        self.homepages = homepages
        self.links = LinkExtractor(deny=SKIP)
        self.out = Path(out).open("w", encoding="utf-8")  # noqa: SIM115 (closed when the spider is)
        super().__init__()

    async def start(self) -> object:
        """Sitemaps first, then the front pages."""
        async for request in super().start():
            yield request
        for page in self.homepages:
            yield scrapy.Request(page, self.parse_listing)

    def parse_listing(self, response: Response) -> Iterator[scrapy.Request]:
        """Follow what looks like an article or a section of the same site."""
        root = response.url.split("/", 3)[:3]
        for link in self.links.extract_links(response):
            if link.url.split("/", 3)[:3] == root:
                if SECTION.search(link.url):
                    yield scrapy.Request(link.url, self.parse_listing)
                elif ARTICLE.search(link.url):
                    yield scrapy.Request(link.url, self.parse_page)

    def parse_page(self, response: Response) -> None:
        """Clean one page and write it."""
        found = trafilatura.bare_extraction(response.body, url=response.url, with_metadata=True, include_comments=False)
        if found is None or len(found.text or "") < LEAST:
            return
        row = {
            "url": response.url,
            "title": found.title,
            "text": found.text,
            "authors": (found.author or "").split("; ") if found.author else [],
            "published_at": found.date,
            "language": found.language,
        }
        self.out.write(json.dumps(row, ensure_ascii=False) + "\n")

    def closed(self, reason: str) -> None:
        """Close the file."""
        self.out.close()


FETCH_SETTINGS = {
    "CONCURRENT_REQUESTS": 256,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    "LOG_LEVEL": "WARNING",
    "USER_AGENT": "scrapy-fetch",
}


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


def extract_warc(path: str) -> int:
    """Extract each response; the number of texts."""
    from warcio.archiveiterator import ArchiveIterator

    texts = 0
    with Path(path).open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type == "response":
                body, url = record.content_stream().read(), record.rec_headers.get_header("WARC-Target-URI")
                found = trafilatura.bare_extraction(body, url=url, with_metadata=True)
                texts += found is not None and bool(found.text)
    return texts


if __name__ == "__main__":
    if sys.argv[1] == "warc":
        print(sum(map(extract_warc, sys.argv[2:])), "texts")
        sys.exit()
    if sys.argv[1] == "inline":
        process = CrawlerProcess(SETTINGS)
        process.crawl(Inline, out=sys.argv[2], homepages=sys.argv[3:])
    else:
        process = CrawlerProcess(FETCH_SETTINGS | {"DOWNLOAD_DELAY": float(sys.argv[2])})
        process.crawl(Fetch, pages=int(sys.argv[3]), hosts=sys.argv[4:])
    process.start()

"""The plain pipeline that Newsmill's chaos run is held against: Scrapy with a JOBDIR → RQ, one queue → trafilatura → SQLite.

    python rq_plain.py spider FOLDER REDIS_URL SITEMAP...
    python rq_plain.py worker FOLDER REDIS_URL

Default settings throughout, as a careful afternoon would leave them: the spider resumes from its JOBDIR, `Retry(max=3)` is on every job,
the job inserts a row. No settings were chosen to make it look worse.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import redis
import trafilatura
from rq import Queue, Retry, Worker
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from scrapy.spiders import SitemapSpider

PAGE = r"/20\d\d/"


class Plain(SitemapSpider):
    """Sends every article of the sitemaps to the queue."""

    name = "plain"
    sitemap_rules = ((PAGE, "parse"),)

    def __init__(self, sitemaps: list[str], redis_url: str, folder: str) -> None:
        self.sitemap_urls = sitemaps
        self.queue = Queue("pages", connection=redis.Redis.from_url(redis_url))
        self.folder = folder
        super().__init__()

    def parse(self, response: Response, **_: Any) -> None:
        """One job per page."""
        self.queue.enqueue("rq_plain.clean", response.url, response.body, self.folder, retry=Retry(max=3), result_ttl=0)


def clean(url: str, body: bytes, folder: str) -> None:
    """The job."""
    found = trafilatura.bare_extraction(body, url=url, with_metadata=True)
    with connect(Path(folder)) as database:
        database.execute("INSERT INTO documents VALUES (?, ?, ?)", (url, found.title if found else None, found.text if found else None))
    database.close()


def connect(folder: Path) -> sqlite3.Connection:
    """The store."""
    database = sqlite3.connect(folder / "plain.sqlite", timeout=30)
    database.execute("CREATE TABLE IF NOT EXISTS documents (url TEXT, title TEXT, text TEXT)")
    return database


def main(role: str, folder: str, redis_url: str, sitemaps: list[str]) -> None:
    """Run one process."""
    if role == "worker":
        Worker([Queue("pages", connection=redis.Redis.from_url(redis_url))]).work(logging_level="WARNING")
        return
    process = CrawlerProcess({"JOBDIR": f"{folder}/jobdir", "LOG_LEVEL": "WARNING", "TELNETCONSOLE_ENABLED": False})
    process.crawl(Plain, sitemaps=sitemaps, redis_url=redis_url, folder=folder)
    process.start()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])

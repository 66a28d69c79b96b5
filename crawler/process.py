"""One crawler process: `newsmill crawler` calls `run`. The first SIGTERM or Ctrl-C stops it cleanly, a second one at once."""

from __future__ import annotations

import logging
from contextlib import closing

from scrapy.crawler import AsyncCrawlerProcess

from crawler.crawl_setup import LEASE_SECONDS, MAX_HOSTS, CrawlSetup, make_enqueue
from crawler.frontier import DocumentLimit
from crawler.settings import check_components_started, crawl_settings, load_user_settings
from crawler.spiders.news import NewsSpider
from newsmill.context import AppContext, open_queue, open_redis
from newsmill.storage.processes import Heartbeat


def run(
    context: AppContext,
    *,
    hosts: int = MAX_HOSTS,
    lease_seconds: float = LEASE_SECONDS,
    sources: tuple[str, ...] = (),
    documents: int | None = None,
) -> int:
    """Crawl until a signal. 0: stopped cleanly; 1: a bug ended the crawl.

    With `documents`, no page is requested that could give the `sources` together more documents than that.
    Raises ServiceError when Redis cannot be used at the start, ConfigError for a wrong Scrapy setting of the user.
    """
    settings = context.settings
    user = load_user_settings(settings)
    values = crawl_settings(settings, user)
    heartbeat = Heartbeat(context.engine, role="crawler")
    limit = None if documents is None else DocumentLimit(sources, documents, context.documents.count)
    with open_redis(settings) as redis, closing(open_queue(settings, redis.url)) as queue:
        setup = CrawlSetup(
            context,
            make_enqueue(queue),
            heartbeat,
            values,
            bool(user),
            hosts=hosts,
            lease_seconds=lease_seconds,
            document_limit=limit,
        )
        process = AsyncCrawlerProcess(values)
        logging.getLogger("scrapy").setLevel(logging.ERROR)  # its warnings are about single responses, which have outcomes
        if user:
            logging.getLogger("scrapy.middleware").setLevel(logging.INFO)  # what is enabled, and what disabled itself
        crawler = process.create_crawler(NewsSpider)
        task = process.crawl(crawler, setup=setup)
        process.start()
        heartbeat.stop()
    if user:
        check_components_started(task)
    return 0 if isinstance(crawler.spider, NewsSpider) and crawler.spider.has_run else 1

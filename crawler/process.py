"""One crawler process: `newsmill crawler` calls `run`. The first SIGTERM or Ctrl-C stops it cleanly, a second one at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

from scrapy.crawler import AsyncCrawlerProcess

from crawler.downloader import Downloader
from crawler.frontier import Frontier
from crawler.settings import scrapy_settings
from crawler.spiders.news import NewsSpider
from crawler.throttle import StopSignal
from newsmill.address_guard import Guard
from newsmill.context import AppContext, data_folder, open_queue, open_redis
from newsmill.exceptions import ServiceError
from newsmill.queue.queue import Queue
from newsmill.storage.processes import Heartbeat

log = logging.getLogger(__name__)

MAX_HOSTS = 64  # fetched from at once
LEASE_SECONDS = 60.0  # after which another crawler takes over the hosts and URLs of a killed one


def run(context: AppContext, *, hosts: int = MAX_HOSTS, lease_seconds: float = LEASE_SECONDS) -> int:
    """Crawl until a signal. 0: stopped cleanly; 1: a bug ended the crawl. Raises ServiceError when Redis cannot be used at the start."""
    settings = context.settings
    allow_nets = tuple(map(str, settings.allow_nets))
    heartbeat = Heartbeat(context.engine, role="crawler")
    with open_redis(settings) as redis, closing(open_queue(settings, redis.url)) as queue:
        enqueue = make_enqueue(queue)

        def make_frontier(download: Callable[..., Any], stop: StopSignal) -> Frontier:
            return Frontier(
                context.ledger,
                context.archive,
                enqueue,
                Downloader(download, Guard.from_networks(allow_nets), settings.agent),
                heartbeat.beat,
                context.now,
                stop=stop,
                agent=product_name(settings.agent),
                hosts=hosts,
                lease_seconds=lease_seconds,
                high_water=settings.high_water,
                spool=data_folder(settings) / "spool",
            )

        process = AsyncCrawlerProcess(scrapy_settings(settings.agent, allow_nets))
        logging.getLogger("scrapy").setLevel(logging.ERROR)  # its warnings are about single responses, which have outcomes
        crawler = process.create_crawler(NewsSpider)
        process.crawl(crawler, make_crawl=make_frontier)
        process.start()
        heartbeat.stop()
    return 0 if isinstance(crawler.spider, NewsSpider) and not crawler.spider.broken else 1


def product_name(user_agent: str) -> str:
    """The name that robots.txt rules are matched with: "Newsmill/0.1 (+…)" → "Newsmill"."""
    return user_agent.partition("/")[0].strip() or "Newsmill"


def make_enqueue(queue: Queue) -> Callable[[str], bool]:
    """A function that enqueues a saved segment and returns whether it could. The scheduler enqueues the others."""

    def enqueue(segment_id: str) -> bool:
        try:
            queue.enqueue(segment_id)
        except ServiceError as error:
            log.warning("segment %s is saved but not enqueued; the scheduler enqueues it: %s", segment_id, error)
            return False
        return True

    return enqueue

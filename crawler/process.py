"""One crawler process: `newsmill crawler` calls run(). SIGTERM and Ctrl-C end it cleanly, a second one at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scrapy.crawler import AsyncCrawlerProcess

from crawler.downloader import Downloader
from crawler.frontier import Frontier
from crawler.settings import scrapy_settings
from crawler.spiders.news import NewsSpider
from crawler.throttle import StopSignal
from newsmill.address_guard import Guard
from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.queue.queue import Queue, connect_redis
from newsmill.storage.database import check_schema, connect, read_clock
from newsmill.storage.ledger import Ledger
from newsmill.storage.processes import Heartbeat

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CrawlerConfig:
    """All a crawler must be told."""

    database_url: str
    archive_url: str
    redis_url: str
    allow_no_password: bool = False  # of a Redis on the network; NEWSMILL_ALLOW_OPEN_REDIS
    user_agent: str = "Newsmill/0.1"  # "Product/version (+how to reach the operator)"; settings.py adds the contact
    allow_nets: tuple[str, ...] = ()  # networks that may be connected to although private, on any port; NEWSMILL_ALLOW_NETS
    high_water: int = 500  # segments the workers may be behind before leasing stops: 16,000 pages, some eight minutes of two workers
    hosts: int = 64  # fetched at once
    lease_seconds: float = 60.0  # how long a killed crawler's hosts and rows stay taken
    spool: Path | None = None  # a local folder where fetched pages wait to be saved; None: a killed crawler's are fetched again


def run(config: CrawlerConfig) -> int:
    """Crawl until a signal. 0: stopped cleanly; 1: a bug ended it. Raises ServiceError, SchemaError or ConfigError at the start."""
    engine = connect(config.database_url)
    check_schema(engine)
    ledger, archive = Ledger(engine), Archive(config.archive_url)
    announce = make_enqueue(Queue(connect_redis(config.redis_url, allow_no_password=config.allow_no_password)))
    guard = Guard.from_networks(config.allow_nets)
    heartbeat = Heartbeat(engine, role="crawler")

    def make_crawl(download: Callable[..., Any], stop: StopSignal) -> Frontier:
        return Frontier(
            ledger,
            archive,
            announce,
            Downloader(download, guard, config.user_agent),
            heartbeat.beat,
            partial(read_clock, engine),
            stop=stop,
            agent=product_name(config.user_agent),
            hosts=config.hosts,
            lease_seconds=config.lease_seconds,
            high_water=config.high_water,
            spool=config.spool,
        )

    process = AsyncCrawlerProcess(scrapy_settings(config.user_agent, config.allow_nets))
    logging.getLogger("scrapy").setLevel(logging.ERROR)  # its warnings are about single answers, which have outcomes
    crawler = process.create_crawler(NewsSpider)
    process.crawl(crawler, make_crawl=make_crawl)
    process.start()
    heartbeat.stop()
    return 0 if isinstance(crawler.spider, NewsSpider) and not crawler.spider.broken else 1


def product_name(user_agent: str) -> str:
    """The name robots.txt knows us by: "Newsmill/0.1 (+…)" → "Newsmill"."""
    return user_agent.partition("/")[0].strip() or "Newsmill"


def make_enqueue(queue: Queue) -> Callable[[str], bool]:
    """Announcing may fail without harm: the segment is saved, and the reconciler announces whatever is owed and not on the queue."""

    def announce(segment_id: str) -> bool:
        try:
            queue.enqueue(segment_id)
        except ServiceError as e:
            log.warning("segment %s is saved but not announced, the scheduler will do it: %s", segment_id, e)
            return False
        return True

    return announce

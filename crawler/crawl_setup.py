"""Builds the frontier of one process from settings and context: for `newsmill crawler`, and for `scrapy crawl news`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from crawler.downloader import Downloader
from crawler.frontier import DocumentLimit, Frontier
from crawler.middlewares import MiddlewareDownload
from crawler.settings import MAX_BODY_BYTES, crawl_settings, load_user_settings
from crawler.throttle import StopSignal
from newsmill import settings as configuration
from newsmill.address_guard import Guard
from newsmill.context import AppContext, data_folder, open_context, open_queue, open_redis, unknown_source
from newsmill.exceptions import ServiceError
from newsmill.spider_logs import spider_log
from newsmill.storage.processes import Heartbeat

if TYPE_CHECKING:  # redis and RQ cost 0.2 s of CPU, which a process that fetches single pages need not spend
    from newsmill.queue.queue import Queue

log = logging.getLogger(__name__)

MAX_HOSTS = 64  # fetched from at once
NO_HIGH_WATER = 1_000_000  # segments: a crawl that ends would wait for workers that may not run
LEASE_SECONDS = 60.0  # after which another crawler takes over the hosts and URLs of a killed one


@dataclass(frozen=True, slots=True)
class CrawlSetup:
    """What a crawl is built from: `values` are the Scrapy settings; `source`, `max_pages` and `ends_when_idle` are the frontier's."""

    context: AppContext
    enqueue: Callable[[str], bool]
    heartbeat: Heartbeat
    values: Mapping[str, Any]
    has_middlewares: bool
    hosts: int = MAX_HOSTS
    lease_seconds: float = LEASE_SECONDS
    source: str | None = None
    max_pages: int | None = None
    document_limit: DocumentLimit | None = None
    ends_when_idle: bool = False

    def make_frontier(self, download: Callable[..., Any], stop: StopSignal) -> Frontier:
        """The frontier that downloads through the engine's `download`."""
        settings = self.context.settings
        return Frontier(
            self.context.ledger,
            self.context.archive,
            self.enqueue,
            make_downloader(download, self.values, has_middlewares=self.has_middlewares),
            self.heartbeat.beat,
            self.context.now,
            stop=stop,
            agent=product_name(settings.agent),
            hosts=self.hosts,
            lease_seconds=self.lease_seconds,
            high_water=NO_HIGH_WATER if self.ends_when_idle else settings.high_water,
            spool=data_folder(settings) / "spool",
            source=self.source,
            max_pages=self.max_pages,
            document_limit=self.document_limit,
            ends_when_idle=self.ends_when_idle,
            find_spider_log=partial(spider_log, settings),
        )


@contextmanager
def open_source_crawl(source: str | None, max_pages: int | None) -> Iterator[CrawlSetup]:
    """The crawl of one source (None: of all), from the environment, with its listings due now. It ends when nothing of it is due.

    Sources of sources.toml are read first. Raises NewsmillError with the remedy for an unknown source and for a wrong setting.
    """
    settings = configuration.load()
    user = load_user_settings(settings)
    with open_context(settings, create=True) as context:
        known = [] if settings.sources_file is None else configuration.read_sources(settings.sources_file)
        for planned in known:
            context.ledger.put_source(planned, now=context.now())
        names = [planned.name for planned in context.ledger.sources()]
        if source is not None and source not in names:
            raise unknown_source(context, source)
        for name in names if source is None else [source]:
            context.ledger.read_listings(name, now=context.now())
        heartbeat = Heartbeat(context.engine, role="crawler")
        with open_redis(settings) as redis, closing(open_queue(settings, redis.url)) as queue:
            yield CrawlSetup(
                context,
                make_enqueue(queue),
                heartbeat,
                crawl_settings(settings, user),
                bool(user),
                source=source,
                max_pages=max_pages,
                ends_when_idle=True,
            )
        heartbeat.stop()


def make_downloader(download: Callable[..., Any], values: Mapping[str, Any], *, has_middlewares: bool) -> Downloader:
    """The downloader for an engine with the Scrapy settings `values`. `has_middlewares`: they load middlewares of the user."""
    max_body = int(values["DOWNLOAD_MAXSIZE"])
    return Downloader(
        MiddlewareDownload(download) if has_middlewares else download,
        Guard.from_networks(values["NEWSMILL_ALLOW_NETS"]),
        values["USER_AGENT"],
        max_body=max_body if max_body < MAX_BODY_BYTES else None,
        max_seconds=float(values["DOWNLOAD_TIMEOUT"]),
        has_middlewares=has_middlewares,
        render=download,
    )


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

"""What all hosts of a crawler share: sources, page writer, backlog and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from crawler.browser.renderer import Renderer
from crawler.fetching.downloader import Downloader
from crawler.listings.parser import ListingParser
from crawler.politeness.throttle import StopSignal
from crawler.segments.page_writer import PageWriter
from crawler.state.ledger_calls import LedgerCalls
from crawler.state.network_monitor import NetworkMonitor
from newsmill.archive.archive import MAX_SEGMENT_PAGES
from newsmill.discovery.source_sites import covers
from newsmill.model import Kind, LeasedUrl, Link, Politeness, Render, Source
from newsmill.storage.ledger import Ledger

BACKLOG_POLL_SECONDS = 1.0  # between two looks at a backlog that is full
DEFAULT_POLITENESS = Politeness()  # for URLs without a source
MAX_SECTIONS_IN_MEMORY = 10_000  # next pages of sections whose position stays in memory


class SectionPage(NamedTuple):
    """The position of a next page of a section."""

    depth: int = 0  # next-page links between the first page and this page
    is_first_walk: bool = False  # the first page was read for the first time when it led here
    shown_before: int | None = None  # the hash of the articles on the page that led here


@dataclass(frozen=True, slots=True)
class CrawlLimits:
    """What a crawl may fetch, and how far it may be ahead of the workers."""

    agent: str  # the product name that robots.txt rules are looked up by
    lease_seconds: float
    max_backlog: int  # segments that the workers may be behind
    source: str | None = None  # only its URLs are fetched; None: those of all sources
    max_pages: int | None = None  # article URLs


class CrawlState(LedgerCalls):
    """The shared state, for the event loop's thread only."""

    def __init__(
        self,
        ledger: Ledger,
        downloader: Downloader,
        writer: PageWriter,
        clock: Callable[[], datetime],
        stop: StopSignal,
        limits: CrawlLimits,
    ) -> None:
        """`clock` asks the database for the time."""
        super().__init__(ledger, clock, stop, lease_seconds=limits.lease_seconds)
        self.downloader = downloader
        self.writer = writer
        self.parser = ListingParser()
        self.renderer = Renderer(downloader.render, downloader.guard, downloader.user_agent)
        self.network = NetworkMonitor()
        self.agent = limits.agent
        self.only_source = limits.source
        self.max_pages = limits.max_pages
        self.requested_pages = 0  # article URLs
        self.sources: dict[str, Source] = {}
        self.script_sources: set[str] = set()  # names of sources whose text only a browser shows
        self.section_pages: dict[str, SectionPage] = {}  # by URL
        self._max_backlog = limits.max_backlog
        self._counted_backlog = 0  # segments that waited for a worker at the last count
        self._segments_at_count = 0  # segments that the writer had saved before the last count

    async def read_sources(self) -> None:
        """Read all sources from the ledger."""
        self.sources = {source.name: source for source in await self.call_ledger(lambda _: self.ledger.sources.list_all())}
        if any(source.render is Render.AUTO for source in self.sources.values()):
            self.script_sources = await self.call_ledger(lambda _: self.ledger.rendering.list_script_sources())

    async def read_missing_sources(self, rows: Iterable[LeasedUrl]) -> None:
        """Read the sources if these rows name an unknown one: a new source's homepage is due before the next periodic read."""
        if any(leased_url.source is not None and leased_url.source not in self.sources for leased_url in rows):
            await self.read_sources()

    @property
    def has_spiders(self) -> bool:
        """Whether a source has a spider. A new source counts from the next read of the sources on."""
        return any(source.spider is not None for source in self.sources.values())

    def source_of(self, leased_url: LeasedUrl) -> Source | None:
        return self.sources.get(leased_url.source or "")

    def politeness_of(self, leased_url: LeasedUrl) -> Politeness:
        """The pace for a URL. On a site that its source does not speak for, a source may only be slower than the default."""
        source, default = self.source_of(leased_url), DEFAULT_POLITENESS
        if source is None:
            return default
        own = source.politeness
        if leased_url.kind is Kind.SPIDER or covers(source, leased_url.url):
            return own
        return Politeness(max(own.delay, default.delay), min(own.concurrency, default.concurrency))

    def obeys_robots(self, leased_url: LeasedUrl) -> bool:
        source = self.source_of(leased_url)
        return source is None or source.robots or (leased_url.kind is not Kind.SPIDER and not covers(source, leased_url.url))

    @property
    def is_page_limit_reached(self) -> bool:
        return self.max_pages is not None and self.requested_pages >= self.max_pages

    def count_request(self, leased_url: LeasedUrl) -> None:
        self.requested_pages += leased_url.kind is Kind.PAGE and not leased_url.is_revisit

    async def count_backlog(self) -> None:
        """Count the segments that are saved and not claimed by a worker, queued or not: the ledger knows them while Redis is away."""
        saved = self.writer.saved_segments
        segments = await self.call_ledger(lambda now: self.ledger.segments.list_pending(now=now, limit=self._max_backlog))
        self._counted_backlog, self._segments_at_count = len(segments), saved

    @property
    def is_backlog_full(self) -> bool:
        """Whether the workers are `max_backlog` segments behind. Pages that were fetched since the last count are counted as segments."""
        unsaved = -(-self.writer.unsaved_pages // MAX_SEGMENT_PAGES)
        return self._counted_backlog + self.writer.saved_segments - self._segments_at_count + unsaved >= self._max_backlog

    async def wait_for_backlog(self) -> None:
        """Wait while the backlog is full. Raises StopRequestedError."""
        while self.is_backlog_full:
            await self.stop.sleep(BACKLOG_POLL_SECONDS)
        self.stop.check()

    def set_section_page(self, links: Iterable[Link], page: SectionPage) -> None:
        """Note the position of next pages. Of too many pages the older half is forgotten."""
        if len(self.section_pages) >= MAX_SECTIONS_IN_MEMORY:
            self.section_pages = dict(list(self.section_pages.items())[MAX_SECTIONS_IN_MEMORY // 2 :])
        self.section_pages |= {link.url: page for link in links}

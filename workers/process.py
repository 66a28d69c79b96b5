"""The processes of this package: how they stop and show that they are alive, and what a worker keeps between pages.

A worker keeps its sandbox, cached profiles, and the CPU budgets of sources.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from newsmill.context import AppContext, make_heartbeat
from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.model import ExtractionPath, Page, Profile, Source
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.processes import Heartbeat
from newsmill.storage.profiles import ProfileVersion
from newsmill.text.urls import get_profile_site
from workers.cpu_budgets import CpuBudgets

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # longer than one page may take (30 s) and one flush interval (a third of the lease) together
MAX_CACHED_PROFILES = 64  # about 150 KB each at most


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def open_heartbeat(context: AppContext, role: str) -> Iterator[Heartbeat]:
    """The heartbeat of this process. A clean end removes its row; if the database is away just then, the row expires."""
    heartbeat = make_heartbeat(context, role)
    try:
        yield heartbeat
    finally:
        with suppress(ServiceError):
            heartbeat.stop()


@dataclass
class WorkerContext:
    """The AppContext with what one worker adds to it. `stop` makes it finish the page in progress and release the rest."""

    app: AppContext
    sandbox: Sandbox
    owner: str
    lease_seconds: float = LEASE_SECONDS
    stop: threading.Event = field(default_factory=threading.Event)
    heartbeat: Heartbeat | None = None
    profile_cache: dict[tuple[str, ProfileVersion], Profile] = field(default_factory=dict)
    cpu_budgets: CpuBudgets = field(default_factory=CpuBudgets)
    has_deferred: threading.Event = field(default_factory=threading.Event)  # a page was deferred: wakes the thread that reads it
    database_outage: OutageLog = field(default_factory=lambda: OutageLog(log, "the database answers again"))  # of heartbeats
    pages_outage: OutageLog = field(default_factory=lambda: OutageLog(log, "pages are read and stored again"))  # of archive or database
    redis_outage: OutageLog = field(default_factory=lambda: OutageLog(log, "Redis answers again"))

    def send_heartbeat(self) -> None:
        """Record that this worker is alive; the heartbeat writes every few seconds only. Raises ServiceError."""
        if self.heartbeat is not None:
            self.heartbeat.beat(self.app.now())

    def report_failed_pages(self, error: ServiceError) -> None:
        """Log that pages wait, unless it is known that the database is away."""
        if not self.database_outage.is_open:
            self.pages_outage.report_failure(error)


@dataclass
class SegmentState:
    """What the pages of one segment share. `is_marked`: one of the pages not stored yet is marked as in progress."""

    sources: dict[str, Source | None] = field(default_factory=dict)  # by name; per segment, so that a change is used at once
    profile_versions: dict[str, ProfileVersion | None] = field(default_factory=dict)  # by site; per segment, so that a new one is used soon
    paths: dict[tuple[str, int], Counter[ExtractionPath]] = field(default_factory=lambda: defaultdict(Counter))  # by site and version
    is_marked: bool = False
    script_pages: dict[str, list[bool]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by source; see Ledger.rendering.count_script_pages


def find_source(context: WorkerContext, name: str | None, sources: dict[str, Source | None]) -> Source | None:
    """The source of that name. `sources` caches those of the segment or job."""
    if name is None:
        return None
    if name not in sources:
        sources[name] = context.app.ledger.sources.get(name)
    return sources[name]


def find_profile(context: WorkerContext, page: Page, versions: dict[str, ProfileVersion | None]) -> Profile | None:
    """The profile of the page's site that was valid when the page was fetched. `versions` caches which one that is."""
    site = get_profile_site(page.url)
    if not site:
        return None
    if site not in versions:
        versions[site] = context.app.profiles.valid_at(site, page.fetched_at)
    version = versions[site]
    if version is None:
        return None
    if (site, version) not in context.profile_cache:
        if len(context.profile_cache) >= MAX_CACHED_PROFILES:
            context.profile_cache.clear()
        profile = context.app.profiles.get(site, version.version)
        if profile is None:
            return None
        context.profile_cache[site, version] = profile
    return context.profile_cache[site, version]

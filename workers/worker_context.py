"""What one worker process works with: the AppContext, the sandbox, and what it caches of sources and profiles."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsmill.context import AppContext
from newsmill.model import ExtractionPath, Page, Profile, Source
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.processes import Heartbeat
from newsmill.storage.profiles import ProfileVersion
from newsmill.urls import get_profile_site
from workers.cpu_budget import CpuBudget

LEASE_SECONDS = 60.0  # longer than one page may take (30 s) and one flush interval (a third of the lease) together
MAX_SOURCE_AGE = timedelta(minutes=1)  # after which a cached source is read again
MAX_CACHED_PROFILES = 64  # about 150 KB each at most


@dataclass
class WorkerContext:
    """The AppContext with what one worker adds to it. `stop` makes it finish the page in progress and release the rest."""

    app: AppContext
    sandbox: Sandbox
    owner: str
    lease_seconds: float = LEASE_SECONDS
    stop: threading.Event = field(default_factory=threading.Event)
    heartbeat: Heartbeat | None = None
    source_cache: dict[str, tuple[datetime, Source | None]] = field(default_factory=dict)
    profile_cache: dict[tuple[str, ProfileVersion], Profile] = field(default_factory=dict)
    cpu_budget: CpuBudget = field(default_factory=CpuBudget)

    def send_heartbeat(self) -> None:
        """Record that this worker is alive; the heartbeat writes every few seconds only. Raises ServiceError."""
        if self.heartbeat is not None:
            self.heartbeat.beat(self.app.now())


@dataclass
class SegmentState:
    """What the pages of one segment share. `is_marked`: one of the pages not stored yet is marked as in progress."""

    profile_versions: dict[str, ProfileVersion | None] = field(default_factory=dict)  # by site; per segment, so that a new one is used soon
    paths: dict[tuple[str, int], Counter[ExtractionPath]] = field(default_factory=lambda: defaultdict(Counter))  # by site and version
    is_marked: bool = False


def find_source(context: WorkerContext, name: str | None) -> Source | None:
    """The source of that name, at most a minute old."""
    if name is None:
        return None
    now = context.app.now()
    read_at, source = context.source_cache.get(name, (None, None))
    if read_at is None or abs(now - read_at) > MAX_SOURCE_AGE:
        source = context.app.ledger.source(name)
        context.source_cache[name] = now, source
    return source


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

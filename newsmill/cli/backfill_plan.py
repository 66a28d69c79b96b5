"""The plan of a backfill: what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from newsmill.cli.capture_options import parse_day
from newsmill.context import AppContext
from newsmill.discovery.url_dates import Period, make_archive_urls
from newsmill.exceptions import ConfigError
from newsmill.model import Kind, Link, Outcome, Source
from newsmill.storage.ledger import FROM_BACKFILL, Backfill, Trace
from newsmill.text import urls

MAX_LISTINGS = 2_000  # of a source, looked at
PATTERN_DOCUMENTS = 200  # the newest documents, whose URLs show how the archive is dated

_UNUSABLE = (Outcome.DENIED, Outcome.BAD_URL, Outcome.GONE, Outcome.BAD_LISTING)


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Where a backfill begins. `polled` are known listings, read again; `archives` are guessed from the URLs of articles."""

    period: Period
    polled: tuple[Link, ...]
    archives: tuple[Link, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing leads into the archive."""
        return not self.polled and not self.archives


def make_period(since: str, until: str | None, today: date) -> Period:
    """The wanted days, both included. Raises ConfigError for an empty or a future period."""
    first, last = parse_day(since), min(today, parse_day(until, is_last=True)) if until else today
    if first > last:
        raise ConfigError(f"no day lies between {first} and {last}; --since is the older one")
    return Period(first, last)


def plan_backfill(store: AppContext, source: Source, period: Period) -> BackfillPlan:
    """The listings to begin with: sitemaps and sections that are known, and archives with a date in their URL."""
    traces = store.ledger.traces.list_listings(source.name, limit=MAX_LISTINGS)
    polled = tuple(Link(trace.url, trace.kind, source.name, trace.found_by, trace.found_on) for trace in traces if _leads_to_archive(trace))
    # it costs 0.03 s of CPU, and the module below 0.05 s, which `newsmill status` need not spend
    from newsmill.storage.statistics import Statistics

    documents = Statistics(store.engine).newest(PATTERN_DOCUMENTS, source.name)
    own = {urls.get_site(url) for url in source.plan_urls}
    articles = [document.url for document in documents if urls.find_site(document.url) in own]
    archives = [Link(url, Kind.SECTION, source.name, FROM_BACKFILL) for url in make_archive_urls(articles, period)]
    return BackfillPlan(period, polled, tuple(archives))


def start_backfill(store: AppContext, source: Source, plan: BackfillPlan) -> Backfill:
    """Begin the backfill, or go on with it if one for the same days has not ended."""
    days, backfills = plan.period, store.ledger.backfills
    return backfills.start(source.name, days.first, days.last, archives=plan.archives, polled=plan.polled, now=store.now())


def _leads_to_archive(trace: Trace) -> bool:
    """Whether a known listing is one to begin with; further parts and pages follow from it."""
    from newsmill.discovery.html_listings import find_page_number

    if trace.outcome in _UNUSABLE or trace.found_by in ("section", FROM_BACKFILL):
        return False
    is_first_page = trace.kind is Kind.SECTION and (find_page_number(trace.url) or 1) == 1
    return trace.kind is Kind.SITEMAP or is_first_page


def estimate_time(source: Source, pending: int, done: int, elapsed: timedelta) -> timedelta:
    """How long the rest takes: by the pace so far, and at least by the delay between two requests."""
    least = pending * source.politeness.delay / source.politeness.concurrency
    pace = elapsed.total_seconds() / done * pending if done else 0.0
    return timedelta(seconds=round(max(least, pace)))

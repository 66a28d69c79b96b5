"""The scheduler: each pass makes sources come due, checks their health, enqueues pending segments again, and cleans up after crashes.

Two schedulers are harmless: a tick is compare-and-set in the ledger, and a second job for a segment finds nothing to claim.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median

from newsmill.context import AppContext, RedisServer, open_queue, open_redis
from newsmill.discovery.schedule import compute_next_due
from newsmill.exceptions import ServiceError
from newsmill.extraction.site_profile import apply_profile
from newsmill.health.assessment import judge
from newsmill.health.causes import CAUSE_NAMES, Cause, LayoutFit, Observation
from newsmill.health.outage_log import OutageLog
from newsmill.model import Source
from newsmill.queue.queue import Queue
from newsmill.search.indexer import index_pending
from newsmill.storage import copy_groups, fingerprints
from newsmill.storage.alarms import read_open
from newsmill.storage.completeness import update_completeness
from newsmill.storage.database import reading
from newsmill.storage.listing_plans import plan_listings
from newsmill.storage.owner_ids import is_dead
from newsmill.storage.processes import Heartbeat
from newsmill.storage.profiles import Profiles
from newsmill.storage.source_checks import CheckResult, SourceAlarms
from newsmill.storage.source_observations import CheckHistory, observe, read_histories
from workers.process import open_heartbeat, stop_on_signals
from workers.site_learning import SiteLearning

log = logging.getLogger(__name__)

PASS_SECONDS = 30.0  # between two passes where several machines share a database
EMBEDDED_PASS_SECONDS = 3.0  # on one machine a person is waiting, and a pass costs a few ms
SWEEP_INTERVAL = timedelta(hours=1)
TICK_CHECK_INTERVAL = timedelta(minutes=1)  # between two searches for next ticks that a wrong clock wrote: half a second for 10,000 sources
ORPHAN_AGE = timedelta(hours=1)  # of a file that no row names: its crawler was killed between writing the file and the commit
MAX_QUEUE_FOR_REEXTRACTION = 20  # jobs on the queue; with more, no document is extracted again
MAX_INDEXED_PER_PASS = 2000  # documents, about 2 s: an upgrade may leave a million to index, and ticks must not wait for them
MAX_FINGERPRINTS_PER_PASS = 10_000  # documents; a fingerprint takes a tenth of the time
MAX_GROUPED_PER_PASS = 2000  # documents, about 1 s
MAX_ENQUEUED_PER_PASS = 1000  # segments: twice the crawler's high-water mark


@dataclass
class SchedulerContext:
    """The AppContext with what the scheduler adds to it. `ensure_redis` starts an embedded server that crashed."""

    app: AppContext
    queue: Queue
    ensure_redis: Callable[[], None]
    swept_at: datetime
    ticks_checked_at: datetime | None = None
    heartbeat: Heartbeat | None = None
    interval: float = PASS_SECONDS  # seconds between two passes
    learning: SiteLearning | None = None
    index: Callable[[], int] | None = None  # indexes some documents that an older version stored; returns how many
    fingerprint: Callable[[], int] | None = None  # the same for their fingerprints
    group: Callable[[], int] | None = None  # finds the copies of new and changed documents; returns how many it compared
    outage: OutageLog = field(default_factory=lambda: OutageLog(log, "all services answer again"))
    orphans: frozenset[str] = frozenset()  # found by the last sweep; one sweep is not enough, because the clock may have been set forward


def run(context: AppContext, *, interval: float | None = None) -> int:
    """Schedule until SIGTERM or SIGINT (0). `interval`: seconds between two passes; default: by whether Redis is embedded.

    Raises ServiceError when the database or Redis cannot be used at the start.
    """
    stop, settings = stop_on_signals(), context.settings
    interval = interval or (PASS_SECONDS if settings.redis_url else EMBEDDED_PASS_SECONDS)
    with open_redis(settings) as redis, open_scheduler(context, redis, interval=interval) as scheduler:
        while True:
            try_pass(scheduler, context.now())
            # after an outage, what it delayed need not wait for a whole interval
            if stop.wait(min(interval, EMBEDDED_PASS_SECONDS) if scheduler.outage.is_open else interval):
                return 0


@contextmanager
def open_scheduler(context: AppContext, redis: RedisServer, *, interval: float = PASS_SECONDS) -> Iterator[SchedulerContext]:
    """What a process needs for passes; also for `newsmill crawl`, which makes them itself. Raises ServiceError."""
    settings, engine = context.settings, context.engine
    with closing(open_queue(settings, redis.url)) as queue, open_heartbeat(context, "scheduler") as heartbeat:
        yield SchedulerContext(
            context,
            queue,
            redis.ensure,
            swept_at=context.now(),
            heartbeat=heartbeat,
            interval=interval,
            learning=SiteLearning(context.profiles) if settings.learn else None,
            index=lambda: index_pending(engine, MAX_INDEXED_PER_PASS),
            fingerprint=lambda: fingerprints.catch_up(engine, MAX_FINGERPRINTS_PER_PASS),
            group=lambda: copy_groups.catch_up(engine, MAX_GROUPED_PER_PASS),
        )


def try_pass(context: SchedulerContext, now: datetime) -> None:
    """One pass. If Redis, the database or the archive is away, log it once; the next pass makes up for this one."""
    try:
        run_pass(context, now)
        context.outage.report_success()
    except ServiceError as error:
        context.outage.report_failure(error)


def try_grouping(context: SchedulerContext) -> None:
    """Find the copies of the last documents of a crawl that ends. If the database is away, the next scheduler does."""
    try:
        if context.group is not None:
            context.group()
    except ServiceError as error:
        context.outage.report_failure(error)


def run_pass(context: SchedulerContext, now: datetime) -> None:
    """Do what is due. Ticks come first: they need no Redis, so its outage delays no source. Raises ServiceError."""
    ledger, archive = context.app.ledger, context.app.archive
    if context.heartbeat is not None:
        context.heartbeat.beat(now)
    if back := ledger.clock_repair.adjust(now=now):
        log.warning("the clock was set back by %s; due times are moved back with it", back)
    ledger.dead_leases.end(is_dead, now=now)
    ledger.url_leases.expire(now=now)
    is_checked = context.ticks_checked_at is not None and abs(now - context.ticks_checked_at) < TICK_CHECK_INTERVAL
    for name in ledger.sources.tick(now=now, next_tick=find_next_tick, only_due=is_checked):
        log.info("source %s is due", name)
    context.ticks_checked_at = context.ticks_checked_at if is_checked else now
    per_minute, freshness = context.app.settings.polls_per_minute, context.app.settings.freshness
    due = plan_listings(context.app.engine, now, pass_seconds=context.interval, polls_per_minute=per_minute, freshness=freshness)
    for name, count in due.items():
        log.info("source %s: listings due: %d", name, count)
    for name in ledger.backfills.end_finished(now=now):
        log.info("source %s: the backfill is done", name)
    update_completeness(context.app.engine, now)
    if revisits := ledger.due_revisits.make_due(now=now):
        log.debug("%d stored articles are fetched again", revisits)
    if context.index is not None and (indexed := context.index()):
        log.info("indexed %d documents that an older version stored or indexed", indexed)
    if context.fingerprint is not None and (made := context.fingerprint()):
        log.info("made the fingerprints of %d documents that an older version stored", made)
    if context.group is not None and (compared := context.group()):
        log.debug("compared %d new or changed documents with others to find copies", compared)
    check_sources(context.app, now)
    context.ensure_redis()
    if context.learning is not None:
        request_learning(context, context.learning, now)
    enqueued = context.queue.enqueue_missing(ledger.segments.list_pending(now=now, limit=MAX_ENQUEUED_PER_PASS))
    if enqueued:
        log.info("pending segments enqueued again: %d", enqueued)
    if abs(now - context.swept_at) >= SWEEP_INTERVAL:
        orphans = archive.remove_orphans(ledger.segments.filter_known, older_than=now - ORPHAN_AGE, only=context.orphans)
        context.swept_at, context.orphans = now, frozenset(orphans)
        if waiting := context.app.takedowns.count_to_erase():
            log.warning("URLs of takedowns may still have pages in the archive: %d; run `newsmill takedowns erase`", waiting)


def request_learning(context: SchedulerContext, learning: SiteLearning, now: datetime) -> None:
    """Enqueue the sites that are due for learning. Requeue some outdated documents while few jobs wait, so that they do not delay news."""
    requested = context.queue.enqueue_sites(learning.due(now))
    if requested:
        log.info("site profiles requested: %d", requested)
    if context.queue.depth() < MAX_QUEUE_FOR_REEXTRACTION:
        requeued = learning.requeue_outdated(now)
        if requeued:
            log.info("documents extracted again, because their sites have newer profiles: %d", requeued)


def find_next_tick(source: Source, after: datetime) -> datetime:
    """When a source comes due after `after`."""
    return compute_next_due(source.every, source.cron, after)


# ---- the health of sources: some are checked in each pass, and alarms begin and end --------------------------------------------

MAX_CHECKED_PER_PASS = 50  # sources: 10,000 in 200 passes, which is 100 minutes at 30 s
MAX_SECONDS_PER_PASS = 0.25  # of the scheduler, which has ticks to make
BATCH_SOURCES = 10  # checked and recorded in one transaction each
LAYOUT_INTERVAL = timedelta(minutes=30)  # a profile and ten documents are read, about 10 ms
MAX_OFFLINE = timedelta(hours=24)  # for which an unreachable host may be explained by our own network
RECENT_DOCUMENTS = 10  # whose fit to the profile is measured
MAX_LAYOUT_SITES = 20  # of one source, whose profiles are compared


def check_sources(app: AppContext, now: datetime) -> int:
    """Check the sources whose last check is longest ago, and record what began and what ended. Returns how many. Raises ServiceError."""
    alarms, deadline, checked = SourceAlarms(app.engine), time.monotonic() + MAX_SECONDS_PER_PASS, 0
    due = alarms.list_to_check(MAX_CHECKED_PER_PASS, now=now)
    for start in range(0, len(due), BATCH_SOURCES):
        batch = due[start : start + BATCH_SOURCES]
        results = [without_offline(alarms, result, now) for result in read_results(app, batch, now)]
        alarms.record(results, now=now)
        for result in results:
            log_changes(result)
            follow_moves(app, result, now)
        checked += len(batch)
        if time.monotonic() >= deadline:
            break
    return checked


def read_results(app: AppContext, batch: list[Source], now: datetime) -> list[CheckResult]:
    """Observe and judge some sources."""
    names = [source.name for source in batch]
    with reading(app.engine) as conn:
        observed, open_alarms = observe(conn, batch, read_histories(conn, names), now), read_open(conn, names)
    results = []
    for name, one in observed.items():
        seen, history = add_layout(app.profiles, one.seen, one.history, one.site)
        alarms = open_alarms.get(name, [])
        over, begun = judge([alarm.finding for alarm in alarms], seen)
        results.append(CheckResult(name, [alarm for alarm in alarms if alarm.finding in over], begun, history, not seen.is_enabled))
    return results


def without_offline(alarms: SourceAlarms, result: CheckResult, now: datetime) -> CheckResult:
    """Leave out dead hosts while the network of the crawler explains them: one outage here is not an alarm for every source."""
    begun = [
        finding
        for finding in result.begun
        if finding.cause is not Cause.DEAD_HOST or now - finding.since >= MAX_OFFLINE or not alarms.is_offline(result.source, finding.since)
    ]
    return replace(result, begun=begun)


def log_changes(result: CheckResult) -> None:
    for finding in result.begun:
        log.warning("source %s: alarm: %s since %s", result.source, CAUSE_NAMES[finding.cause], finding.since.isoformat(timespec="minutes"))
    for alarm in result.over:
        log.info("source %s: the alarm is over: %s", result.source, CAUSE_NAMES[alarm.finding.cause])


def follow_moves(app: AppContext, result: CheckResult, now: datetime) -> None:
    """Put the new URL of a moved listing in the place of the old one."""
    for finding in result.begun:
        evidence = finding.evidence
        if finding.cause is Cause.MOVED_LISTING and evidence.url is not None and evidence.new_url is not None:
            app.ledger.listing_moves.move(result.source, evidence.url, evidence.new_url, evidence.failure, now=now)


# ---- the layout of pages -----------------------------------------------------------------------------------------------------


def add_layout(profiles: Profiles, seen: Observation, history: CheckHistory, site: str | None) -> tuple[Observation, CheckHistory]:
    """Measure how the newest documents fit their site's profile, every LAYOUT_INTERVAL."""
    last = seen.last_document_at
    is_recent = history.layout_at is not None and timedelta() <= seen.at - history.layout_at < LAYOUT_INTERVAL
    if site is None or last is None or is_recent:
        return seen, history
    history = replace(history, layout_at=seen.at)
    found = read_layout(profiles, site, history.layout_versions.get(site))
    if found is None:
        return seen, history
    layout, compared = found
    versions = {**{name: version for name, version in history.layout_versions.items() if name != site}, site: compared}
    newest = dict(list(versions.items())[-MAX_LAYOUT_SITES:])
    return replace(seen, layout=layout), replace(history, layout_versions=newest)


def read_layout(profiles: Profiles, site: str, compared: int | None) -> tuple[LayoutFit, int] | None:
    """The fit of a site's newest documents, and the version to compare later ones with. None: the site has no profile.

    `compared` is the version that the last check returned. It stays until RECENT_DOCUMENTS newer documents fit it: a version that is
    learned while a layout changes knows the old and the new layout, and so fits both.
    """
    note = profiles.newest(site)
    profile = None if note is None else profiles.get(site, note.version)
    if note is None or profile is None:
        return None
    before = profiles.get(site, compared) if compared is not None and compared < note.version else None
    is_new_layout = before is not None and note.since is not None and note.since != before.since
    is_known = before is not None and (is_new_layout or before.pages >= apply_profile.MATURE_PAGES)
    reference = before if before is not None and is_known else profile
    pages = profiles.recent(site, note.version, RECENT_DOCUMENTS)
    fits = [apply_profile.measure_fit(reference, blocks) for blocks in pages]
    has_left = apply_profile.has_layout_changed(reference, fits)
    is_enough = len(pages) >= apply_profile.MIN_RECENT_PAGES
    layout = LayoutFit(
        site,
        note.version,
        recent=sorted(fits)[len(fits) // 2] if is_enough else None,
        usual=reference.fit,
        words=int(median(map(apply_profile.count_kept_words, pages))) if is_enough else None,
        usual_words=None if reference.norm is None else reference.norm.median,
        has_changed=has_left or apply_profile.has_layout_changed(profile, [apply_profile.measure_fit(profile, blocks) for blocks in pages]),
        version_since=note.since if is_new_layout else None,
    )
    is_settled = reference is profile or is_new_layout or has_left
    if is_settled or profiles.count(site, note.since) >= note.documents + RECENT_DOCUMENTS:
        return layout, note.version
    return layout, reference.version

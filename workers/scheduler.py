"""The scheduler: each pass makes sources come due, checks their health, enqueues pending segments again, and cleans up after crashes.

Two schedulers are harmless: a tick is compare-and-set in the ledger, and a second job for a segment finds nothing to claim.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsmill.context import AppContext, RedisServer, open_queue, open_redis
from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.model import Source
from newsmill.polling.listings import compute_next_due
from newsmill.queue.queue import Queue
from newsmill.search.indexer import index_pending
from newsmill.storage import copy_groups, fingerprints, story_decisions
from newsmill.storage.completeness import update_completeness
from newsmill.storage.database import Engine
from newsmill.storage.ledger.submissions import Submissions
from newsmill.storage.listing_plans import plan_listings
from newsmill.storage.outbox import delete_old_messages
from newsmill.storage.owner_ids import is_dead
from newsmill.storage.processes import Heartbeat
from newsmill.storage.saved_searches import SavedSearches
from newsmill.storage.story_rules import set_rules
from newsmill.storage.webhooks import Webhooks
from workers.health_checks import check_sources
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
MAX_TOLD_PER_PASS = 500  # documents, about 2 s
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
    group: Callable[[], int] | None = None  # finds the copies and stories of new and changed documents; returns how many it compared
    has_backlog: bool = False  # more documents wait for copies and stories than a pass compares
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
            # what an outage delayed and what an upgrade left need not wait for a whole interval
            is_behind = scheduler.outage.is_open or scheduler.has_backlog
            if stop.wait(min(interval, EMBEDDED_PASS_SECONDS) if is_behind else interval):
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
            group=lambda: group_documents(context),
        )


def group_documents(context: AppContext) -> int:
    """Find the copies of new and changed documents, and then their stories. Returns how many pages were decided. Raises ServiceError."""
    set_rules(context.engine, across_languages=context.settings.stories_across_languages)
    compared = copy_groups.catch_up(context.engine, MAX_GROUPED_PER_PASS)
    return compared + story_decisions.catch_up(context.engine, MAX_TOLD_PER_PASS, now=context.now())


def try_pass(context: SchedulerContext, now: datetime) -> None:
    """One pass. If Redis, the database or the archive is away, log it once; the next pass makes up for this one."""
    try:
        run_pass(context, now)
        context.outage.report_success()
    except ServiceError as error:
        context.outage.report_failure(error)


def try_grouping(context: SchedulerContext) -> None:
    """Find the copies and stories of the last documents of a crawl that ends. If the database is away, the next scheduler does."""
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
    if context.group is not None:
        compared = context.group()
        context.has_backlog = compared >= MAX_TOLD_PER_PASS
        if compared:
            log.debug("compared new or changed documents with others to find copies and stories: %d", compared)
    check_sources(context.app, now)
    context.ensure_redis()
    if context.learning is not None:
        request_learning(context, context.learning, now)
    enqueued = context.queue.enqueue_missing(ledger.segments.list_pending(now=now, limit=MAX_ENQUEUED_PER_PASS))
    if enqueued:
        log.info("pending segments enqueued again: %d", enqueued)
    if abs(now - context.swept_at) >= SWEEP_INTERVAL:
        delete_old_rows(context.app.engine, now)
        orphans = archive.remove_orphans(ledger.segments.filter_known, older_than=now - ORPHAN_AGE, only=context.orphans)
        context.swept_at, context.orphans = now, frozenset(orphans)
        if waiting := context.app.takedowns.count_to_erase():
            log.warning("URLs of takedowns may still have pages in the archive: %d; run `newsmill takedowns erase`", waiting)


def delete_old_rows(engine: Engine, now: datetime) -> None:
    """Delete old messages, webhooks and submissions, and matches of saved searches."""
    delete_old_messages(engine, now=now)
    Webhooks(engine).delete_unused(now=now)
    Submissions(engine).delete_old(now=now)
    SavedSearches(engine).delete_old(now=now)


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

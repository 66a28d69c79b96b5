"""Makes sources come due, announces again whatever is owed, frees the rows of dead crawlers, sweeps the archive. Two of it are harmless:
a tick is compare-and-set in the ledger, and a second announcement finds nothing to claim.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from newsmill.archive.archive import Archive
from newsmill.discovery.schedule import compute_next_due
from newsmill.exceptions import ServiceError
from newsmill.model import Source
from newsmill.queue.queue import Queue, connect_redis
from newsmill.search.indexer import index_pending
from newsmill.storage import database, fingerprints
from newsmill.storage.lease_owners import is_dead
from newsmill.storage.ledger import Ledger
from newsmill.storage.processes import Heartbeat
from newsmill.storage.profiles import Profiles
from workers import site_learning
from workers.process import open_redis, stop_on_signals, stopping_heartbeat

log = logging.getLogger(__name__)

PASS_SECONDS = 30.0  # seconds between two passes where many machines share a database
EMBEDDED_PASS_SECONDS = 3.0  # on one machine a person is waiting, and a pass costs a few ms
SWEEP_INTERVAL = timedelta(hours=1)
ORPHAN_AGE = timedelta(hours=1)  # a file no row knows: its crawler was killed between writing it and the commit (1 in 111 kills, measured)
MAX_QUEUE_FOR_REEXTRACTION = 20  # jobs on the queue; with more, nothing is cleaned again
MAX_FINGERPRINTS_PER_PASS = 10_000  # the same for fingerprints, which take a tenth of the time
MAX_INDEXED_PER_PASS = (
    2000  # documents in one pass, about 2 s: after an upgrade there may be a million to index, and ticks must not wait for them
)
MAX_DEFERRED_PER_PASS = 8  # workers in one pass that find out about pages put aside; those that are awake know by themselves
MAX_ENQUEUED_PER_PASS = 1000  # segments announced in one pass: twice the crawler's high-water mark


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """What the scheduler must know. `redis_url` None: the private server in `data`. `every` None: by the place, in seconds."""

    database_url: str
    archive_url: str
    data: Path
    redis_url: str | None = None
    allow_no_password: bool = False
    queue: str = "pages"
    every: float | None = None
    learn: bool = True  # have sites learnt, and their first documents cleaned again


@dataclass
class SchedulerContext:
    """What a pass works with."""

    ledger: Ledger
    archive: Archive
    queue: Queue
    ensure_redis: Callable[[], None]
    swept_at: datetime
    heartbeat: Heartbeat | None = None
    learning: site_learning.SiteLearning | None = None
    index: Callable[[], int] | None = None  # has documents indexed that an older version stored or indexed; how many it was
    fingerprint: Callable[[], int] | None = None  # the same for their fingerprints
    trouble: str | None = None  # the last pass's, so that an outage is one line and not one per pass
    orphans: frozenset[str] = frozenset()  # that the last sweep found: after a clock was set forward what is just being written looks old


def run(config: SchedulerConfig) -> int:
    """Work until SIGTERM or SIGINT (0). Raises NewsmillError when the database or Redis cannot be used at the start."""
    stop = stop_on_signals()
    every = config.every or (PASS_SECONDS if config.redis_url else EMBEDDED_PASS_SECONDS)
    with ExitStack() as stack:
        engine = database.connect(config.database_url)
        stack.callback(engine.dispose)
        database.check_schema(engine)
        redis_url, ensure_redis = stack.enter_context(open_redis(config.redis_url, config.data))
        queue = Queue(connect_redis(redis_url, allow_no_password=config.allow_no_password), config.queue)
        stack.callback(queue.close)
        heartbeat = stack.enter_context(stopping_heartbeat(Heartbeat(engine, role="scheduler")))
        now = database.Clock(engine)
        context = SchedulerContext(
            Ledger(engine),
            Archive(config.archive_url),
            queue,
            ensure_redis,
            now(),
            heartbeat,
            site_learning.SiteLearning(Profiles(engine)) if config.learn else None,
            lambda: index_pending(engine, MAX_INDEXED_PER_PASS),
            lambda: fingerprints.catch_up(engine, MAX_FINGERPRINTS_PER_PASS),
        )
        while True:
            try_pass(context, now())
            if stop.wait(every if context.trouble is None else min(every, EMBEDDED_PASS_SECONDS)):  # what an outage held up waits no longer
                return 0


def try_pass(context: SchedulerContext, now: datetime) -> None:
    """One pass; Redis, the database or the archive being away is one line in the log, and the next pass makes up for it."""
    try:
        run_pass(context, now)
        trouble = None
    except ServiceError as error:
        trouble = str(error)
    if trouble != context.trouble:
        log.warning("%s", trouble or "everything answers again")
    context.trouble = trouble


def run_pass(context: SchedulerContext, now: datetime) -> None:
    """Ticks first: they need no Redis, so an outage of it delays no source. Raises ServiceError."""
    if context.heartbeat is not None:
        context.heartbeat.beat(now)
    if back := context.ledger.adjust_to_clock(now=now):
        log.warning("the clock was set back by %s; what waited for its time goes on now", back)
    context.ledger.end_dead_leases(is_dead, now=now)
    context.ledger.expire_leases(now=now)
    for name in context.ledger.tick(now=now, next_tick=next_tick_of):
        log.info("%s is due", name)
    if context.index is not None and (indexed := context.index()):
        log.info("indexed %d documents that an older version stored or indexed", indexed)
    if context.fingerprint is not None and (made := context.fingerprint()):
        log.info("made the fingerprints of %d documents that an older version stored", made)
    context.ensure_redis()
    if context.learning is not None:
        request_learning(context, context.learning, now)
    announced = context.queue.enqueue_missing(context.ledger.pending_segments(now=now, limit=MAX_ENQUEUED_PER_PASS))
    if announced:
        log.info("announced %d segments again", announced)
    elif context.queue.depth() == 0:  # the turn of those that were put aside
        aside = context.ledger.deferred
        context.queue.enqueue_missing(aside.segments(now=now, limit=MAX_DEFERRED_PER_PASS, heavy=aside.is_only_work_left(now=now)))
    if abs(now - context.swept_at) >= SWEEP_INTERVAL:
        orphans = context.archive.remove_orphans(context.ledger.known_segments, older_than=now - ORPHAN_AGE, only=context.orphans)
        context.swept_at, context.orphans = now, frozenset(orphans)


def request_learning(context: SchedulerContext, learning: site_learning.SiteLearning, now: datetime) -> None:
    """Have sites learnt that are due for it, and old documents cleaned again, a few at a time so that news need not wait behind them."""
    asked = context.queue.enqueue_sites(learning.due(now))
    if asked:
        log.info("asked for %d site profiles", asked)
    if context.queue.depth() < MAX_QUEUE_FOR_REEXTRACTION:
        opened = learning.clean_again(now)
        if opened:
            log.info("%d documents are cleaned again, because their sites are better known now", opened)


def next_tick_of(source: Source, after: datetime) -> datetime:
    """When a source comes due after `after`."""
    return compute_next_due(source.every, source.cron, after)

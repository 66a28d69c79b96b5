"""One worker process: listens on one queue and runs the functions of `jobs`, page by page in one child. The only file that runs RQ."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from redis import RedisError
from rq import SimpleWorker
from rq.exceptions import DeserializationError, InvalidJobOperation, StopRequested
from rq.job import Job
from rq.worker import WorkerStatus

from newsmill.archive.archive import Archive
from newsmill.exceptions import ServiceError
from newsmill.queue.queue import (
    SERIALIZER,
    UNREADABLE_JOB_ERRORS,
    OtherVersionError,
    PageJob,
    Queue,
    RefusedJobError,
    connect_redis,
    translate_redis_errors,
)
from newsmill.sandbox.child import GC_THRESHOLD
from newsmill.sandbox.parent import DEFAULT_READER, Limits, Sandbox
from newsmill.storage import database
from newsmill.storage.fast_path_stats import FastPathStats
from newsmill.storage.lease_owners import make_owner_id
from newsmill.storage.ledger import Ledger
from newsmill.storage.processes import Heartbeat
from newsmill.storage.profiles import Profiles
from workers import jobs
from workers.process import open_redis, stop_on_signals, stopping_heartbeat

log = logging.getLogger(__name__)

MAINTENANCE_SECONDS = 30  # default 600: a job whose worker died between taking and starting it waits two rounds
WORKER_TTL = 45  # default 420: RQ waits this minus 15 s for a job before it looks at anything else, maintenance included
RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker must know. `redis_url` None: the private server in `data`."""

    database_url: str
    archive_url: str
    data: Path
    redis_url: str | None = None
    allow_no_password: bool = False
    queue: str = "pages"
    lease: float = 60.0  # seconds
    limits: Limits = field(default_factory=Limits)
    reader: str = DEFAULT_READER
    burst: bool = False  # end when the queue is empty


class PageWorker(SimpleWorker):
    """RQ's worker without a forked horse (the sandbox is ours), without a command channel in Redis, and with a Redis that may go away.

    One queue, because RQ takes a job from one queue with LMOVE and from several with BLPOP: killed at that instant, the latter loses it.
    """

    def __init__(self, queue: Queue, context: jobs.WorkerContext) -> None:
        super().__init__(
            [queue.rq],
            name=f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}",
            connection=queue.connection,
            job_class=PageJob,
            serializer=SERIALIZER,
            maintenance_interval=MAINTENANCE_SECONDS,
            worker_ttl=WORKER_TTL,
        )
        self.pages = queue
        self.context = context
        self.stop = context.stop
        self.asked_at = 0.0
        self.looked_at = time.monotonic()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls this before it waits for a job and after each: the moment to say so in the database too."""
        if pipeline is None:
            try:
                jobs.send_heartbeat(self.context)
            except ServiceError as error:  # an idle worker can wait for the database
                log.warning("%s", error)
        with redis_errors_end_loop():
            super().heartbeat(timeout, pipeline)

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> tuple[Job, Any] | None:
        """RQ calls this for its next job, and waits in it: the moment for pages that were put aside."""
        try:
            while not self.stop.is_set() and self.retry_one_deferred():
                self.heartbeat()
        except ServiceError as error:  # they can wait
            log.warning("%s", error)
        while True:
            try:
                with redis_errors_end_loop():
                    return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except UnicodeDecodeError:
                self.pages.remove_unreadable()

    def retry_one_deferred(self) -> bool:
        """Try one page again that was put aside. Whether one was.

        One that eats time only when nothing else is left to do, or out of what this worker has saved up: an empty queue alone means little
        while the crawler is at work. One that killed its reader costs little, and is tried again whenever the queue is empty.
        """
        context, credit = self.context, self.context.credit
        began, turn = time.monotonic(), self.context.sandbox.limits.cpu
        credit.earn(began - self.looked_at)
        self.looked_at = began
        empty = self.pages.depth() == 0
        if empty and context.ledger.deferred.is_only_work_left(now=context.clock()):
            return jobs.retry_deferred_page(context, heavy=True)
        if credit.suffices(turn):
            if jobs.retry_deferred_page(context, heavy=True):
                credit.pay(time.monotonic() - began)
                return True
            credit.pay(0.0 if empty else turn)  # in vain: there is no need to look before every job
        return empty and jobs.retry_deferred_page(context, heavy=False)

    def execute_job(self, job: Job, queue: Any) -> None:
        with redis_errors_end_loop():
            super().execute_job(job, queue)

    def run_maintenance_tasks(self) -> None:
        with redis_errors_end_loop():
            self.pages.remove_unreadable()
            try:
                super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
            except UNREADABLE_JOB_ERRORS as error:
                log.warning("RQ's lists of jobs hold what it cannot read (%s: %.200s); they are emptied", type(error).__name__, error)
                self.pages.clear_registries()

    def teardown(self) -> None:
        with suppress(RedisError):
            super().teardown()  # type: ignore[no-untyped-call]

    def subscribe(self) -> None:
        """Signals command this process; whoever can write to Redis does not."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM, SIGINT: finish the page in hand, give the segment back, end. A second one gives the page back unfinished.

        Unlike RQ's own it does not speak to Redis, which may be the very thing that is away.
        """
        if self.stop.is_set():
            if time.monotonic() - self.asked_at < 1.0:  # a supervisor's and the terminal's signal are one wish
                return
            raise SystemExit(128 + signum)
        self.asked_at = time.monotonic()
        self.stop.set()
        self._stop_requested = True
        if self.get_state() != WorkerStatus.BUSY:
            raise StopRequested

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        self._stop_requested = self.stop.is_set()  # a signal that came while we started

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Count what is refused; whatever else a job raises is logged, and its pages are owed again when the lease ends."""
        error = exc_info[1]
        if isinstance(error, OtherVersionError):
            log.warning("%s: it was written by another version of Newsmill; what it is for is announced again", error)
        elif isinstance(error, (RefusedJobError, DeserializationError)):
            log.warning("refused a job from the queue: %s", error if str(error) else "its data cannot be read")
            self.pages.count_refusal()
        elif isinstance(error, InvalidJobOperation):  # RQ asks Redis about a job that FLUSHALL took away meanwhile
            log.warning("Redis lost job %s while it ran; what it did is in the ledger", job.id)
        elif isinstance(error, ServiceError):
            log.warning("%s", error)
            self.stop.wait(RECONNECT_SECONDS)  # or the whole queue would be taken and dropped while the database is away
        else:
            super().handle_exception(job, *exc_info)


@contextmanager
def redis_errors_end_loop() -> Iterator[None]:
    """Redis went: end RQ's loop without its traceback, so that `listen` may bring Redis back. What the job did is in the ledger."""
    try:
        yield
    except RedisError as error:
        log.warning("Redis is away: %s", error)
        raise StopRequested from error


def run(config: WorkerConfig) -> int:
    """Work until SIGTERM or SIGINT (0). Raises NewsmillError when the database, the archive or Redis cannot be used at the start."""
    stop = stop_on_signals()  # until RQ puts PageWorker.request_stop in its place
    with open_redis(config.redis_url, config.data) as (redis_url, ensure_redis), open_worker_context(config, stop) as jobs.worker_context:
        gc.freeze()  # what is loaded stays for ever and need not be looked through again; with GARBAGE, 4 % of what storing costs
        gc.set_threshold(GC_THRESHOLD)
        listen(config, jobs.worker_context, redis_url, ensure_redis)
    return 0


@contextmanager
def open_worker_context(config: WorkerConfig, stop: threading.Event) -> Iterator[jobs.WorkerContext]:
    """Ledger, archive and a child with the extractors loaded."""
    engine = database.connect(config.database_url)
    try:
        database.check_schema(engine)
        heartbeat = Heartbeat(engine, role="worker")
        with stopping_heartbeat(heartbeat), Sandbox(config.limits, config.reader) as sandbox:
            sandbox.start()
            yield jobs.WorkerContext(
                Ledger(engine),
                Archive(config.archive_url),
                sandbox,
                make_owner_id(),
                config.lease,
                stop,
                clock=database.Clock(engine),
                heartbeat=heartbeat,
                profiles=Profiles(engine),
                ways=FastPathStats(engine),
            )
    finally:
        engine.dispose()


def listen(config: WorkerConfig, context: jobs.WorkerContext, redis_url: str, ensure_redis: Callable[[], None]) -> None:
    """Run RQ's loop, and again whenever it ended because Redis went. Only the first connection may fail."""
    queue: Queue | None = open_queue(config, redis_url)
    said = ""  # a Redis out of memory lets us in and then refuses, each second anew: one line is enough
    while queue is not None and not context.stop.is_set():
        try:
            with closing(queue), translate_redis_errors():
                PageWorker(queue, context).work(burst=config.burst, logging_level="WARNING")
            said = ""
        except ServiceError as error:
            if str(error) != said:
                said = str(error)
                log.warning("%s", error)
        queue = None if config.burst else reconnect(config, context, redis_url, ensure_redis)


def reconnect(config: WorkerConfig, context: jobs.WorkerContext, redis_url: str, ensure_redis: Callable[[], None]) -> Queue | None:
    """The queue, as soon as Redis answers again; None when we are to stop. An outage is one line in the log, however long."""
    said = ""
    while not context.stop.wait(RECONNECT_SECONDS):
        try:
            ensure_redis()
            return open_queue(config, redis_url)
        except ServiceError as error:
            if str(error) != said:
                said = str(error)
                log.warning("%s", error)
    return None


def open_queue(config: WorkerConfig, redis_url: str) -> Queue:
    """The queue, over connections that wait longer than RQ does for a job."""
    connection = connect_redis(redis_url, allow_no_password=config.allow_no_password, timeout_seconds=WORKER_TTL + 15)
    return Queue(connection, config.queue)

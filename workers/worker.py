"""One worker process: takes jobs from the queue and runs them, page by page in one sandboxed child. The only module that runs RQ.

A second thread reads deferred pages meanwhile.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Any
from uuid import uuid4

from redis import RedisError
from rq import SimpleWorker
from rq.exceptions import DeserializationError, InvalidJobOperation, StopRequested
from rq.job import Job
from rq.worker import WorkerStatus

from newsmill.context import AppContext, RedisServer, open_queue, open_redis
from newsmill.exceptions import ServiceError
from newsmill.queue.queue import SERIALIZER, UNREADABLE_JOB_ERRORS, PageJob, Queue, RefusedJobError, translate_redis_errors
from newsmill.sandbox.child import GC_THRESHOLD, Limits
from newsmill.sandbox.pages import DEFAULT_READER, Sandbox
from newsmill.storage.owner_ids import make_owner_id
from workers import jobs
from workers.deferred_reader import DeferredReader
from workers.process import LEASE_SECONDS, WorkerContext, open_heartbeat, stop_on_signals

log = logging.getLogger(__name__)

MAINTENANCE_SECONDS = 30  # RQ's default is 600: a job whose worker crashed between taking and starting it waits two rounds
WORKER_TTL_SECONDS = 45  # RQ's default is 420: it waits this minus 15 s for a job before it does anything else, maintenance included
QUEUE_TIMEOUT_SECONDS = WORKER_TTL_SECONDS + 15  # longer than RQ waits for a job
RECONNECT_SECONDS = 1.0
DOUBLE_SIGNAL_SECONDS = 1.0  # within which a supervisor's and the terminal's signal count as one


def run(
    context: AppContext,
    *,
    lease_seconds: float = LEASE_SECONDS,
    limits: Limits | None = None,
    reader: str = DEFAULT_READER,
    burst: bool = False,
) -> int:
    """Work until SIGTERM or SIGINT, or with `burst` until the queue is empty and no deferred page can be read; 0.

    `reader`: what extracts a page, as "module:function".

    Raises NewsmillError when Redis or the sandbox cannot be used at the start.
    """
    stop = stop_on_signals()  # until RQ installs PageWorker.request_stop
    with (
        open_redis(context.settings) as redis,
        open_worker_context(context, stop, lease_seconds, limits, reader) as jobs.worker_context,
    ):
        gc.freeze()  # what is loaded stays, so collections need not scan it; with GC_THRESHOLD this saves 4 % of storing a page
        gc.set_threshold(GC_THRESHOLD)
        with DeferredReader(jobs.worker_context, limits or Limits(), reader) as deferred_reader:
            listen(jobs.worker_context, redis, deferred_reader, burst=burst)
            if burst and not stop.is_set():
                deferred_reader.finish()
    return 0


@contextmanager
def open_worker_context(
    context: AppContext, stop: threading.Event, lease_seconds: float, limits: Limits | None, reader: str
) -> Iterator[WorkerContext]:
    """The context of this worker, with a child that has the extractors loaded."""
    with open_heartbeat(context, "worker") as heartbeat, Sandbox(limits, reader) as sandbox:
        sandbox.start()
        yield WorkerContext(context, sandbox, make_owner_id(), lease_seconds, stop, heartbeat)


def listen(context: WorkerContext, redis: RedisServer, deferred_reader: DeferredReader, *, burst: bool) -> None:
    """Run RQ's loop, and again whenever it ended because Redis went away. Only the first connection may fail."""
    settings = context.app.settings
    queue: Queue | None = open_queue(settings, redis.url, timeout=QUEUE_TIMEOUT_SECONDS)
    while queue is not None and not context.stop.is_set():
        try:
            with closing(queue), translate_redis_errors():
                PageWorker(queue, context, deferred_reader).work(burst=burst, logging_level="WARNING")
        except ServiceError as error:
            context.redis_outage.report_failure(error)
        queue = None if burst else reconnect(context, redis)


def reconnect(context: WorkerContext, redis: RedisServer) -> Queue | None:
    """The queue, as soon as Redis answers again; None when the worker must stop. An outage is one line in the log."""
    while not context.stop.wait(RECONNECT_SECONDS):
        try:
            redis.ensure()
            return open_queue(context.app.settings, redis.url, timeout=QUEUE_TIMEOUT_SECONDS)
        except ServiceError as error:
            context.redis_outage.report_failure(error)
    return None


class PageWorker(SimpleWorker):
    """RQ's worker without a forked process for each job (the sandbox has one) and without commands from Redis. Redis may go away.

    It has one queue: RQ takes a job from one queue with LMOVE, and from several with BLPOP, which loses a job if the worker is killed.
    """

    def __init__(self, queue: Queue, context: WorkerContext, deferred_reader: DeferredReader) -> None:
        super().__init__(
            [queue.rq],
            name=f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}",
            connection=queue.connection,
            job_class=PageJob,
            serializer=SERIALIZER,
            maintenance_interval=MAINTENANCE_SECONDS,
            worker_ttl=WORKER_TTL_SECONDS,
        )
        self.page_queue = queue
        self.context = context
        self.stop = context.stop
        self.deferred_reader = deferred_reader
        self.stop_requested_at = 0.0

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM, SIGINT: finish the page in progress, release its segment, end. A second signal releases the page unfinished.

        Unlike RQ's own method it does not use Redis, which may be the service that is away.
        """
        if self.stop.is_set():
            if time.monotonic() - self.stop_requested_at < DOUBLE_SIGNAL_SECONDS:
                return
            raise SystemExit(128 + signum)
        self.stop_requested_at = time.monotonic()
        self.stop.set()
        if self.get_state() != WorkerStatus.BUSY:
            raise StopRequested

    def check_for_suspension(self, burst: bool) -> None:
        """RQ calls this first in each round of its loop: end it here, also for a signal that came before RQ's handlers were installed."""
        if self.stop.is_set():
            raise StopRequested
        super().check_for_suspension(burst)

    def teardown(self) -> None:
        with suppress(RedisError):
            super().teardown()  # type: ignore[no-untyped-call]

    def subscribe(self) -> None:
        """Do not listen to commands in Redis: write access to Redis must not give control over this process."""

    @contextmanager
    def end_loop_on_redis_error(self) -> Iterator[None]:
        """End RQ's loop without its traceback when Redis goes away, so that `listen` can reconnect. The ledger knows what the job did."""
        try:
            with translate_redis_errors():
                yield
        except ServiceError as error:
            self.context.redis_outage.report_failure(error)
            raise StopRequested from error

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls this before it waits for a job and after each job; the database gets a heartbeat too."""
        if pipeline is None:
            try:
                self.context.send_heartbeat()
                self.context.database_outage.report_success()
            except ServiceError as error:  # an idle worker can wait for the database
                self.context.database_outage.report_failure(error)
        with self.end_loop_on_redis_error():
            super().heartbeat(timeout, pipeline)
            if pipeline is None:  # a server out of memory accepts connections and refuses this
                self.context.redis_outage.report_success()

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> tuple[Job, Any] | None:
        """RQ calls this for its next job."""
        self.deferred_reader.check_alive()
        while True:
            try:
                with self.end_loop_on_redis_error():
                    return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except UnicodeDecodeError:
                self.page_queue.remove_unreadable()

    def execute_job(self, job: Job, queue: Any) -> None:
        with self.end_loop_on_redis_error():
            super().execute_job(job, queue)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Count refused jobs and log other errors. The pages of a failed job are pending again when the lease ends."""
        error = exc_info[1]
        if isinstance(error, (RefusedJobError, DeserializationError)):
            not_json = f'job {job.id} is not JSON; enqueue it from rq.Queue("{job.origin}", serializer="json")'
            log.warning("refused a job from the queue: %s", error if isinstance(error, RefusedJobError) else not_json)
            self.page_queue.count_refusal()
        elif isinstance(error, InvalidJobOperation):  # RQ asks Redis about a job that FLUSHALL removed meanwhile
            log.warning("Redis lost job %s while it ran; its results are in the ledger", job.id)
        elif isinstance(error, ServiceError):
            self.context.report_failed_pages(error)
            self.stop.wait(RECONNECT_SECONDS)  # or the worker would take and drop the whole queue while the database is away
        else:
            super().handle_exception(job, *exc_info)

    def run_maintenance_tasks(self) -> None:
        with self.end_loop_on_redis_error():
            self.page_queue.remove_unreadable()
            try:
                if count := self.page_queue.requeue_submissions():
                    log.info("%d submitted URLs are back on the queue from RQ's failed and scheduled jobs", count)
                super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
            except UNREADABLE_JOB_ERRORS as error:
                log.warning(
                    "RQ's job registries hold entries that it cannot read (%s: %.200s); they are emptied", type(error).__name__, error
                )
                self.page_queue.clear_registries()

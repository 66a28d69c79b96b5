"""The queue of segment ids and of sites whose profiles to learn, on Redis, through RQ. Other programs put URLs on it.

Jobs may be lost or doubled at any moment: the ledger knows which pages are pending, and a job may run twice. Only the URL of another
program, which is in no ledger yet, is lost with its job; `Queue.requeue_submissions` takes it back from RQ's failed jobs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import redis
import rq
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job

from newsmill.exceptions import ConfigError, ServiceError
from newsmill.text.redaction import redact

EXTRACT_SEGMENT = "workers.jobs.extract_segment"
LEARN_SITE = "workers.jobs.learn_site"
SUBMIT_URL = "workers.jobs.submit_url"  # the one job that other programs put on the queue
ALLOWED_FUNCTIONS = frozenset(
    {EXTRACT_SEGMENT, LEARN_SITE, SUBMIT_URL}
)  # anyone who can write to Redis can name any function; only these run

SERIALIZER = "json"  # RQ's default is pickle, which runs code while it is read
JOB_TIMEOUT_SECONDS = 3600  # above everything that a segment may take: 32 pages, 30 s each, three crashes
FAILED_JOB_TTL_SECONDS = 60  # for which a failed job can be inspected
MAX_COUNTED_JOBS = 1000  # failed ones: each is read
REFUSED_KEY = "newsmill:refused"
# Raised by RQ for fields that it did not write.
UNREADABLE_JOB_ERRORS = (ValueError, TypeError, KeyError, AttributeError, AssertionError, OverflowError, RecursionError)

log = logging.getLogger(__name__)


class RefusedJobError(ValueError):
    """Raised for a job that Newsmill did not write: another function, callbacks, a web hook, or other arguments than one name."""


class PageJob(Job):
    """A job that can only name ALLOWED_FUNCTIONS, without callbacks and web hooks.

    RQ's callbacks would run any function named in the job's hash; its web hooks would call any URL from inside the network.
    """

    @property
    def func(self) -> Callable[..., Any]:
        """The function to call. Raises RefusedJobError with the remedy, DeserializationError, and TypeError for a name that is a list."""
        name = self.func_name
        if name not in ALLOWED_FUNCTIONS or self.instance:
            raise RefusedJobError(f"job {self.id} names the function {name!r}, which is not allowed; programs may enqueue {SUBMIT_URL}")
        if self._success_callback_name or self._failure_callback_name or self._stopped_callback_name or self._has_webhooks:
            raise RefusedJobError(f"job {self.id} carries a callback or a web hook, which is not allowed; enqueue it without")
        arguments = [*self.args, *self.kwargs.values()]
        has_known_names = not self.kwargs or (name == SUBMIT_URL and list(self.kwargs) == ["url"])
        if len(arguments) != 1 or not isinstance(arguments[0], str) or not has_known_names:
            raise RefusedJobError(f"job {self.id} does not carry one segment id, one site or one URL; enqueue a job for each URL")
        return super().func  # type: ignore[no-any-return]

    @property
    def is_submission(self) -> bool:
        """Whether it carries a URL of another program and is not refused."""
        try:
            return self.func is not None and self.func_name == SUBMIT_URL
        except (RefusedJobError, DeserializationError, TypeError):
            return False

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None

    _has_webhooks = False

    @classmethod
    def fetch_many(cls, job_ids: Iterable[str], connection: Redis, serializer: Any = None) -> list[Job | None]:
        """Read jobs as they are: RQ calls this for jobs of other queues that wait for one of Newsmill's, and writes them back."""
        return super(PageJob, WaitingJob).fetch_many(job_ids, connection, serializer)

    def refresh(self) -> None:
        """Read the job's hash. Removes a hash that RQ cannot read and raises NoSuchJobError.

        Left in Redis, it would end the loop of every worker that reads it, and each of RQ's maintenance passes.
        """
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except UNREADABLE_JOB_ERRORS as error:
            log.warning("job %.100r has fields that cannot be read (%s: %.200s); it is removed", self.id, type(error).__name__, error)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            log.warning("job %.100r is not a hash; it is removed", self.id)
        else:
            return
        self.connection.delete(self.key)
        increment_refused(self.connection)
        raise NoSuchJobError(f"job {self.id!r} could not be read")

    def restore(self, raw_data: Any) -> Any:
        """Read the job's hash; note whether it has web hooks, and drop their URLs.

        Features of RQ that Newsmill does not use (retries, repeats, limits, dependencies) are reset, and time limits are set to our own.
        """
        restored = super().restore(raw_data)
        self._has_webhooks = bool(self.webhooks)
        self.webhooks = []
        self.timeout, self.result_ttl, self.failure_ttl, self.ttl = JOB_TIMEOUT_SECONDS, 0, FAILED_JOB_TTL_SECONDS, None
        self.number_of_retries = self.retries_left = self.retry_intervals = None
        self.repeats_left = self.repeat_intervals = None
        self.rate_limit_key = self.rate_limit_concurrency = self.group_id = None
        self._dependency_ids = []
        return restored


class WaitingJob(PageJob):
    """A job that may be another queue's. Nothing of it is reset, and it never runs here: the worker reads it again when it takes it."""

    def restore(self, raw_data: Any) -> Any:
        return Job.restore(self, raw_data)


class Queue:
    """One queue of jobs. Every call may raise ServiceError: Redis does not answer, is full, or refuses access."""

    def __init__(self, connection: Redis, name: str = "pages") -> None:
        self.connection = connection
        self.name = name
        self.rq = rq.Queue(name, connection=connection, job_class=PageJob, serializer=SERIALIZER)

    def enqueue(self, segment_id: str) -> None:
        """Put a segment on the queue; save it in the ledger first."""
        self._add_job(EXTRACT_SEGMENT, segment_id, segment_id, first=False)

    def enqueue_sites(self, sites: Iterable[str]) -> int:
        """Enqueue the learning of these sites' profiles, without sites that wait for it already. Returns how many were new."""
        waiting = self.waiting()
        missing = [(site, name) for site in sites if (name := f"site-{blake2b(site.encode(), digest_size=8).hexdigest()}") not in waiting]
        for site, name in missing:
            self._add_job(LEARN_SITE, site, name, first=True)  # segments behind it are extracted once instead of twice
        return len(missing)

    def _add_job(self, function: str, argument: str, name: str, *, first: bool) -> None:
        # A new id for each job: two jobs with one hash would delete it under each other.
        job_id = f"{name}-{uuid4().hex[:6]}"
        with translate_redis_errors():
            # The ledger holds the results.
            self.rq.enqueue(
                function,
                argument,
                job_id=job_id,
                job_timeout=JOB_TIMEOUT_SECONDS,
                result_ttl=0,
                failure_ttl=FAILED_JOB_TTL_SECONDS,
                at_front=first,
            )

    def enqueue_missing(self, segment_ids: Iterable[str]) -> int:
        """Enqueue the segments that are not waiting. Returns how many. RQ itself would enqueue an id twice."""
        waiting = self.waiting()
        missing = [segment_id for segment_id in segment_ids if segment_id not in waiting]
        for segment_id in missing:
            self.enqueue(segment_id)
        return len(missing)

    def depth(self) -> int:
        """The number of jobs that wait for a worker."""
        with translate_redis_errors():
            return self.rq.count

    def waiting(self) -> set[str]:
        """Ids of the segments (and names of the sites) that wait for a worker, without started ones.

        While a worker lives, its claim keeps its segment from being pending. After it is killed, RQ would call the job started for another
        JOB_TIMEOUT_SECONDS.
        """
        with translate_redis_errors():
            return {job_id.decode("utf-8", "replace").rpartition("-")[0] for job_id in self._ids(self.rq.key)}

    def requeue_submissions(self) -> int:
        """Put submitted URLs back on the queue that another RQ worker failed, and those whose time has come. Returns how many.

        A plain `rq worker` cannot run Newsmill's jobs and moves them to RQ's failed jobs. Jobs of RQ's `enqueue_in` and `enqueue_at` wait
        for a scheduler, which Newsmill's workers do not run.
        """
        with translate_redis_errors():
            failed, scheduled = self.rq.failed_job_registry, self.rq.scheduled_job_registry
            waiting = [(failed.key, job_id) for job_id in failed.get_job_ids()]
            waiting += [(scheduled.key, job_id) for job_id in scheduled.get_jobs_to_schedule()]
            return sum(self._requeue_submission(key, job_id) for key, job_id in waiting)

    def count_failed_submissions(self) -> int:
        """How many submitted URLs another RQ worker has failed and no worker of Newsmill has taken back, up to MAX_COUNTED_JOBS."""
        with translate_redis_errors():
            ids = self.rq.failed_job_registry.get_job_ids(0, MAX_COUNTED_JOBS - 1, cleanup=False)
            return sum(map(self._is_failed_submission, ids))

    def _is_failed_submission(self, job_id: str) -> bool:
        try:
            job = PageJob(job_id, connection=self.connection, serializer=SERIALIZER)
            job.refresh()
        except NoSuchJobError:
            return False
        return job.is_submission

    def _requeue_submission(self, registry_key: str, job_id: str) -> bool:
        try:
            job = PageJob(job_id, connection=self.connection, serializer=SERIALIZER)
            job.refresh()
        except NoSuchJobError:
            self.connection.zrem(registry_key, job_id)
            return False
        if not job.is_submission:
            return False
        self.rq.enqueue_job(job)
        self.connection.zrem(registry_key, job_id)  # second: a kill between the two repeats the job and does not lose it
        return True

    def remove_unreadable(self) -> None:
        """Remove ids that are not UTF-8 from the queue and from RQ's intermediate list; RQ raises UnicodeDecodeError over them."""
        with translate_redis_errors():
            for key in (self.rq.key, self.rq.intermediate_queue.key):
                for job_id in filter(_is_unreadable, self._ids(key)):
                    if self.connection.lrem(key, 0, job_id):
                        log.warning("the queue %s held %.100r, which is not a job id; it is removed", self.name, job_id)
                        increment_refused(self.connection)

    def _ids(self, key: str) -> list[Any]:
        """The job ids as Redis holds them: bytes."""
        ids: list[Any] = self.connection.lrange(key, 0, -1)
        return ids

    def clear_registries(self) -> None:
        """Empty RQ's registries of started and ended jobs. The ledger knows what is pending; a running job continues."""
        registries = (self.rq.started_job_registry, self.rq.failed_job_registry, self.rq.finished_job_registry)
        others = (self.rq.deferred_job_registry, self.rq.scheduled_job_registry, self.rq.intermediate_queue)
        with translate_redis_errors():
            self.connection.delete(*(registry.key for registry in (*registries, *others)))
            self.rq.release_maintenance_lock()  # type: ignore[no-untyped-call]  # RQ does not release it when its maintenance raises

    def count_refused(self) -> int:
        """How many jobs were refused since Redis was last emptied."""
        with translate_redis_errors():
            count = self.connection.get(REFUSED_KEY) or b"0"
        return int(count) if count.isdigit() else 0

    def count_refusal(self) -> None:
        with translate_redis_errors():
            increment_refused(self.connection)

    def close(self) -> None:
        self.connection.close()


def increment_refused(connection: Redis) -> None:
    """Count one refused job. Raises RedisError."""
    try:
        connection.incr(REFUSED_KEY)
    except redis.ResponseError:  # the key holds something else
        connection.set(REFUSED_KEY, 1)


def _is_unreadable(job_id: bytes) -> bool:
    try:
        job_id.decode()
    except UnicodeDecodeError:
        return True
    return False


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Errors of Redis and of the connection become ServiceError."""
    try:
        yield
    except redis.OutOfMemoryError as error:
        raise ServiceError("Redis is out of memory and accepts no more jobs; raise maxmemory, or run more workers") from error
    except redis.RedisError as error:
        _, sign, reason = str(error).partition("MISCONF ")  # what precedes it names a command, and a worker with another name each second
        if sign:
            raise ServiceError(f"Redis cannot write to its disk and accepts no jobs ({reason}); free some space there") from error
        raise ServiceError(f"Redis command failed: {error}") from error


def connect_redis(url: str, *, allow_no_password: bool = False, timeout_seconds: float = 10.0) -> Redis:
    """A client for `url` (redis://, rediss:// or unix://) that fails at once, because the code that uses it retries itself.

    It makes a round trip; an answer may take `timeout_seconds`. Raises ConfigError for a URL that is invalid or has no password though its
    server is on the network, and ServiceError for no answer, a wrong password, a read-only replica, or a maxmemory-policy that would
    silently drop jobs. No error has the password in it.
    """
    location = redact(url)
    if not url.startswith("unix://") and not urlsplit(url).password and not allow_no_password:
        raise ConfigError(
            f"REDIS_URL ({location}) has no password: anyone who reaches that server could enqueue jobs; "
            "set requirepass there and write redis://:PASSWORD@HOST:6379/0"
        )
    try:
        if not url.startswith("unix://") and not re.fullmatch(r"/?\d*/?", urlsplit(url).path):
            raise ValueError("redis-py ignores a path that is not the number of a database, and uses database 0")
        # redis-py retries each failed command 10 times with backoff, 3.5 s: too long for a probe or a crawler.
        client: Redis = Redis.from_url(url, socket_connect_timeout=5, socket_timeout=timeout_seconds, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise ConfigError(f"REDIS_URL ({location}) is not a Redis URL; write redis://:PASSWORD@HOST:6379/0") from error
    check_redis(client, location)
    return client


def check_redis(client: Redis, location: str) -> None:
    """Raises ServiceError for a server that does not answer, refuses access, cannot write, or is set up to drop jobs."""
    try:
        info: dict[str, Any] = client.info()
    except redis.AuthenticationError as error:
        raise ServiceError(f"Redis at {location} refuses the password in REDIS_URL") from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise ServiceError(f"Redis at {location} does not answer; check that it runs and that REDIS_URL is right") from error
    except redis.ResponseError as error:
        raise ServiceError(f"Redis at {location} refuses access: {error}") from error
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ServiceError(f"Redis at {location} has maxmemory-policy {policy}, which silently drops jobs; set it to noeviction")
    if info.get("aof_last_write_status", "ok") != "ok":  # reading still works
        raise ServiceError(f"Redis at {location} cannot write to its disk and accepts no jobs; free some space there")
    if info.get("role", "master") != "master":
        raise ServiceError(f"Redis at {location} is a read-only replica; name the primary in REDIS_URL")

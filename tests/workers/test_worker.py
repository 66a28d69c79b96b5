"""Workers as processes on a real server: refused jobs, kills, floods and clean stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rq
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from rq.exceptions import NoSuchJobError, StopRequested
from services import eventually, is_running
from workers_world import WorkersWorld, descendants

from newsmill.model import State
from newsmill.queue.queue import EXTRACT_SEGMENT, JOB_TIMEOUT_SECONDS, PageJob
from workers.worker import PageWorker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Processes are slow to start; the job's own tests run on both databases."""
    return sqlite_url


FIELDS = (
    *("data", "created_at", "origin", "worker_name", "description", "enqueued_at", "started_at", "ended_at", "last_heartbeat", "group_id"),
    *("result", "timeout", "result_ttl", "failure_ttl", "status", "success_callback_name", "success_callback_timeout", "webhooks"),
    *("dependency_ids", "dependency_id", "allow_dependency_failures", "enqueue_at_front", "ttl", "meta", "number_of_retries"),
    *(
        "retries_left",
        "retry_intervals",
        "repeats_left",
        "repeat_intervals",
        "rate_limit_key",
        "rate_limit_concurrency",
        "exc_info",
        "\xff",
    ),
)


class Hash:
    """Of Redis what reading a job needs."""

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self.fields, self.deleted = fields, False

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        return self.fields

    def delete(self, key: str) -> None:
        self.deleted = True

    def incr(self, key: str) -> None:
        pass


def articles(count: int, seconds: float = 0.0) -> list[str]:
    return [f"slow {seconds}" if seconds else f"article text {number}" for number in range(count)]


def push(world: WorkersWorld, data: bytes, **fields: str | bytes) -> None:
    """Put a job on the queue as somebody would who can write to Redis."""
    queue = world.queue
    job = PageJob.create(EXTRACT_SEGMENT, args=["x"], connection=queue.connection, serializer="json")
    queue.rq.enqueue_job(job)
    queue.connection.hset(job.key, mapping={"data": data, **fields})
    queue.close()


def refused(world: WorkersWorld) -> int:
    queue = world.queue
    try:
        return queue.count_refused()
    finally:
        queue.close()


def announce(world: WorkersWorld, *segments: str) -> None:
    queue = world.queue
    for segment in segments:
        queue.enqueue(segment)
    queue.close()


def test_other_programs_put_urls_on_the_queue_with_rq(world: WorkersWorld) -> None:
    urls = ["https://news.example/a", "https://news.example/a?utm_source=x", "no URL", "x" * 100_000]
    with Redis.from_url(world.redis.url) as connection:
        queue = rq.Queue("pages", connection=connection, serializer="json")
        for url in urls:
            queue.enqueue("workers.jobs.submit_url", url)
    assert world.start("worker", burst=True).wait() == 0
    traces = {trace.url[:30]: trace for trace in world.ledger.traces.list_all()}
    assert {url: (trace.state, trace.found_by) for url, trace in traces.items()} == {
        "https://news.example/a": (State.DUE, "manual"),
        "no URL": (State.FAILED, "manual"),
        "x" * 30: (State.FAILED, "manual"),
    }
    assert max(len(trace.url) for trace in world.ledger.traces.list_all()) <= 8_001
    assert refused(world) == 0


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_urls_that_a_plain_rq_worker_took_are_taken_back(world: WorkersWorld, serializer: str) -> None:
    """The plain worker runs no job; with another serializer it cannot even read one."""
    segment = world.fetch(articles(1))
    announce(world, segment)
    with Redis.from_url(world.redis.url) as connection:
        queue = rq.Queue("pages", connection=connection, serializer="json")
        queue.enqueue("workers.jobs.submit_url", "https://news.example/a", result_ttl=0)
        command = [sys.executable, "-m", "rq.cli", "worker", "pages", "--burst", "--url", world.redis.url, "--serializer"]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        plain = subprocess.run(
            [*command, serializer],
            env=environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert queue.count == 0 and queue.failed_job_registry.count == 2, plain.stderr
        assert world.queue.count_failed_submissions() == 1, "the segment is in the ledger"
        assert plain.stderr.count("run `newsmill worker`") >= (2 if serializer == "json" else 0), plain.stderr
        assert world.start("worker", burst=True).wait() == 0
        trace = world.ledger.traces.get("https://news.example/a")
        assert trace is not None and trace.state is State.DUE
        assert (queue.count, queue.failed_job_registry.count, refused(world)) == (0, 1, 0), "the ledger knows the segment"
        assert world.queue.count_failed_submissions() == 0


def test_urls_by_keyword_later_and_after_another_job(world: WorkersWorld) -> None:
    with Redis.from_url(world.redis.url) as connection:
        queue, own = rq.Queue("pages", connection=connection, serializer="json"), rq.Queue("own", connection=connection)
        queue.enqueue("workers.jobs.submit_url", url="https://news.example/keyword")
        queue.enqueue_in(timedelta(seconds=-1), "workers.jobs.submit_url", "https://news.example/later")
        queue.enqueue_in(timedelta(hours=1), "workers.jobs.submit_url", "https://news.example/in-an-hour")
        first = own.enqueue("time.time")
        queue.enqueue("workers.jobs.submit_url", "https://news.example/after", depends_on=first)
        rq.SimpleWorker([own], connection=connection).work(burst=True, logging_level="WARNING")
        assert world.start("worker", burst=True).wait() == 0
    urls = sorted(trace.url.rpartition("/")[2] for trace in world.ledger.traces.list_all())
    assert (urls, refused(world)) == (["after", "keyword", "later"], 0)


def test_a_job_after_a_submitted_url_runs_in_its_own_queue(world: WorkersWorld) -> None:
    with Redis.from_url(world.redis.url) as connection:
        queue, own = rq.Queue("pages", connection=connection, serializer="json"), rq.Queue("own", connection=connection)
        submitted = queue.enqueue("workers.jobs.submit_url", "https://news.example/a")
        after = own.enqueue("math.sqrt", 4, depends_on=submitted, result_ttl=77)
        assert world.start("worker", burst=True).wait() == 0
        rq.SimpleWorker([own], connection=connection).work(burst=True, logging_level="WARNING")
        after.refresh()
        assert (after.return_value(), after.result_ttl) == (2.0, 77)


@pytest.mark.parametrize(
    ("serializer", "job", "remedy"),
    [
        ("pickle", {"args": ("https://a.example/",)}, 'is not JSON; enqueue it from rq.Queue("pages", serializer="json")'),
        ("json", {"args": ("https://a.example/", "https://b.example/")}, "enqueue a job for each URL"),
        ("json", {"kwargs": {"link": "https://a.example/"}}, "enqueue a job for each URL"),
        ("json", {"args": ("https://a.example/",), "on_success": rq.Callback("time.time")}, "enqueue it without"),
    ],
)
def test_a_refusal_says_what_to_do(world: WorkersWorld, serializer: str, job: dict[str, Any], remedy: str) -> None:
    with Redis.from_url(world.redis.url) as connection:
        rq.Queue("pages", connection=connection, serializer=serializer).enqueue("workers.jobs.submit_url", **job)
    assert world.start("worker", burst=True).wait() == 0
    assert remedy in (world.data / "worker-0.log").read_text()
    assert refused(world) == 1


def test_whatever_is_not_our_job_is_refused_counted_and_never_run(world: WorkersWorld) -> None:
    canary = world.data / "canary"
    touch = f"touch {canary}"
    import pickle

    push(world, json.dumps(["subprocess.getoutput", None, [touch], {}]).encode())
    push(world, json.dumps(["workers.worker.run", None, ["x"], {}]).encode())
    push(world, pickle.dumps((os.system, None, (touch,), {})))
    for callback in ("success_callback_name", "failure_callback_name", "stopped_callback_name"):
        push(world, json.dumps([EXTRACT_SEGMENT, None, [touch], {}]).encode(), **{callback: "subprocess.getoutput"})
    hook = json.dumps([{"url": "http://127.0.0.1:9/", "job_status": "failed"}])
    push(world, json.dumps([EXTRACT_SEGMENT, None, ["x"], {}]).encode(), webhooks=hook)
    segment = world.fetch(articles(2))
    announce(world, segment)
    assert world.start("worker", burst=True).wait(90) == 0
    assert refused(world) == 7
    assert not canary.exists()
    assert world.outcomes() == {"stored": 2}, "the honest job behind them is done"


def test_what_rq_cannot_read_is_removed_and_nothing_waits_for_it(world: WorkersWorld) -> None:
    """Ids that are not text, jobs with broken fields, and registries of RQ with either: the worker and the scheduler continue.

    Jobs with other arguments are refused and counted; the ledger knows their pages.
    """
    queue = world.queue
    redis, rq_queue = queue.connection, queue.rq
    for key in (rq_queue.key, rq_queue.intermediate_queue.key):
        redis.rpush(key, b"\xff\xfe-000000")
    redis.zadd(rq_queue.started_job_registry.key, {b"\xff:\xff": 1})
    redis.set("newsmill:refused", "many")
    good = json.dumps([EXTRACT_SEGMENT, None, ["x"], {}]).encode()
    broken = {
        "created_at": b"never",
        "timeout": b"long",
        "status": b"odd",
        "dependency_ids": b"[" * 99_999,
        "retry_intervals": b"1,",
        "ttl": b"\xff",
    }
    for name, value in broken.items():
        push(world, good, **{name: value})
    redis.rpush(rq_queue.key, "no-hash")
    redis.rpush("rq:job:no-hash", "a list")
    segment = world.fetch(articles(2))
    push(world, json.dumps([EXTRACT_SEGMENT, None, [segment, {"model": 2}], {}]).encode())
    push(world, json.dumps(["workers.jobs.embed_segment", None, [segment], {}]).encode())
    worker, scheduler = world.start("worker"), world.start("scheduler", interval=0.5)
    assert eventually(lambda: world.outcomes() == {"stored": 2})
    announce(world, segment)
    assert eventually(lambda: queue.depth() == 0 and not redis.exists(rq_queue.intermediate_queue.key))
    assert worker.poll() is None and scheduler.poll() is None
    assert not [key for key in redis.keys("rq:job:*") if redis.type(key) != b"hash"]
    assert queue.count_refused() == 5 + len(broken)  # the count begins anew where it could not be read
    queue.close()


@given(st.sampled_from(FIELDS), st.binary(max_size=12))
def test_no_field_of_a_job_raises_anything_else(field: str, value: bytes) -> None:
    """Any content of a job's hash is read as a job of Newsmill, or as no job."""
    connection = Hash({b"data": b'["workers.jobs.extract_segment", null, ["x"], {}]', field.encode("latin-1"): value})
    job = PageJob("x", connection=connection, serializer="json")  # type: ignore[arg-type]
    try:
        job.refresh()
    except NoSuchJobError:
        assert connection.deleted
    else:
        assert (job.timeout, job.ttl, job.retries_left, job._dependency_ids) == (JOB_TIMEOUT_SECONDS, None, None, [])


def test_flushall_with_pending_pages_loses_nothing(world: WorkersWorld) -> None:
    segments = [world.fetch(articles(6, 0.02), host=f"site-{n}.example") for n in range(4)]
    announce(world, *segments)
    world.start("worker")
    world.start("scheduler", interval=0.5)
    assert eventually(lambda: world.outcomes()["stored"] >= 4)
    queue = world.queue
    queue.connection.flushall()
    queue.close()
    assert eventually(lambda: world.outcomes()["stored"] == 24)
    assert len(world.stored()) == 24
    assert set(world.stored().values()) == {1}


def test_a_killed_worker_leaves_its_segment_to_another(world: WorkersWorld) -> None:
    announce(world, world.fetch(articles(12, 0.1)))
    first = world.start("worker")
    world.start("scheduler", interval=0.5)
    assert eventually(lambda: world.outcomes()["stored"] >= 1)
    family = descendants(first.pid)
    assert family
    first.kill()
    assert eventually(lambda: not any(is_running(pid) for pid in family)), "no child, no fork server is left"
    world.start("worker")
    assert eventually(lambda: world.outcomes()["stored"] == 12)
    assert set(world.stored().values()) == {1}
    assert all(document.revision == 1 for document in world.documents.iterate())


def test_a_worker_killed_over_a_looping_page_leaves_no_orphan(world: WorkersWorld) -> None:
    announce(world, world.fetch(["loop"]))
    worker = world.start("worker", limits={"wall": 600.0, "cpu": 600})
    assert eventually(lambda: any(_is_busy(pid) for pid in descendants(worker.pid)))
    family = descendants(worker.pid)
    worker.kill()
    assert eventually(lambda: not any(is_running(pid) for pid in family))


def _is_busy(pid: int) -> bool:
    """Whether the process computes: it loops over its page. A tenth of one core is enough, because the machine may be busy."""
    try:
        before = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        time.sleep(0.3)
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return after[0] == "R" and int(after[11]) - int(before[11]) >= 3


def test_sigterm_drains(world: WorkersWorld) -> None:
    """The page in progress is finished and stored, the rest is released at once, nothing counts as a crash."""
    segment = world.fetch(articles(6, 0.2))
    announce(world, segment)
    worker = world.start("worker", lease_seconds=60.0)
    assert eventually(lambda: world.ledger.traces.get("https://news.example/0-slow").claims == 1)  # type: ignore[union-attr]
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert 1 <= world.outcomes()["stored"] < 6
    announce(world, segment)
    assert world.start("worker", burst=True).wait(90) == 0
    assert world.outcomes() == {"stored": 6}, "no need to wait for a lease of 60 s"
    assert all(world.ledger.traces.get(url).crashes == 0 for url in world.stored())  # type: ignore[union-attr]


def test_a_second_sigterm_releases_the_page_in_progress_too(world: WorkersWorld) -> None:
    announce(world, world.fetch(["sleep", *articles(3)]))
    worker = world.start("worker", lease_seconds=60.0, limits={"wall": 600.0, "cpu": 600})
    assert eventually(lambda: world.ledger.traces.get("https://news.example/0-sleep").claims == 1)  # type: ignore[union-attr]
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert worker.poll() is None, "the first one lets the page be finished"
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    trace = world.ledger.traces.get("https://news.example/0-sleep")
    assert trace is not None
    assert (trace.state, trace.crashes) == (State.FETCHED, 0)


def test_sigterm_interrupts_a_full_attempt_which_counts_for_nothing(world: WorkersWorld) -> None:
    announce(world, world.fetch([*articles(3), "loop"]))
    worker = world.start("worker", lease_seconds=60.0, limits={"wall": 600.0, "cpu": 600})
    assert eventually(lambda: world.ledger.traces.get("https://news.example/3-loop").claims == 2)  # type: ignore[union-attr]
    assert eventually(lambda: world.outcomes() == {"stored": 3})
    assert eventually(lambda: any(_is_busy(pid) for pid in descendants(worker.pid)))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    trace = world.ledger.traces.get("https://news.example/3-loop")
    assert trace is not None
    assert (trace.state, trace.stage, trace.crashes) == (State.FETCHED, "first attempt", 1)


def test_a_burst_ends_after_the_deferred_pages_and_keeps_nothing_in_redis(world: WorkersWorld) -> None:
    announce(world, world.fetch(["loop", "article a"]), world.fetch(["article b"], host="other.example"))
    assert world.start("worker", burst=True, limits={"wall": 20.0, "cpu": 1}).wait(90) == 0
    assert world.outcomes() == {"stored": 2, "deadline": 1}
    queue = world.queue
    assert queue.connection.keys("rq:job:*") == []
    queue.close()


def test_a_signal_that_came_before_the_loop_ends_its_first_round() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StopRequested):
        PageWorker.check_for_suspension(SimpleNamespace(stop=stop), burst=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("when", ["idle", "at work"])
def test_a_worker_survives_the_death_of_redis(world: WorkersWorld, when: str) -> None:
    """The embedded server is killed; the worker starts it again, and the scheduler enqueues what is still pending.

    Then the worker is idle, and SIGTERM ends it at once.
    """
    segment = world.fetch(articles(10, 0.1))
    worker = world.start("worker")
    queue = world.queue
    assert eventually(lambda: queue.connection.scard("rq:workers") == 1)
    server = int(queue.connection.info()["process_id"])
    if when == "at work":
        queue.enqueue(segment)
        time.sleep(0.5)
    os.kill(server, signal.SIGKILL)
    queue.close()
    world.start("scheduler", interval=0.5)
    assert eventually(lambda: world.outcomes()["stored"] == 10)
    assert worker.poll() is None
    assert set(world.stored().values()) == {1}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    log = (world.data / "worker-0.log").read_text()
    assert ("Redis command failed" in log) == ("Redis answers again" in log), log  # the scheduler may start it before the worker notices


def test_two_schedulers_and_two_workers_store_each_page_once(world: WorkersWorld) -> None:
    for number in range(4):
        world.fetch(articles(6), host=f"site-{number}.example")
    for _ in range(2):
        world.start("scheduler", interval=0.3)
        world.start("worker")
    assert eventually(lambda: world.outcomes()["stored"] == 24)
    assert set(world.stored().values()) == {1}


def test_a_scheduler_stops_on_sigterm(world: WorkersWorld) -> None:
    world.fetch(articles(1))
    scheduler = world.start("scheduler", interval=60)
    queue = world.queue
    assert eventually(lambda: queue.depth() == 1)
    queue.close()
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(60) == 0

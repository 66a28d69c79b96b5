"""Workers as processes on a real server: refused jobs, kills, floods and clean stops."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rq.exceptions import NoSuchJobError
from works import Works, descendants, eventually, is_running

from newsmill.model import State
from newsmill.queue.queue import CLEAN_SEGMENT, JOB_TIMEOUT_SECONDS, PageJob


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Processes are slow to start; the job's own tests run on both databases."""
    return f"sqlite:///{tmp_path / 'newsmill.sqlite'}"


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


def push(works: Works, data: bytes, **fields: str | bytes) -> None:
    """Put a job on the queue as somebody would who can write to Redis."""
    queue = works.queue
    job = PageJob.create(CLEAN_SEGMENT, args=["x"], connection=queue.connection, serializer="json")
    queue.rq.enqueue_job(job)
    queue.connection.hset(job.key, mapping={"data": data, **fields})
    queue.close()


def refused(works: Works) -> int:
    queue = works.queue
    try:
        return queue.count_refused()
    finally:
        queue.close()


def announce(works: Works, *segments: str) -> None:
    queue = works.queue
    for segment in segments:
        queue.enqueue(segment)
    queue.close()


def test_whatever_is_not_our_job_is_refused_counted_and_never_run(works: Works) -> None:
    canary = works.data / "canary"
    touch = f"touch {canary}"
    import pickle

    push(works, json.dumps(["subprocess.getoutput", None, [touch], {}]).encode())
    push(works, json.dumps(["workers.worker.run", None, ["x"], {}]).encode())
    push(works, pickle.dumps((os.system, None, (touch,), {})))
    for callback in ("success_callback_name", "failure_callback_name", "stopped_callback_name"):
        push(works, json.dumps([CLEAN_SEGMENT, None, [touch], {}]).encode(), **{callback: "subprocess.getoutput"})
    hook = json.dumps([{"url": "http://127.0.0.1:9/", "job_status": "failed"}])
    push(works, json.dumps([CLEAN_SEGMENT, None, ["x"], {}]).encode(), webhooks=hook)
    segment = works.fetch(articles(2))
    announce(works, segment)
    assert works.start("worker", burst=True).wait(90) == 0
    assert refused(works) == 7
    assert not canary.exists()
    assert works.outcomes() == {"stored": 2}, "the honest job behind them is done"


def test_what_rq_cannot_read_is_removed_and_nothing_waits_for_it(works: Works) -> None:
    """Ids that are no text, jobs with broken fields, and lists of RQ's own that hold either; the worker and the scheduler go on."""
    queue = works.queue
    redis, rq_queue = queue.connection, queue.rq
    for key in (rq_queue.key, rq_queue.intermediate_queue.key):
        redis.rpush(key, b"\xff\xfe-000000")
    redis.zadd(rq_queue.started_job_registry.key, {b"\xff:\xff": 1})
    redis.set("newsmill:refused", "many")
    good = json.dumps([CLEAN_SEGMENT, None, ["x"], {}]).encode()
    broken = {
        "created_at": b"never",
        "timeout": b"long",
        "status": b"odd",
        "dependency_ids": b"[" * 99_999,
        "retry_intervals": b"1,",
        "ttl": b"\xff",
    }
    for name, value in broken.items():
        push(works, good, **{name: value})
    redis.rpush(rq_queue.key, "no-hash")
    redis.rpush("rq:job:no-hash", "a list")
    segment = works.fetch(articles(2))
    worker, scheduler = works.start("worker"), works.start("scheduler", every=0.5)
    assert eventually(lambda: works.outcomes() == {"stored": 2})
    announce(works, segment)
    assert eventually(lambda: queue.depth() == 0 and not redis.exists(rq_queue.intermediate_queue.key))
    assert worker.poll() is None and scheduler.poll() is None
    assert not [key for key in redis.keys("rq:job:*") if redis.type(key) != b"hash"]
    assert queue.count_refused() == 3 + len(broken)  # the count begins anew where it could not be read
    queue.close()


@given(st.sampled_from(FIELDS), st.binary(max_size=12))
def test_no_field_of_a_job_raises_anything_else(field: str, value: bytes) -> None:
    """Whatever stands in a job's hash, it is read as ours, or there is no such job."""
    connection = Hash({b"data": b'["workers.jobs.clean_segment", null, ["x"], {}]', field.encode("latin-1"): value})
    job = PageJob("x", connection=connection, serializer="json")  # type: ignore[arg-type]
    try:
        job.refresh()
    except NoSuchJobError:
        assert connection.deleted
    else:
        assert (job.timeout, job.ttl, job.retries_left, job._dependency_ids) == (JOB_TIMEOUT_SECONDS, None, None, [])


def test_a_job_of_another_version_is_left_and_its_pages_are_announced_again(works: Works) -> None:
    """A newer scheduler's jobs, met by an older worker: not run, not counted as somebody's attack, and nothing is lost by it."""
    segment = works.fetch(articles(2))
    push(works, json.dumps([CLEAN_SEGMENT, None, [segment, {"model": 2}], {}]).encode())
    push(works, json.dumps(["workers.jobs.embed_segment", None, [segment], {}]).encode())
    works.start("worker")
    works.start("scheduler", every=0.5)
    assert eventually(lambda: works.outcomes() == {"stored": 2})
    assert refused(works) == 0


def test_a_burst_worker_keeps_nothing_in_redis(works: Works) -> None:
    announce(works, works.fetch(articles(2)))
    assert works.start("worker", burst=True).wait(90) == 0
    queue = works.queue
    left = {key.decode() for key in queue.connection.keys("rq:job:*")}
    queue.close()
    assert left == set()


def test_flushall_with_pages_owed_loses_nothing(works: Works) -> None:
    segments = [works.fetch(articles(8, 0.02), host=f"site-{n}.example") for n in range(4)]
    announce(works, *segments)
    works.start("worker")
    works.start("scheduler", every=0.5)
    assert eventually(lambda: works.outcomes()["stored"] >= 4)
    queue = works.queue
    queue.connection.flushall()
    queue.close()
    assert eventually(lambda: works.outcomes()["stored"] == 32)
    assert len(works.stored()) == 32
    assert set(works.stored().values()) == {1}


def test_a_killed_worker_leaves_its_segment_to_another(works: Works) -> None:
    announce(works, works.fetch(articles(20, 0.1)))
    first = works.start("worker")
    works.start("scheduler", every=0.5)
    assert eventually(lambda: works.outcomes()["stored"] >= 8)
    family = descendants(first.pid)
    assert family
    first.kill()
    assert eventually(lambda: not any(is_running(pid) for pid in family)), "no child, no fork server is left"
    works.start("worker")
    assert eventually(lambda: works.outcomes()["stored"] == 20)
    assert set(works.stored().values()) == {1}
    assert all(document.revision == 1 for document in works.documents.iterate())


def test_a_worker_killed_over_a_looping_page_leaves_no_orphan(works: Works) -> None:
    announce(works, works.fetch(["loop"]))
    worker = works.start("worker", limits={"wall": 600.0, "cpu": 600})
    assert eventually(lambda: any(_is_busy(pid) for pid in descendants(worker.pid)))
    family = descendants(worker.pid)
    worker.kill()
    assert eventually(lambda: not any(is_running(pid) for pid in family))


def _is_busy(pid: int) -> bool:
    """Whether the process computes: it loops over its page. A tenth of what one core gives will do, the machine may be busy."""
    try:
        before = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        time.sleep(0.3)
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return after[0] == "R" and int(after[11]) - int(before[11]) >= 3


def test_sigterm_drains(works: Works) -> None:
    """The page in hand is finished and stored, the rest is given back at once, nothing counts as a death."""
    segment = works.fetch(articles(10, 0.2))
    announce(works, segment)
    worker = works.start("worker", lease=60.0)
    assert eventually(lambda: works.ledger.trace("https://news.example/0-slow").claims == 1)  # type: ignore[union-attr]
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert 1 <= works.outcomes()["stored"] < 10
    announce(works, segment)
    assert works.start("worker", burst=True).wait(90) == 0
    assert works.outcomes() == {"stored": 10}, "no need to wait for a lease of 60 s"
    assert all(works.ledger.trace(url).crashes == 0 for url in works.stored())  # type: ignore[union-attr]


def test_a_second_sigterm_gives_the_page_in_hand_back_too(works: Works) -> None:
    announce(works, works.fetch(["sleep", *articles(3)]))
    worker = works.start("worker", lease=60.0, limits={"wall": 600.0, "cpu": 600})
    assert eventually(lambda: works.ledger.trace("https://news.example/0-sleep").claims == 1)  # type: ignore[union-attr]
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert worker.poll() is None, "the first one lets the page be finished"
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    trace = works.ledger.trace("https://news.example/0-sleep")
    assert trace is not None
    assert (trace.state, trace.crashes) == (State.FETCHED, 0)


def test_a_whole_turn_is_cut_short_by_sigterm_and_counts_for_nothing(works: Works) -> None:
    announce(works, works.fetch(["loop", *articles(3)]))
    worker = works.start("worker", lease=60.0, limits={"wall": 600.0, "cpu": 600})
    assert eventually(lambda: works.ledger.trace("https://news.example/0-loop").claims == 2)  # type: ignore[union-attr]
    assert works.outcomes() == {"stored": 3}
    assert eventually(lambda: any(_is_busy(pid) for pid in descendants(worker.pid)))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    trace = works.ledger.trace("https://news.example/0-loop")
    assert trace is not None
    assert (trace.state, trace.stage, trace.crashes) == (State.FETCHED, "first turn", 1)


def test_a_burst_is_over_when_the_pages_put_aside_had_their_turn(works: Works) -> None:
    announce(works, works.fetch(["loop", "article a"]), works.fetch(["article b"], host="other.example"))
    assert works.start("worker", burst=True, limits={"wall": 20.0, "cpu": 1}).wait(90) == 0
    assert works.outcomes() == {"stored": 2, "deadline": 1}


def test_sigterm_while_idle_ends_at_once(works: Works) -> None:
    worker = works.start("worker")
    queue = works.queue
    assert eventually(lambda: queue.connection.scard("rq:workers") == 1)
    queue.close()
    time.sleep(0.3)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


@pytest.mark.parametrize("when", ["idle", "at work"])
def test_a_worker_survives_the_death_of_redis(works: Works, when: str) -> None:
    """The private server is killed; the worker brings it back, and the scheduler announces what is still owed."""
    segment = works.fetch(articles(10, 0.1))
    worker = works.start("worker")
    queue = works.queue
    assert eventually(lambda: queue.connection.scard("rq:workers") == 1)
    server = int(queue.connection.info()["process_id"])
    if when == "at work":
        queue.enqueue(segment)
        time.sleep(0.5)
    os.kill(server, signal.SIGKILL)
    queue.close()
    works.start("scheduler", every=0.5)
    assert eventually(lambda: works.outcomes()["stored"] == 10)
    assert worker.poll() is None
    assert set(works.stored().values()) == {1}


def test_two_schedulers_and_two_workers_store_each_page_once(works: Works) -> None:
    for number in range(6):
        works.fetch(articles(8), host=f"site-{number}.example")
    for _ in range(2):
        works.start("scheduler", every=0.3)
        works.start("worker")
    assert eventually(lambda: works.outcomes()["stored"] == 48)
    assert set(works.stored().values()) == {1}


def test_a_scheduler_stops_on_sigterm(works: Works) -> None:
    works.fetch(articles(1))
    scheduler = works.start("scheduler", every=60)
    queue = works.queue
    assert eventually(lambda: queue.depth() == 1)
    queue.close()
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(60) == 0

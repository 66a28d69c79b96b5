"""The queue on a real server: what it carries, what it refuses, and what it says when Redis is away."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis import Redis
from services import eventually

from newsmill.exceptions import ConfigError, ServiceError
from newsmill.queue.embedded_redis import EmbeddedRedis, find_server
from newsmill.queue.queue import (
    EXTRACT_SEGMENT,
    LEARN_SITE,
    PageJob,
    Queue,
    RefusedJobError,
    check_redis,
    connect_redis,
    translate_redis_errors,
)

SEGMENT = "20261125T131500Z-0a1b2c3d"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def connection(server: EmbeddedRedis) -> Iterator[Redis]:
    client = connect_redis(server.url)
    client.flushall()
    yield client
    client.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def network_server(*options: str) -> Iterator[int]:
    """A server on a TCP port with options of its own; its port."""
    port = free_port()
    command = [find_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.01)
        try:
            yield port
        finally:
            process.kill()


def only_job(connection: Redis) -> PageJob:
    (job_id,) = connection.lrange("rq:queue:pages", 0, -1)
    return PageJob.fetch(job_id.decode(), connection=connection, serializer="json")


def test_a_job_carries_the_id_in_json_and_keeps_no_result(connection: Redis) -> None:
    queue = Queue(connection)
    queue.enqueue(SEGMENT)
    job = only_job(connection)
    assert json.loads(job.data) == [EXTRACT_SEGMENT, None, [SEGMENT], {}]
    assert job.result_ttl == 0
    assert job.failure_ttl == 60
    assert (queue.depth(), queue.waiting()) == (1, {SEGMENT})


def test_enqueue_missing_does_not_grow_the_queue(connection: Redis) -> None:
    queue = Queue(connection)
    assert queue.enqueue_missing(["a-1", "b-2"]) == 2
    assert queue.enqueue_missing(["a-1", "b-2", "c-3"]) == 1
    assert queue.depth() == 3


def test_sites_to_be_learnt_wait_once_and_first(connection: Redis) -> None:
    queue = Queue(connection)
    queue.enqueue(SEGMENT)
    assert queue.enqueue_sites(["paper.example", "127.0.0.2:8080"]) == 2
    assert queue.enqueue_sites(["paper.example", "other.example"]) == 1
    assert queue.depth() == 4
    learn = [
        PageJob.fetch(job_id.decode(), connection=connection, serializer="json") for job_id in connection.lrange("rq:queue:pages", 0, 2)
    ]
    assert {(job.func_name, *job.args) for job in learn} == {
        (LEARN_SITE, site) for site in ("paper.example", "127.0.0.2:8080", "other.example")
    }
    assert all(job.func.__name__ == "learn_site" for job in learn)
    assert queue.enqueue_missing([SEGMENT]) == 0


@pytest.mark.parametrize(
    "name", ["subprocess.getoutput", "os.system", "workers.jobs.other", "workers.jobs.extract_segment.__init__", ["x"], None]
)
def test_foreign_functions_are_refused(connection: Redis, name: object) -> None:
    job = PageJob(id="x", connection=connection, serializer="json")
    job._data = json.dumps([name, None, [SEGMENT], {}]).encode()
    with pytest.raises((RefusedJobError, TypeError)):
        _ = job.func


@pytest.mark.parametrize(
    "data",
    [
        [EXTRACT_SEGMENT, {"x": 1}, [SEGMENT], {}],
        [EXTRACT_SEGMENT, None, [], {}],
        [EXTRACT_SEGMENT, None, [[SEGMENT]], {}],
        [EXTRACT_SEGMENT, None, [SEGMENT], {"a": 1}],
    ],
)
def test_odd_arguments_are_refused(connection: Redis, data: object) -> None:
    job = PageJob(id="x", connection=connection, serializer="json")
    job._data = json.dumps(data).encode()
    with pytest.raises(RefusedJobError):
        _ = job.func


@pytest.mark.parametrize("field", ["success_callback_name", "failure_callback_name", "stopped_callback_name"])
def test_callbacks_are_refused_and_never_resolved(connection: Redis, field: str) -> None:
    Queue(connection).enqueue(SEGMENT)
    (job_id,) = connection.lrange("rq:queue:pages", 0, -1)
    connection.hset(b"rq:job:" + job_id, field, "subprocess.getoutput")
    job = only_job(connection)
    with pytest.raises(RefusedJobError, match="callback"):
        _ = job.func
    assert (job.success_callback, job.failure_callback, job.stopped_callback) == (None, None, None)


def test_web_hooks_are_refused_and_forgotten(connection: Redis) -> None:
    Queue(connection).enqueue(SEGMENT)
    (job_id,) = connection.lrange("rq:queue:pages", 0, -1)
    hooks = [{"url": "http://127.0.0.1:1/", "job_status": "failed"}]
    connection.hset(b"rq:job:" + job_id, "webhooks", json.dumps(hooks))
    job = only_job(connection)
    with pytest.raises(RefusedJobError, match="web hook"):
        _ = job.func
    assert job.webhooks == []


def test_refusals_are_counted(connection: Redis) -> None:
    queue = Queue(connection)
    assert queue.count_refused() == 0
    queue.count_refusal()
    assert queue.count_refused() == 1


def test_no_redis_is_one_sentence_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        connect_redis(f"redis://:secret@127.0.0.1:{free_port()}/0")
    with pytest.raises(ServiceError, match="does not answer"):
        connect_redis(f"unix://{tmp_path}/none.sock")


def test_a_redis_that_hangs_up_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py alone tries every command eleven times: 3.5 s."""
    calls = []
    monkeypatch.setattr("redis.connection.Connection._connect", lambda self: calls.append(self) or (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(ServiceError, match="does not answer"):
        connect_redis("redis://:secret@127.0.0.1:6379/0")
    assert len(calls) == 1


@pytest.mark.parametrize("url", ["", "localhost", "http://:secret@host:6379", "redis://:secret@host:port/0"])
def test_a_wrong_url_is_a_sentence_without_the_secret(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect_redis(url)
    assert "REDIS_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/news", "/news/0", "/0/1"])
def test_a_database_that_is_not_a_number_is_refused(path: str) -> None:
    """Two installations on one server would share database 0."""
    with pytest.raises(ConfigError, match="is not a Redis URL; write redis://:PASSWORD@HOST:6379/0"):
        connect_redis(f"redis://:secret@127.0.0.1:1{path}")


def test_a_network_server_needs_a_password() -> None:
    with pytest.raises(ConfigError, match="has no password"):
        connect_redis("redis://redis.example:6379/0")
    with network_server() as port:
        connect_redis(f"redis://127.0.0.1:{port}/0", allow_no_password=True).close()


def test_a_wrong_password_is_a_sentence_without_the_secret() -> None:
    with network_server("--requirepass", "right") as port:
        with pytest.raises(ServiceError, match="refuses the password") as caught:
            connect_redis(f"redis://:hunter2@127.0.0.1:{port}/0")
        assert "hunter2" not in str(caught.value)
        with pytest.raises(ServiceError, match="refuses"):
            connect_redis(f"redis://127.0.0.1:{port}/0", allow_no_password=True)
        connect_redis(f"redis://:right@127.0.0.1:{port}/0").close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_an_evicting_server_is_refused(policy: str) -> None:
    with network_server("--maxmemory-policy", policy) as port, pytest.raises(ServiceError, match=f"maxmemory-policy {policy}"):
        connect_redis(f"redis://127.0.0.1:{port}/0", allow_no_password=True)


def test_a_server_that_cannot_write_to_its_disk_is_one_sentence_for_all_commands(tmp_path: Path) -> None:
    """Redis then refuses to write and still reads. The error of a pipeline names a key, with another worker each second."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with network_server("--save", "1", "1", "--dir", str(folder)) as port:
        client = connect_redis(f"redis://127.0.0.1:{port}/0", allow_no_password=True)
        folder.rmdir()
        client.set("a", "b")
        assert eventually(lambda: client.info()["rdb_last_bgsave_status"] == "err", 20)
        sentences = set()
        for key in ("rq:worker:one", "rq:worker:two"):
            for command in (lambda key=key: client.delete(key), lambda key=key: client.pipeline().delete(key).execute()):
                with pytest.raises(ServiceError) as caught, translate_redis_errors():
                    command()
                sentences.add(str(caught.value))
        client.close()
    assert len(sentences) == 1 and re.match(r"Redis cannot write to its disk and accepts no jobs \(.+\); free some space", sentences.pop())


def test_a_server_whose_log_cannot_be_written_is_named_before_it_is_used() -> None:
    def info() -> dict[str, str]:
        return {"maxmemory_policy": "noeviction", "role": "master", "aof_last_write_status": "err"}

    with pytest.raises(ServiceError, match="Redis at here cannot write to its disk and accepts no jobs; free some space there"):
        check_redis(SimpleNamespace(info=info), "here")  # type: ignore[arg-type]

"""The Redis of docker-compose.yml, started by its own command: Newsmill's user can do all that Newsmill does, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq import Queue as ForeignQueue
from services import eventually
from workers_world import WorkersWorld

from newsmill.exceptions import ServiceError
from newsmill.queue.embedded_redis import find_server
from newsmill.queue.queue import Queue, connect_redis

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "letters0and1digits"
FORBIDDEN = (
    "FLUSHALL",
    "FLUSHDB",
    "SHUTDOWN NOSAVE",
    "CONFIG GET requirepass",
    "CONFIG SET dir /tmp",
    "KEYS *",
    "EVAL return 0",
    "FUNCTION LIST",
    "MODULE LIST",
    "ACL LIST",
    "REPLICAOF 127.0.0.1 1",
    "MIGRATE 127.0.0.1 1 rq:x 0 1",
    "SAVE",
    "MONITOR",
    "CLIENT KILL TYPE normal",
    "SORT rq:queues",
    "GET somebody:else",
    "SET somebody:else 1",
    "RENAME rq:queues somebody:else",
    "PUBLISH rq:pubsub:worker x",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """The compose service's command on this machine; its socket. An administrator's account beside it lets the test look."""
    line = re.search(r'command: \["sh", "-c", "(.*redis-server.*)"\]', (ROOT / "docker-compose.yml").read_text())
    assert line is not None
    conf = tmp_path / "redis.conf"
    more = f"port 0\nunixsocket {tmp_path}/s\ndir {tmp_path}\nuser admin on >admin ~* &* +@all\n"
    conf.write_text((ROOT / "config/redis.conf").read_text() + more)
    command = line[1].replace("$$", "$").replace('\\"', '"').replace("/etc/newsmill/redis.conf", str(conf))
    command = command.replace("/tmp/redis.conf", str(tmp_path / "run.conf")).replace("redis-server", find_server())
    process = subprocess.Popen(["sh", "-c", command], env=os.environ | {"REDIS_PASSWORD": PASSWORD}, stdout=subprocess.DEVNULL)
    assert eventually((tmp_path / "s").exists, 20)
    yield tmp_path / "s"
    process.kill()
    process.wait()


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def test_newsmill_s_user_can_do_its_work_and_nothing_else(world: WorkersWorld, server: Path) -> None:
    admin = redis.Redis(unix_socket_path=str(server), username="admin", password="admin")
    admin.set("somebody:else", "1")
    url = f"unix://newsmill:{PASSWORD}@{server}"
    segment = world.fetch(["hello", "world"])
    for role in ("worker", "scheduler"):
        world.start(role, redis_url=url, **({"interval": 0.5} if role == "scheduler" else {}))
    queue = Queue(connect_redis(url))
    queue.enqueue(segment)
    assert queue.enqueue_sites(["news.example"]) == 1
    ForeignQueue("pages", connection=admin, serializer="json").enqueue("subprocess.getoutput", "touch /tmp/owned")
    assert eventually(lambda: sum(world.outcomes().values()) == 2 and queue.count_refused() == 1 and queue.depth() == 0)
    time.sleep(2)  # a few passes of the scheduler
    for process in world.processes:
        process.terminate()
    assert [process.wait(30) for process in world.processes] == [0, 0]
    assert admin.acl_log() == []  # nothing that Newsmill did was refused
    for command in FORBIDDEN:
        with pytest.raises(redis.exceptions.NoPermissionError):
            queue.connection.execute_command(*command.split())
    queue.close()
    admin.close()


@pytest.mark.parametrize("account", ["", ":wrong", f":{PASSWORD}", "newsmill:wrong"])
def test_nobody_else_has_an_account(server: Path, account: str) -> None:
    with pytest.raises(ServiceError, match="refuses"):
        connect_redis(f"unix://{account}@{server}")

"""Kills of the processes that use the private server: one server runs at a time, and none when the last of them is gone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from services import eventually

from newsmill.queue.embedded_redis import EmbeddedRedis, find_server

if sys.platform != "linux":
    pytest.skip("the processes are counted in /proc", allow_module_level=True)

KILLS = int(os.environ.get("NEWSMILL_REDIS_KILLS", "15"))
# Joins the data folder's server, whose program may be named, and watches it as a supervisor does.
USER = """
import sys, time
from pathlib import Path
from newsmill.queue import embedded_redis
if len(sys.argv) > 2:
    embedded_redis.find_server = lambda: sys.argv[2]
with embedded_redis.EmbeddedRedis(Path(sys.argv[1])) as redis:
    print("in", flush=True)
    while True:
        redis.ensure()
        time.sleep(0.01)
"""


class Folder:
    """A data folder, the commands that use it, and the processes of its server."""

    def __init__(self, data: Path) -> None:
        self.data, self.socket = data, str(EmbeddedRedis(data).socket)
        self.users: list[subprocess.Popen[bytes]] = []

    def start_user(self, *program: str) -> subprocess.Popen[bytes]:
        self.users.append(subprocess.Popen([sys.executable, "-c", USER, str(self.data), *program], stdout=subprocess.PIPE))
        return self.users[-1]

    def kill_users(self) -> None:
        for user in self.users:
            user.kill()
            user.communicate()
        self.users.clear()

    def list_processes(self, program: str = "") -> list[int]:
        """The ids of the processes of the server; of those that run `program`."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                line = path.read_bytes().decode(errors="replace")
                if self.socket in line and line.startswith(program):
                    found.append(int(path.parent.name))
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    yield folder
    folder.kill_users()
    for pid in folder.list_processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def await_user(user: subprocess.Popen[bytes]) -> None:
    assert user.stdout is not None and user.stdout.readline() == b"in\n"


def test_no_server_outlives_its_last_user(folder: Folder) -> None:
    for user in [folder.start_user() for _ in range(3)]:
        await_user(user)
    assert folder.list_processes()
    folder.kill_users()
    assert eventually(lambda: not folder.list_processes())


def test_a_starter_that_is_killed_leaves_no_second_server(folder: Folder) -> None:
    """The first command is killed between the start of its server and the first answer, while a second command waits for it."""
    slow = folder.data / "slow-server"
    slow.write_text(f'#!/bin/sh\nsleep 1.5\nexec {find_server()} "$@"\n')
    slow.chmod(0o755)
    first = folder.start_user(str(slow))
    assert eventually(lambda: bool(folder.list_processes()))
    second = folder.start_user(str(slow))
    time.sleep(0.7)
    first.kill()
    await_user(second)
    time.sleep(2)  # until the first server listens, if it still runs
    assert len(folder.list_processes(find_server())) == 1
    folder.kill_users()
    assert eventually(lambda: not folder.list_processes())


def test_random_kills_of_users_and_servers(folder: Folder) -> None:
    rng = random.Random(48)
    for _ in range(3):
        folder.start_user()
    for _ in range(KILLS):
        time.sleep(rng.random() * 0.4)
        if servers := [pid for pid in folder.list_processes() if rng.random() < 0.2]:
            with suppress(ProcessLookupError):
                os.kill(servers[0], signal.SIGKILL)
        user = folder.users.pop(rng.randrange(len(folder.users)))
        user.kill()
        user.communicate()
        folder.start_user()
        assert eventually(lambda: len(folder.list_processes(find_server())) <= 1), "a killed server ends at once"
    await_user(folder.users[-1])
    folder.kill_users()
    assert eventually(lambda: not folder.list_processes())

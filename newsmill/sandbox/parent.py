"""The parent's side of the sandbox: a child process that may crash, hang or use up memory without harm to this one.

The child is persistent and gets one request after the other (`child` describes the messages), so a crash has one guilty request.
It is killed from outside at its deadline, because no alarm interrupts a C library. A process that parses hostile bytes must not send
pickles: its responses are bytes, and the caller validates them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ForkServer, ensure_running
from typing import Any

from newsmill.exceptions import NewsmillError
from newsmill.sandbox.child import CRASHED, FINAL, LAST, PART, READY, REQUEST, RESPONSE, Limits, serve
from newsmill.sandbox.process_limits import filter_environment
from newsmill.text.sentences import Sentence

START_SECONDS = 60.0  # importing the extractors takes half a second; the rest is for a machine that swaps
MAX_START_ATTEMPTS = 3  # the fork server may be killed while it starts a child

_MAIN_LOCK = threading.Lock()
_Process = ForkServerProcess | subprocess.Popen[bytes]


class ChildCrashError(Exception):
    """Raised when a request ended the child; the text is the reason ("signal 11 (SIGSEGV)", "memory", "deadline 20 s of CPU").

    `cpu_seconds`: the limit of CPU time that the request used up. It would do so again, however busy the machine is.
    """

    def __init__(self, reason: str, cpu_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.cpu_seconds = cpu_seconds


class ChildTimeoutError(ChildCrashError):
    """Raised when a message has not arrived at the deadline; the child has been killed."""


class ResponseTooLongError(ChildCrashError):
    """Raised when a response of `size` bytes exceeds the limit; the child has been killed."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a response of {size:,} bytes")
        self.size = size


class ChildProcess:
    """One child process under hard limits. It is replaced after a crash, and when it has grown too large.

    Use it from one thread that lives as long as the child: the kernel kills a child when the thread that started it ends.
    Only `kill` may be called from other threads.
    """

    def __init__(self, make_handler: str, arguments: Sequence[str] = (), *, limits: Limits, preload: Sequence[str] = ()) -> None:
        """`make_handler` and `arguments` are those of `child.serve`.

        `preload`: modules for a fork server to import, which starts a child in 0.05 to 0.08 s however heavy they are. Without modules the
        child is a new interpreter: that spares the 15 MB of the fork server and costs 0.2 s at each start.
        """
        self.limits = limits
        self.requests = 0  # that this child has got
        self._make_handler = make_handler
        self._arguments = tuple(arguments)
        self._preload = tuple(preload)
        self._process: _Process | None = None
        self._connection: socket.socket | None = None
        self.is_busy = False  # a response to the request in progress is still to come
        self._has_response = False  # of the request in progress
        self._deadline = 0.0  # time.monotonic() of the request in progress
        self._cpu_seconds = limits.cpu  # limit of the request in progress

    @property
    def pid(self) -> int | None:
        """The child's process id; None without a child."""
        return None if self._process is None else self._process.pid

    def fileno(self) -> int:
        """The file descriptor of the connection, to wait for a response. The child must have been started."""
        assert self._connection is not None
        return self._connection.fileno()

    def start(self) -> None:
        """Make sure that an idle child is there. Raises NewsmillError when none can be started.

        An idle child that was killed is replaced, and so is one whose last request was given up: its late responses must not be mistaken
        for those of the next request.
        """
        if self._is_idle():
            return
        for _ in range(MAX_START_ATTEMPTS):
            self.close()
            try:
                self._launch()
                assert self._connection is not None
                kind, _ = self._receive(time.monotonic() + START_SECONDS)
                if kind == READY:
                    return
            except (EOFError, OSError):  # the child or the fork server was killed as it started; multiprocessing starts another server
                time.sleep(0.2)  # a server that is being killed still accepts requests
        self.close()
        raise NewsmillError(
            f"the child process of {self._make_handler} could not be started; see its own message above; without one, the system killed it,"
            " usually for memory: give the worker more, or run fewer"
        )

    def send(self, head: bytes, body: bytes, cpu_seconds: float | None = None) -> None:
        """Send a request to the child that `start` made. `receive` must follow while `is_busy`. Raises ChildCrashError.

        `cpu_seconds` is a limit below that of all requests.
        """
        assert self._connection is not None
        self._cpu_seconds = self.limits.cpu if cpu_seconds is None else min(cpu_seconds, self.limits.cpu)
        self._deadline = time.monotonic() + self.limits.wall
        self.is_busy, self._has_response = True, False
        self.requests += 1
        try:
            self._connection.settimeout(self.limits.wall)
            self._connection.sendall(REQUEST.pack(self._cpu_seconds, len(head), len(body)) + head)
            self._connection.settimeout(max(0.0, self.seconds_left()))
            self._connection.sendall(body)
        except (TimeoutError, BlockingIOError):
            raise self._time_out() from None
        except OSError:
            raise self._explain_exit() from None

    def receive(self) -> bytearray:
        """Wait for the next response. Raises ChildCrashError."""
        if self._has_response:  # the time that the caller took does not count
            self._deadline = time.monotonic() + self.limits.wall
        try:
            kind, payload = self._receive(self._deadline)
        except TimeoutError:
            raise self._time_out() from None
        except (EOFError, OSError):
            raise self._explain_exit() from None
        if kind == PART:
            self._has_response = True
            return payload
        self.is_busy = False
        if kind == LAST:
            return payload
        self.close()
        if kind == FINAL:
            return payload
        raise ChildCrashError(payload.decode("utf-8", "replace") if kind == CRASHED else f"unknown message {kind!r}")

    def seconds_left(self) -> float:
        """Until the deadline of the request in progress."""
        return self._deadline - time.monotonic()

    def kill(self) -> None:
        """Kill the child, so that `send` and `receive` of another thread return at once. The next request gets a new child."""
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError, ValueError):  # it has ended; a ForkServerProcess that was closed raises ValueError
                process.kill()

    def close(self, timeout: float = 0.0) -> int | None:
        """Wait `timeout` seconds for the child to exit, then kill it. Returns its exit code."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        self.requests = 0
        self.is_busy = False
        if connection is not None:
            connection.close()
        return None if process is None else _end_process(process, timeout)

    def _is_idle(self) -> bool:
        """Whether there is a child that waits for a request: its connection is open and has nothing to read."""
        if self._connection is None or self.is_busy:
            return False
        self._connection.setblocking(False)
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _receive(self, deadline: float) -> tuple[bytes, bytearray]:
        assert self._connection is not None
        kind, size = RESPONSE.unpack(_receive_exactly(self._connection, RESPONSE.size, deadline))
        if size > self.limits.response:
            self.close()
            raise ResponseTooLongError(size)
        return kind, _receive_exactly(self._connection, size, deadline)

    def _time_out(self) -> ChildTimeoutError:
        self.close()
        return ChildTimeoutError(Sentence("deadline {n:g} s", n=self.limits.wall))

    def _explain_exit(self) -> ChildCrashError:
        """The crash by the child's exit code. When the fork server dies with its child, the code is unknown and given as 255."""
        code = self.close(timeout=START_SECONDS)
        if code is None or code >= 0:
            return ChildCrashError(Sentence("exit {code}", code=code))
        if code == -signal.SIGPROF:
            return ChildCrashError(Sentence("deadline {n:g} s of CPU", n=self._cpu_seconds), self._cpu_seconds)
        return ChildCrashError(Sentence("signal {n} ({name})", n=-code, name=signal.Signals(-code).name))

    def _launch(self) -> None:
        """Start a process that serves one end of a socket pair. Our Redis and SQL sockets stay out of it."""
        self._connection, theirs = socket.socketpair()
        with theirs:
            launch = _fork if self._preload or isinstance(forkserver._forkserver, _SharedForkServer) else _spawn
            self._process = launch(theirs, self._make_handler, self._arguments, self.limits, self._preload)


def _receive_exactly(connection: socket.socket, size: int, deadline: float) -> bytearray:
    """The next `size` bytes. Raises TimeoutError at the deadline (`time.monotonic`), EOFError or ConnectionError if the child has gone."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        connection.settimeout(max(0.0, deadline - time.monotonic()))  # at 0 it takes what is there: the caller may have come late
        try:
            count = connection.recv_into(rest)
        except BlockingIOError:
            raise TimeoutError from None
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return data


def _spawn(connection: socket.socket, make_handler: str, arguments: Sequence[str], limits: Limits, _: Sequence[str]) -> _Process:
    """A new interpreter.

    `-P` keeps folders of the working directory, such as one named "crawler", out of the import path.
    In its own process group, Ctrl-C spares it.
    """
    descriptor = connection.fileno()
    options = ("-P", "-m", "newsmill.sandbox.child", make_handler, str(descriptor), json.dumps(asdict(limits)), *arguments)
    return subprocess.Popen(
        (sys.executable, *options),
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        process_group=0,
        env=filter_environment(os.environ),
    )


def _fork(connection: socket.socket, make_handler: str, arguments: Sequence[str], limits: Limits, preload: Sequence[str]) -> _Process:
    """A child of the fork server, which is started if there is none.

    `child` is loaded first: it makes the fork server die with us. A process has one fork server, so the modules of its first child count.
    """
    return fork_process(serve, (connection, make_handler, arguments, limits), preload)


def fork_process(target: Callable[..., object], arguments: tuple[Any, ...], preload: Sequence[str]) -> ForkServerProcess:
    """A process of the fork server, which runs `target` with the filtered environment."""
    process = _make_context(preload).Process(target=target, args=arguments, daemon=True)
    with _filtered_environment(), _main_hidden(), _daemon_may_fork():
        process.start()
    return process


def start_fork_server(preload: Sequence[str]) -> None:
    """Start the fork server of this process now, so that its imports run while this process does other things."""
    _make_context(preload)
    with _filtered_environment():
        ensure_running()


class _SharedForkServer(ForkServer):
    """A fork server that the parent of this process has started. If it ends, the next child gets a server that this process starts."""

    def ensure_running(self) -> None:
        """Start a server if the shared one has ended. multiprocessing would wait for it with waitpid, which only its parent may."""
        poll = select.poll()
        poll.register(self._forkserver_alive_fd, 0)  # type: ignore[attr-defined]  # a pipe that the server has open for reading
        if poll.poll(0):
            self.__class__ = ForkServer  # type: ignore[assignment]
            self._forkserver_pid = None
            self.ensure_running()


def find_server_key() -> bytes | None:
    """The key of the fork server, which its own children need to use it (Python 3.14)."""
    return getattr(forkserver._forkserver, "_forkserver_authkey", None)


def share_fork_server(key: bytes | None = None) -> None:
    """In a forked process: use the fork server that its parent has started, so that its imports are done once for all processes.

    `key`: in a child of the fork server, `find_server_key` of its parent.
    A child that loops when this process is killed ends with its CPU time, or with the parent.
    """
    if forkserver._forkserver._forkserver_alive_fd is not None:  # type: ignore[attr-defined]
        forkserver._forkserver.__class__ = _SharedForkServer
    if key is not None:
        forkserver._forkserver._forkserver_authkey = key  # type: ignore[attr-defined]


os.register_at_fork(after_in_child=share_fork_server)  # only its parent may wait for a server, as multiprocessing does before each child


def _make_context(preload: Sequence[str]) -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["newsmill.sandbox.child", *preload])
    return context


def _end_process(process: _Process, timeout: float) -> int | None:
    if isinstance(process, subprocess.Popen):
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout)
        process.kill()
        return process.wait()
    process.join(timeout)
    process.kill()
    process.join()
    code = process.exitcode
    process.close()
    return code


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Inside the block a new process does not import the main module of this one: it may be an engine's, or a script that starts tasks."""
    with _MAIN_LOCK:
        main = vars(sys.modules["__main__"])
        spec, file = main.get("__spec__"), main.pop("__file__", None)
        main["__spec__"] = None
        try:
            yield
        finally:
            main["__spec__"] = spec
            if file is not None:
                main["__file__"] = file


@contextmanager
def _daemon_may_fork() -> Iterator[None]:
    """Inside the block, multiprocessing permits a process of one of its pools a child: ours ends with its parent."""
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    is_daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if is_daemon is not None:
            config["daemon"] = is_daemon


@contextmanager
def _filtered_environment() -> Iterator[None]:
    """Inside the block a new process gets the filtered environment, the fork server and with it all of its children.

    multiprocessing hands on the environment as C has it. Python's own copy, which other threads may read, stays whole.
    """
    ours = dict(os.environ)
    hidden = ours.items() - filter_environment(ours).items()
    for name, _ in hidden:
        os.unsetenv(name)
    try:
        yield
    finally:
        for name, value in hidden:
            os.putenv(name, value)

"""Children that are forked from a command.

The crawler and the workers of `newsmill crawl` are forked from it, so that they need not import again what it has imported: 1 s of CPU
each. They are forked before this process has threads, connections or the newspaper of the demo. They share one fork server of page
readers, which costs another second. Children that start after a crash are new interpreters. Linux only: macOS forbids a fork to use
some system libraries.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import util
from pathlib import Path
from typing import BinaryIO, NoReturn

from newsmill.sandbox.parent import share_fork_server

MAX_FORKED_WORKERS = 8  # an idle one takes 5 MB
SECONDS_PER_POLL = 0.02


class ForkedProcess:
    """A forked child that waits for its command: the methods of subprocess.Popen that `Supervisor` uses, and `run`."""

    def __init__(self, prepare: Callable[[], None], older: Sequence[ForkedProcess] = ()) -> None:
        """`prepare` runs in the child at once. `older`: children whose pipes the new one must not hold open."""
        theirs, ours = os.pipe()
        self.returncode: int | None = None
        self.stdin: BinaryIO
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            for descriptor in (ours, *(process.stdin.fileno() for process in older)):
                os.close(descriptor)
            _serve(theirs, prepare)
        os.close(theirs)
        self.stdin = os.fdopen(ours, "wb", buffering=0)

    def run(self, arguments: Sequence[str], environ: Mapping[str, str], log: Path | None) -> None:
        """Have the child run `newsmill ARGUMENTS` in that environment, with its output in `log`."""
        order = {"arguments": list(arguments), "environ": dict(environ), "log": str(log) if log else None}
        with suppress(BrokenPipeError):  # it has died, as `poll` will tell
            self.stdin.write(json.dumps(order).encode() + b"\n")

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the child runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, as soon as there is one. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("newsmill", timeout or 0.0)
            time.sleep(SECONDS_PER_POLL)
        return code

    def terminate(self) -> None:
        """Send SIGTERM, unless the child has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, unless the child has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


@contextmanager
def fork_children(worker_count: int) -> Iterator[dict[str, ForkedProcess]]:
    """The children by the names that `Supervisor` gives them. What was not used ends with the block. Empty where a fork is not safe."""
    children: dict[str, ForkedProcess] = {}
    if sys.platform == "linux" and threading.active_count() == 1:
        from newsmill.sandbox.pages import start_fork_server

        start_fork_server("crawler.listings.reader")  # it imports the extractors beside the imports of worker and crawler
        # all these processes need them; the other commands of these modules need not spend their 0.15 s of CPU
        import workers.scheduler
        import workers.worker  # noqa: F401

        for name in ("crawler", *(f"worker-{number}" for number in range(1, min(worker_count, MAX_FORKED_WORKERS) + 1))):
            children[name] = ForkedProcess(_prepare_crawler if name == "crawler" else share_fork_server, list(children.values()))
    unused = dict(children)
    try:
        yield unused
    finally:
        for process in unused.values():
            process.stdin.close()
            process.kill()
            process.wait()


def _prepare_crawler() -> None:
    share_fork_server()
    import crawler.process  # noqa: F401


def _serve(orders: int, prepare: Callable[[], None]) -> NoReturn:
    """The child: prepare, wait for one order, run it, and exit. Without an order it exits when the parent closes the pipe."""
    code = 1
    try:
        os.setsid()  # Ctrl-C reaches only the parent
        os.dup2(orders, 0)
        os.close(orders)
        prepare()
        code = _run_order()
    except BaseException:  # noqa: BLE001 — the border of the process: nothing may reach the frames of the parent
        traceback.print_exc()
    finally:
        util._run_finalizers()  # type: ignore[attr-defined]  # as multiprocessing ends its own forks: removes the fork server's folder
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _run_order() -> int:
    """Run the command of the order; its exit code."""
    from newsmill.cli.main import main

    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1 << 16)
        if not data:
            return 0
        line += data
    order = json.loads(line)
    os.environ.clear()
    os.environ.update(order["environ"])
    if order["log"]:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    sys.argv = ["newsmill", *order["arguments"]]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0

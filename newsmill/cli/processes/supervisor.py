"""A supervisor, which restarts the processes that end.

A child is an ordinary `newsmill crawler|worker|scheduler --supervised`. It has its own session, so that Ctrl-C reaches only the parent.
Its standard input is a pipe of the parent: the pipe ends with the parent, even after SIGKILL, and the child stops (`stop_with_parent`).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from newsmill.cli.processes.forked_process import ForkedProcess
from newsmill.cli.processes.process_start import GRACE_SECONDS
from newsmill.exceptions import NewsmillError
from newsmill.storage.private_files import make_private_file

STABLE_SECONDS = 60.0  # of uptime that reset a child's count of restarts
MAX_RESTART_SECONDS = 30.0  # before a restart; the delay doubles with each restart
MAX_LOG_BYTES = 20_000_000  # of a log file, whose content is then moved to *.log.1

PROGRAM = (sys.executable, "-m", "newsmill.cli.main")


@dataclass
class Child:
    """One process to keep alive. Times are `time.monotonic()` seconds."""

    name: str  # in messages and log file names, such as "worker-1"
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes] | ForkedProcess | None = None
    forked: ForkedProcess | None = None  # waits to run the first time
    started: float = 0.0
    restarts: int = 0
    start_at: float = field(default=0.0)


class Supervisor:
    """Starts, watches and stops `children`; a context manager. `report` gets one line for each child that ends."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        environ: Mapping[str, str],
        logs: Path | None,
        report: Callable[[str], None],
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.children = list(children)
        self.environ = dict(environ)
        self.logs = logs
        self.report = report
        self.program = tuple(program)

    def __enter__(self) -> Supervisor:
        if self.logs:
            self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.watch()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self) -> None:
        """Start children that are due and handle those that ended. Raises NewsmillError if a child ended with exit code 2."""
        for child in self.children:
            if child.process is not None and (code := child.process.poll()) is not None:
                self._handle_exit(child, code)
            if child.process is None and time.monotonic() >= child.start_at:
                self._start(child)
            if self.logs is not None:
                cut_log(self.logs / f"{child.name}.log")

    def stop(self) -> None:
        """Send SIGTERM to all, and after GRACE_SECONDS SIGKILL to the rest and their children."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _close_pipe(process)

    def last_log_line(self) -> str:
        """A sentence with the last line of the newest log, the most likely reason of a problem."""
        logs = [path for child in self.children if self.logs and (path := self.logs / f"{child.name}.log").exists() and path.stat().st_size]
        if not logs:
            return "no process has written to its log"
        latest = max(logs, key=lambda path: path.stat().st_mtime)
        return f"last line of {latest}: {read_last_line(latest)}"

    def _start(self, child: Child) -> None:
        command = [*self.program, *child.arguments, "--supervised"]
        log = self._open_log(child)
        try:
            if child.forked is not None:
                child.process, child.forked = child.forked, None
                child.process.run([*child.arguments, "--supervised"], self.environ, self.logs and self.logs / f"{child.name}.log")
                return
            child.process = subprocess.Popen(
                command, env=self.environ, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        finally:
            if log is not None:
                os.close(log)
            child.started = time.monotonic()

    def _open_log(self, child: Child) -> int | None:
        if self.logs is None:
            return None
        path = self.logs / f"{child.name}.log"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _handle_exit(self, child: Child, code: int) -> None:
        if child.process is not None:
            _close_pipe(child.process)
        child.process = None
        if code == 2:  # ConfigError: starting again cannot help
            raise NewsmillError(f"{child.name} cannot run: {self._error_message(child)}")
        uptime = time.monotonic() - child.started
        child.restarts = 1 if uptime > STABLE_SECONDS else child.restarts + 1
        delay = min(MAX_RESTART_SECONDS, 0.25 * 2**child.restarts)
        child.start_at = time.monotonic() + delay
        message = f": {self._error_message(child)}" if code and self.logs else ""
        reason = f"signal {-code}" if code < 0 else f"exit code {code}{message}"
        self.report(f"{child.name} ended ({reason}); restart in {delay:.1f} s")

    def _error_message(self, child: Child) -> str:
        if self.logs is None:
            return "see its message above"
        return read_last_line(self.logs / f"{child.name}.log").removeprefix("newsmill: ") or "its log is empty"


def read_last_line(log: Path) -> str:
    """The last line of a log of any length; empty if there is none, or no log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _close_pipe(process: subprocess.Popen[bytes] | ForkedProcess) -> None:
    if process.stdin is not None:
        process.stdin.close()


def cut_log(path: Path) -> None:
    """Move the content of a long log to *.log.1. The process goes on in the same file, which it has opened for appending."""
    if not path.exists() or path.stat().st_size <= MAX_LOG_BYTES:
        return
    older = path.with_suffix(".log.1")
    try:
        make_private_file(older)
        shutil.copyfile(path, older)
    except OSError as error:  # on a full disk the log must not grow either
        logging.getLogger(__name__).warning("the log %s was not kept: %s", path, error.strerror)
    os.truncate(path, 0)

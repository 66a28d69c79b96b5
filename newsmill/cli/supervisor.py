"""Keeps Newsmill's processes running: starts them, starts again whichever dies, stops them together.

A child is an ordinary `newsmill crawler|worker|scheduler --supervised` in its own session, so that Ctrl-C reaches only us. Its standard
input is a pipe of ours: when we die, however we die, the pipe ends and the child stops by itself (see `stop_with_parent`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from newsmill.exceptions import NewsmillError

GRACE = 40.0  # seconds a child may take to stop: a worker drains at most one page, and a page has a 30 s limit
STEADY = 60.0  # seconds alive after which a child's earlier deaths are forgotten
LONGEST_PAUSE = 30.0  # seconds between two starts of a child that keeps dying
LOG_CAP = 20_000_000  # bytes after which a log file is set aside; one older file is kept


PROGRAM = (sys.executable, "-m", "newsmill.cli.main")


@dataclass
class Child:
    """One process to keep alive. Times are `time.monotonic()` seconds."""

    name: str  # "worker-1": what log lines and files call it
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    crashes: int = 0
    start_at: float = field(default=0.0)


class Supervisor:
    """Starts `children`, watches them, stops them; a context manager. `say` gets one line for each death."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        environ: Mapping[str, str],
        logs: Path | None,
        say: Callable[[str], None],
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.children = list(children)
        self.environ = dict(environ)
        self.logs = logs
        self.say = say
        self.program = tuple(program)

    def __enter__(self) -> Supervisor:
        if self.logs:
            self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.watch()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self) -> None:
        """Look once: start what is due to start, note what died. Raises NewsmillError when a child says its settings are wrong."""
        for child in self.children:
            if child.process is not None and (code := child.process.poll()) is not None:
                self._bury(child, code)
            if child.process is None and time.monotonic() >= child.start_at:
                self._start(child)

    def stop(self) -> None:
        """SIGTERM to all, wait for the grace period, then SIGKILL to what is left and its children."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _close_pipe(process)

    def complaint(self) -> str:
        """The last line of whichever log was written to last: most likely what is wrong."""
        logs = [path for child in self.children if self.logs and (path := self.logs / f"{child.name}.log").exists() and path.stat().st_size]
        if not logs:
            return "no process says why"
        latest = max(logs, key=lambda path: path.stat().st_mtime)
        return f"the last line of {latest} is: {last_line(latest)}"

    def _start(self, child: Child) -> None:
        command = [*self.program, *child.arguments, "--supervised"]
        log = self._open_log(child)
        try:
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
        if path.exists() and path.stat().st_size > LOG_CAP:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _bury(self, child: Child, code: int) -> None:
        if child.process is not None:
            _close_pipe(child.process)
        child.process = None
        if code == 2:  # ConfigError: starting again cannot help
            raise NewsmillError(f"{child.name} cannot run: {self._last_words(child)}")
        alive = time.monotonic() - child.started
        child.crashes = 1 if alive > STEADY else child.crashes + 1
        pause = min(LONGEST_PAUSE, 0.25 * 2**child.crashes)
        child.start_at = time.monotonic() + pause
        how = f"signal {-code}" if code < 0 else f"exit {code}{self._quoted_last_words(child) if code else ''}"
        self.say(f"{child.name} ended ({how}); it is started again in {pause:.1f} s")

    def _last_words(self, child: Child) -> str:
        """The last line of the child's log, where there is one."""
        if self.logs is None:
            return "see its message above"
        return last_line(self.logs / f"{child.name}.log").removeprefix("newsmill: ") or "it said nothing"

    def _quoted_last_words(self, child: Child) -> str:
        return f": {self._last_words(child)}" if self.logs else ""


def last_line(log: Path) -> str:
    """The last line of a log that may be long; empty when there is none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def stop_with_parent() -> None:
    """For a supervised child: when the pipe on standard input ends, the parent is gone; stop as on SIGTERM, and if that hangs, at once."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()

"""Long-running processes: their start, which every one shares, and a supervisor that restarts those that end and stops them together.

A child is an ordinary `newsmill crawler|worker|scheduler --supervised`. It has its own session, so that Ctrl-C reaches only the parent.
Its standard input is a pipe of the parent: the pipe ends with the parent, even after SIGKILL, and the child stops (`stop_with_parent`).

The log has one line per event on standard error: `2026-11-25T13:52:21.401Z INFO crawler.frontier.host_worker …`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import util
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import typer

from newsmill import settings as configuration
from newsmill.cli.terminal import printable
from newsmill.exceptions import MovedFileError, NewsmillError
from newsmill.sandbox.child import restrict_proc_access
from newsmill.sandbox.parent import share_fork_server
from newsmill.settings import Settings
from newsmill.storage.moved_file import HANDLERS
from newsmill.storage.private_files import make_private_file
from newsmill.text.redaction import redact

GRACE_SECONDS = 40.0  # that a child may take to stop: a worker finishes its page, which may take 30 s
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


def stop_with_parent() -> None:
    """Stop a supervised child when the pipe on standard input ends, which means that the parent has ended.

    Sends SIGTERM to itself, and exits after GRACE_SECONDS if that had no effect.
    """

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


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


# ---- the start of a process --------------------------------------------------------------------------------------------------

PACKAGES = ("newsmill", "crawler", "workers")
COMPONENTS_LOGGER = "scrapy.middleware"  # names the middlewares and extensions that are enabled
DRIVER_LOGGER = "psycopg"  # its warnings follow an exception, which Newsmill logs or handles
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]


def prepare(supervised: bool) -> Settings:
    """Read the settings, hide them from sandboxed children, and send the log to standard error.

    A supervised process also stops with its parent. Raises ConfigError for an invalid setting.
    """
    settings = configuration.load()
    restrict_proc_access()
    configure_logging(settings.log_level)
    HANDLERS.append(end_process)
    if supervised:
        stop_with_parent()
    return settings


def end_process(error: MovedFileError) -> None:
    """End a process whose database was moved away, as a kill does, which loses nothing. A supervisor does not start it again."""
    typer.echo(f"newsmill: {printable(redact(str(error)))}", err=True)
    os._exit(2)


def configure_logging(level: str) -> None:
    """Send the log to standard error, in UTC: Newsmill's records from `level` on, those of libraries from WARNING on."""
    formatter = RedactingFormatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(should_log)
    logging.basicConfig(handlers=[handler], level=level, force=True)


class RedactingFormatter(logging.Formatter):
    """Hides passwords in URLs, also in tracebacks, and replaces control characters, which may come from a page."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redact(super().format(record)))


def should_log(record: logging.LogRecord) -> bool:
    """Whether to log a record. This is a filter because Scrapy resets the levels of loggers.

    The crawler lowers the level of COMPONENTS_LOGGER only where the user has Scrapy settings.
    """
    if record.name == DRIVER_LOGGER and record.levelno < logging.ERROR:
        return False
    return record.levelno >= logging.WARNING or record.name == COMPONENTS_LOGGER or record.name.partition(".")[0] in PACKAGES


# ---- children that are forked ------------------------------------------------------------------------------------------------

# The crawler and the workers of `newsmill crawl` are forked from it, so that they need not import again what it has imported: 1 s of CPU
# each. They are forked before this process has threads, connections or the newspaper of the demo. They share one fork server of page
# readers, which costs another second. Children that start after a crash are new interpreters. Linux only: macOS forbids a fork to use
# some system libraries.

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

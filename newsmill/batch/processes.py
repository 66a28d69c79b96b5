"""Many files on one machine: each of several processes works on one file after the other."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import ModuleType

from newsmill.batch.options import BatchOptions, FileCounts
from newsmill.exceptions import NewsmillError
from newsmill.model import Capture
from newsmill.sandbox.child import load_function
from newsmill.sandbox.parent import find_server_key, fork_process, share_fork_server, start_fork_server
from newsmill.sandbox.process_limits import die_with_parent

REPORT_SECONDS = 0.5  # between two messages about the progress of a file
STOP_SECONDS = 0.2  # within which a stop is noticed
MAX_ATTEMPTS = 2  # at a file whose process ends: the system kills processes where memory is short
FAILED = "failed"  # the outcome of a file whose extraction raised an unexpected exception, which is printed
KILLED = "killed"  # the outcome of such a file; it has no part, so the next run extracts it

EXTRACT = "newsmill.batch.file_extraction:extract_file"
COLLECT = "newsmill.batch.profile_learning:collect_profile_pages"
LEARN = "newsmill.batch.profile_learning:learn_site"  # its "files" are sites
# What all files need is imported once: the tasks, and the readers of their pages, are forked from one server.
PRELOAD = ("newsmill.sandbox.page_handler", "newsmill.sandbox.preload", "newsmill.batch.profile_learning", "pyarrow.parquet")


@dataclass(slots=True)
class _Task:
    """A process, and the file that it extracts."""

    process: ForkServerProcess
    connection: Connection
    source: str | None = None
    attempt: int = 0
    records_end: int = 0  # offset of the record that was read last

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the files are that are being extracted: the offset of each file's last record."""

    offsets: dict[str, int]


def process_files(
    work: str,
    sources: Sequence[str],
    folder: str,
    options: BatchOptions,
    *,
    processes: int,
    on_progress: Callable[[Progress], object],
    is_stopped: Callable[[], bool],
) -> Iterator[FileCounts]:
    """Call `work` for files in this many processes; yields the counts of each. A stop ends the files in progress.

    `work` is EXTRACT, COLLECT or LEARN.

    Raises NewsmillError if a part cannot be written or no page can be read. Parts that are finished stay, so the same call resumes.
    """
    pending = deque((source, 1) for source in sources)
    tasks: list[_Task] = []
    try:
        while not is_stopped() and (pending or any(task.source is not None for task in tasks)):
            _hand_out(pending, tasks, processes, partial(_start, work, folder, options))
            for connection in wait([task.connection for task in tasks if task.source is not None], STOP_SECONDS):
                task = next(task for task in tasks if task.connection is connection)
                counts = _receive(task, tasks, pending)
                if counts is not None:
                    yield counts
            on_progress(Progress({task.source: task.records_end for task in tasks if task.source is not None}))
    finally:
        for task in tasks:
            task.end()


def _hand_out(pending: deque[tuple[str, int]], tasks: list[_Task], processes: int, start: Callable[[], _Task]) -> None:
    """Give each idle task a file. A new process is started only while there are files for it."""
    idle = [task for task in tasks if task.source is None]
    while pending and (idle or len(tasks) < processes):
        task = idle.pop() if idle else start()
        if task not in tasks:
            tasks.append(task)
        task.source, task.attempt = pending.popleft()
        task.records_end = 0
        task.connection.send(task.source)


def _receive(task: _Task, tasks: list[_Task], pending: deque[tuple[str, int]]) -> FileCounts | None:
    """The counts of a file that is finished; None for a message about its progress, and for a file that is tried again."""
    assert task.source is not None
    try:
        message = task.connection.recv()
    except (EOFError, OSError):  # its process was killed
        task.end()
        tasks.remove(task)
        if task.attempt == MAX_ATTEMPTS:
            return FileCounts(task.source, 0, {KILLED: 1})
        pending.appendleft((task.source, task.attempt + 1))
        return None
    if isinstance(message, int):
        task.records_end = message
        return None
    task.source = None
    if isinstance(message, NewsmillError):
        raise message
    assert isinstance(message, FileCounts)
    return message


def _start(work: str, folder: str, options: BatchOptions) -> _Task:
    ours, theirs = multiprocessing.Pipe()
    start_fork_server(PRELOAD)
    with theirs:
        process = fork_process(_serve, (theirs, work, folder, options, dict(os.environ), find_server_key()), PRELOAD)
    return _Task(process, ours)


def _serve(
    connection: Connection, work: str, folder: str, options: BatchOptions, environment: Mapping[str, str], server_key: bytes | None
) -> None:
    """Work on the files that the parent names, until it closes the connection. `environment` may have the keys of a store."""
    die_with_parent()
    sys.meta_path.insert(0, _WithoutPandas())
    os.environ |= environment
    share_fork_server(server_key)
    process_file = load_function(work)
    while True:
        try:
            source = connection.recv()
        except EOFError:
            return
        try:
            answer: FileCounts | NewsmillError = process_file(source, folder, options, on_capture=_Reporter(connection))
        except NewsmillError as error:
            answer = error
        except Exception:  # noqa: BLE001 - a file costs the others nothing
            traceback.print_exc()
            answer = FileCounts(source, 0, {FAILED: 1})
        connection.send(answer)


class _WithoutPandas(MetaPathFinder):
    """Hides pandas, which pyarrow would import with the first row: 0.4 s of CPU and 40 MB for types that no row has."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


class _Reporter:
    """Tells the parent how far the file is read."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._next = connection, 0.0

    def __call__(self, capture: Capture) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPORT_SECONDS
            self._connection.send(capture.offset)

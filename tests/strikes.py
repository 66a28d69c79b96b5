"""Processes that are killed inside a write: a process dies before its n-th step, for every n until it completes.

A step is a statement that changes the database, a commit, or a call that writes, flushes, renames or removes a file. The profile hook of
the interpreter sees them all, also those of the standard library, so that no code has to be replaced.
"""

from __future__ import annotations

import os
import posix
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from io import BufferedWriter
from pathlib import Path
from types import FrameType
from typing import Any

from forked_process import ForkedProcess

TESTS = Path(__file__).parent
FILE_CALLS = frozenset({"fsync", "rename", "replace", "unlink", "sendfile", "mkdir"})  # of the module os
DATABASE_CALLS = frozenset({"do_execute", "do_executemany", "do_commit"})  # of SQLAlchemy's dialects
READS = ("SELECT", "PRAGMA", "BEGIN")


def arm(step: int) -> None:
    """Kill this process before its step number `step`; 0: the first."""
    left = step

    def on_event(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        if is_step(frame, event, argument):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.setprofile(on_event)


def is_step(frame: FrameType, event: str, argument: Any) -> bool:
    if event == "c_call":
        name, owner = argument.__name__, argument.__self__
        if owner is posix:
            return name in FILE_CALLS
        return (name == "write" and isinstance(owner, BufferedWriter)) or (name == "backup" and isinstance(owner, sqlite3.Connection))
    if event == "call" and frame.f_code.co_name in DATABASE_CALLS:
        statement = str(frame.f_locals.get("statement", "COMMIT")).lstrip()
        return not statement.startswith(READS)
    return False


def kill_at_each_step(
    function: Callable[[dict[str, Any]], int],
    options: Mapping[str, Any],
    log: Path,
    prepare: Callable[[], Mapping[str, Any]] = dict,
    *,
    every: int = 1,
) -> Iterator[int]:
    """Yield after each kill, with the number of the step. The last process completes, and nothing is yielded for it.

    `function(options)` calls `arm(options["step"])` and does the work. `prepare` makes a fresh store for each process; its result is added
    to the options. `every`: 4 kills at each fourth step only.
    """
    environ = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS / 'storage'}:{TESTS.parent}"}
    for step in range(0, 1000, every):
        process = ForkedProcess(function, {**options, **prepare(), "step": step}, environ=environ, log=log)
        code = process.wait()
        if code == 0:
            assert step > 0, "no step was seen"
            return
        assert code == -signal.SIGKILL, log.read_text()
        yield step
    raise AssertionError("it never completes")

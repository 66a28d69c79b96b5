"""The supervision of children until a stop is requested, with the embedded Redis."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from newsmill.cli.interrupt import Interrupt
from newsmill.cli.processes.supervisor import Child, Supervisor
from newsmill.cli.terminal import note
from newsmill.exceptions import MovedFileError, NewsmillError
from newsmill.sandbox.process_limits import restrict_proc_access

SECONDS_PER_CHECK = 0.5  # between two checks of the children and, with one PING, of the embedded Redis


def keep_running(children: list[Child], logs: Path | None, checks: Sequence[Callable[[], None]] = ()) -> None:
    """Run `children` until Ctrl-C or SIGTERM. Their logs go to files in `logs`, or to standard error.

    `checks` are called regularly. A NewsmillError of one (full disk, unreachable database) is printed once and does not stop the children.
    """
    restrict_proc_access()
    problem = None
    with Interrupt() as interrupt, Supervisor(children, environ=os.environ, logs=logs, report=note) as supervisor:
        while not interrupt.wait(SECONDS_PER_CHECK):
            previous, problem = problem, find_problem(checks)
            try:
                supervisor.watch()
            except NewsmillError:
                find_problem(checks)  # where the data folder was deleted, a child may have seen it first: that is the reason
                raise
            if problem != previous:
                note(problem or "all services respond again")
        note("stopping after the pages in progress …")


def find_problem(checks: Sequence[Callable[[], None]]) -> str | None:
    """Call the checks in order; returns the message of the first that fails. Raises MovedFileError, which ends everything."""
    try:
        for check in checks:
            check()
    except MovedFileError:
        raise
    except NewsmillError as error:
        return str(error)
    return None

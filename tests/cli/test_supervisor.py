"""The supervisor with real processes: small Python programs that crash, hang, or ignore SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from newsmill.cli.processes import supervisor
from newsmill.cli.processes.process_start import should_log
from newsmill.cli.processes.supervisor import Child, Supervisor
from newsmill.exceptions import NewsmillError

RUNS = "import sys, time; print('here', sys.argv[1:], flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
TICKS = """
import time
for number in range(10_000):
    print(number, flush=True)
    time.sleep(0.05)
"""
ORPHAN = """
import sys, time
from newsmill.cli.processes.process_start import stop_with_parent
stop_with_parent()
print('here', flush=True)
time.sleep(600)
"""


def supervise(code: str, logs: Path | None, reports: list[str], count: int = 1) -> Supervisor:
    children = [Child(f"child-{number}", (str(number),)) for number in range(count)]
    return Supervisor(children, environ=os.environ, logs=logs, report=reports.append, program=(sys.executable, "-c", code))


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_children_run_and_stop(tmp_path: Path) -> None:
    with supervise(RUNS, tmp_path / "logs", [], count=2) as running:
        wait_for(lambda: all((tmp_path / "logs" / f"child-{n}.log").read_text() for n in range(2)))
        assert "'--supervised'" in (tmp_path / "logs" / "child-1.log").read_text()
        processes = [child.process for child in running.children if child.process]
        assert all(process.poll() is None for process in processes)
    assert [process.poll() for process in processes] == [-signal.SIGTERM] * 2


def test_a_killed_child_is_restarted(tmp_path: Path) -> None:
    reports: list[str] = []
    with supervise(RUNS, tmp_path, reports) as running:
        first = running.children[0].process
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        first.wait()

        def is_restarted() -> bool:
            running.watch()
            return running.children[0].process is not None

        wait_for(is_restarted)
        assert running.children[0].process is not first
    assert reports == ["child-0 ended (signal 9); restart in 0.5 s"]


def test_restarts_are_delayed_and_report_the_last_log_line(tmp_path: Path) -> None:
    reports: list[str] = []
    with supervise("import sys; sys.exit('newsmill: no Redis')", tmp_path, reports) as running:

        def has_ended_twice() -> bool:
            running.watch()
            return len(reports) == 2

        wait_for(has_ended_twice)
    assert reports == [
        "child-0 ended (exit code 1: no Redis); restart in 0.5 s",
        "child-0 ended (exit code 1: no Redis); restart in 1.0 s",
    ]


def test_invalid_settings_stop_all(tmp_path: Path) -> None:
    code = "import sys; print('newsmill: LOG_LEVEL: expected INFO', file=sys.stderr); sys.exit(2)"
    with pytest.raises(NewsmillError, match="child-0 cannot run: LOG_LEVEL: expected INFO"), supervise(code, tmp_path, []) as running:
        while True:
            running.watch()
            time.sleep(0.02)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.3)
    with supervise(STUBBORN, tmp_path, []) as running:
        wait_for(lambda: (tmp_path / "child-0.log").read_text())
        process = running.children[0].process
        assert process is not None
    assert process.poll() == -signal.SIGKILL


def test_children_stop_when_the_parent_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
from newsmill.cli.processes.supervisor import Child, Supervisor
import sys
child = Child("orphan", ())
with Supervisor([child], environ=os.environ, logs=Path({str(tmp_path)!r}), report=print, program=(sys.executable, "-c", {ORPHAN!r})):
    print(child.process.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        wait_for(lambda: (tmp_path / "orphan.log").read_text())
        parent.kill()
    wait_for(lambda: not alive(orphan))


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody waits for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_long_log_is_cut_while_its_process_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_LOG_BYTES", 3)
    log, older = tmp_path / "child-0.log", tmp_path / "child-0.log.1"
    log.write_text("old news\n")
    with supervise(TICKS, tmp_path, []) as running:
        assert older.read_text().startswith("old news\n")  # a tick may have come between
        wait_for(lambda: log.read_text().count("\n") > 2)
        pid = running.children[0].process.pid if running.children[0].process else 0
        running.watch()
        ticks = [int(line) for line in older.read_text().split()]
        assert len(ticks) > 2 and ticks == list(range(ticks[0], ticks[-1] + 1)) and older.stat().st_mode & 0o777 == 0o600
        wait_for(lambda: log.read_text().count("\n") > 2)
        assert int(log.read_text().split("\n")[0]) > ticks[-1], "it goes on in the same file"
        assert running.children[0].process and running.children[0].process.pid == pid


def test_the_last_line_of_the_newest_log_is_reported(tmp_path: Path) -> None:
    with supervise("import sys, time; print('first'); print('the disk is full', flush=True); time.sleep(600)", tmp_path, []) as running:
        wait_for(lambda: "full" in (tmp_path / "child-0.log").read_text())
        assert running.last_log_line() == f"last line of {tmp_path}/child-0.log: the disk is full"
    with supervise("", None, []) as running:
        assert running.last_log_line() == "no process has written to its log"


@pytest.mark.parametrize(
    ("name", "is_logged"), [("scrapy.middleware", True), ("scrapy.core.engine", False), ("crawler.frontier.frontier", True)]
)
def test_the_log_names_the_components_that_scrapy_enables(name: str, is_logged: bool) -> None:
    record = logging.LogRecord(name, logging.INFO, __file__, 1, "Enabled", (), None)
    assert should_log(record) == is_logged


@pytest.mark.parametrize(("level", "is_logged"), [(logging.WARNING, False), (logging.ERROR, True)])
def test_a_warning_of_the_driver_about_an_error_that_it_raises_is_not_logged(level: int, is_logged: bool) -> None:
    record = logging.LogRecord("psycopg", level, __file__, 1, "error ignored terminating <psycopg.Pipeline>", (), None)
    assert should_log(record) == is_logged


def test_a_forked_child_runs_one_command_and_is_then_an_ordinary_child(tmp_path: Path) -> None:
    """In a new interpreter: this one has threads, beside which a fork is not safe."""
    code = f"""
import os
from pathlib import Path
from newsmill.cli.processes.forked_process import fork_children
from newsmill.cli.processes.supervisor import Child, Supervisor
from newsmill.exceptions import NewsmillError
with fork_children(2) as forked:
    unused = forked["crawler"]
    child = Child("worker-1", ("worker", "--no-such-option"), forked=forked.pop("worker-1"))
    environ = {{**os.environ, "ONLY_HERE": "yes"}}
    try:
        with Supervisor([child], environ=environ, logs=Path({str(tmp_path)!r}), report=print) as running:
            print(child.process.pid != os.getpid(), child.forked)
            while True:
                running.watch()
    except NewsmillError as error:
        print(error)
print(unused.poll())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[0] == "True None", done.stderr
    assert "worker-1 cannot run: " in done.stdout and "no-such-option" in done.stdout.lower()
    assert done.stdout.splitlines()[-1] == "-9"
    assert done.stderr == ""

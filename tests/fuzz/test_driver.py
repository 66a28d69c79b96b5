"""The driver finds what it looks for with either engine, goes on after a child that hung or crashed, and saves at once."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from fuzz.driver import TESTS, Progress, run

ENGINES = ("mutate", pytest.param("atheris", marks=pytest.mark.skipif(find_spec("atheris") is None, reason="no wheel for this Python")))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("target", "what"), [("raises", "KeyError in selftest.py"), ("loops", "its CPU time"), ("crashes", "SIGABRT")])
def test_what_is_broken_is_found(target: str, what: str, engine: str) -> None:
    result = run(target, 1, engine=engine, module="fuzz.selftest")
    assert result.findings and all(what in finding.what and b"b" in finding.data for finding in result.findings)
    assert result.progress.tried > 1


@pytest.mark.parametrize(("target", "what", "code"), [("raises", "KeyError in selftest.py", 1), ("loops", "its CPU time", -signal.SIGPROF)])
def test_a_killed_run_leaves_its_findings_and_the_command_that_replays_them(tmp_path: Path, target: str, what: str, code: int) -> None:
    options = f"{target} --module fuzz.selftest --engine mutate --seconds 600 --keep".split()
    command = [sys.executable, "-m", "fuzz", *options, str(tmp_path)]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=TESTS, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as killed:
        while not (found := sorted(tmp_path.glob(f"{target}-*.txt"))) or not found[0].read_text().endswith("\n"):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
        assert killed.stdin is not None
        readers = select.poll()
        readers.register(killed.stdin, 0)
        assert readers.poll(60_000), "the child of the killed run goes on"  # it shares the pipe: POLLERR comes when both have ended
    text = found[0].read_text()
    file = found[0].with_suffix("")
    assert what in text and b"b" in file.read_bytes()
    command_line = text.splitlines()[-1].partition("&& ")[2]
    python, *replayed = shlex.split(command_line)
    assert python == "python" and str(file) in replayed
    assert subprocess.run([sys.executable, *replayed], cwd=TESTS, capture_output=True).returncode == code


def test_a_run_reports_its_progress() -> None:
    reports: list[Progress] = []
    result = run("raises", 1.5, engine="mutate", module="fuzz.selftest", report=reports.append, heartbeat=0.2)
    tried = [progress.tried for progress in reports]
    assert tried == sorted(tried) and tried[-1] <= result.progress.tried
    assert result.progress.corpus == 2 and result.progress.findings == len(result.findings) == 1 and result.progress.cpu > 0

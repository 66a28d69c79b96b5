"""Runs one target for some seconds in a child process that may hang or crash, and gives back what was found.

The child is coverage-guided where atheris is installed (Linux on x86-64, CPython 3.11 to 3.14), else it changes the seeds at random.
The input in hand stands in a mapped file, so that it outlives a child that the kernel ended: over its CPU time, or by a signal.
"""

from __future__ import annotations

import mmap
import os
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

HEADER = struct.Struct("<QQ")  # inputs tried, bytes of the one in hand
MOST_FINDINGS = 20  # different ones, after which there is no use in going on
TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong, and the input."""

    what: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """How many inputs were tried, and the findings, one for each place where something was raised."""

    tried: int
    findings: tuple[Finding, ...]


def run(target: str, seconds: float, *, engine: str | None = None, seed: int = 0, module: str = "fuzz.targets") -> Result:
    """Fuzz a target for `seconds` of wall time. A child that hangs or crashes is a finding; another one goes on."""
    until = time.monotonic() + seconds
    tried, ended = 0, list[Finding]()
    with tempfile.TemporaryDirectory() as folder:
        while (left := until - time.monotonic()) > 0 and len(ended) < MOST_FINDINGS:
            current = Path(folder, "current")
            current.write_bytes(bytes(HEADER.size + import_module(module).TARGETS[target].most))
            child = [
                sys.executable,
                "-m",
                "fuzz.driver",
                module,
                target,
                str(max(1, round(left))),
                folder,
                engine or "",
                str(seed + len(ended)),
            ]
            path = os.pathsep.join(filter(None, (str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH"))))
            done = subprocess.run(child, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, errors="replace")
            count, length = HEADER.unpack_from(current.read_bytes())
            tried += count
            if done.returncode < 0:
                name = signal.Signals(-done.returncode).name
                what = "took longer than its CPU time" if name == "SIGPROF" else f"the process was ended by {name}"
                ended.append(Finding(what, current.read_bytes()[HEADER.size :][:length]))
            elif count == 0:
                ended.append(Finding(f"the child process did not start: {done.stderr[-2000:]}", b""))
        raised = [Finding(file.with_suffix(".txt").read_text(), file.read_bytes()) for file in sorted(Path(folder).glob("*.input"))]
    return Result(tried, (*ended, *raised))


def fuzz(module: str, name: str, seconds: int, folder: Path, engine: str, seed: int) -> None:
    """The child's side."""
    guided = engine != "mutate" and find_spec("atheris") is not None
    if guided:
        import atheris

        with atheris.instrument_imports(include=["newsmill"]):
            target = import_module(module).TARGETS[name]
    else:
        target = import_module(module).TARGETS[name]
    corpus = target.corpus(name) or [b""]
    one = _recorded(target.run, target.cpu, folder)
    for data in corpus:
        one(data[: target.most])
    if guided:
        _guided(one, corpus, target, seconds, folder, seed)
        return
    from fuzz.mutator import mutate

    random, until = Random(seed), time.monotonic() + seconds
    while time.monotonic() < until:
        one(mutate(random, corpus, target.tokens, target.most))


def _guided(one: Callable[[bytes], None], corpus: list[bytes], target: Any, seconds: int, folder: Path, seed: int) -> None:
    """libFuzzer ends the process when it is done. It measures hangs in wall time, so its own limit is as good as off."""
    import atheris

    work = folder / "corpus"
    work.mkdir(exist_ok=True)
    for number, data in enumerate(corpus):
        (work / f"seed-{number}").write_bytes(data)
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
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(work)], one)
    atheris.Fuzz()


def _recorded(run: Callable[[bytes], object], cpu: float, folder: Path) -> Callable[[bytes], None]:
    """The target under its limit of CPU time; what it raises is written down once for each place, and the run goes on."""
    file = (folder / "current").open("r+b")
    current = mmap.mmap(file.fileno(), 0)
    seen: set[str] = {path.with_suffix(".txt").read_text().split("\n")[0] for path in folder.glob("*.input")}
    tried = 0

    def one(data: bytes) -> None:
        nonlocal tried
        tried += 1
        current[: HEADER.size + len(data)] = HEADER.pack(tried, len(data)) + data
        signal.setitimer(signal.ITIMER_PROF, cpu)  # nobody handles SIGPROF, so it ends the process, inside a C library too
        try:
            run(data)
        except Exception as error:  # noqa: BLE001 — whatever nobody declared is what is looked for
            place = _place(error)
            if place not in seen and len(seen) < MOST_FINDINGS:
                seen.add(place)
                name = folder / f"{len(seen):02}.input"
                name.write_bytes(data)
                name.with_suffix(".txt").write_text(f"{place}\n{''.join(traceback.format_exception(error))[-3000:]}", errors="replace")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    return one


def _place(error: Exception) -> str:
    """Where it was raised: the same fault has the same name whatever the input."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _interrupted)
    _module, _name, _seconds, _folder, _engine, _seed = sys.argv[1:]
    fuzz(_module, _name, int(_seconds), Path(_folder), _engine, int(_seed))

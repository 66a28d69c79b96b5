"""Measurement of a command: CPU of every process that it starts, and peak memory by kind of process.

Linux only. The measuring process becomes the reaper of orphans (prctl(2), PR_SET_CHILD_SUBREAPER). RUSAGE_CHILDREN therefore includes a
fork server, an embedded Redis and killed children, unlike `time`. Figures by kind are samples of /proc; they are valid as shares only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
INTERVAL = 0.5  # seconds between two samples of /proc: 0.1 % of a core with fifty processes
GRACE_SECONDS = 20.0  # maximum seconds that remaining processes of the command may take to end
BLOCK = 512  # bytes of a block in getrusage(2)
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Kind:
    """The processes of one kind: number, CPU seconds, and peak resident memory of the largest in MB."""

    processes: int = 0
    cpu: float = 0.0
    peak_mb: float = 0.0


@dataclass(slots=True)
class Cost:
    """The cost of a command. CPU and wall in seconds; `left_behind` counts processes killed after GRACE_SECONDS."""

    cpu: float
    wall: float
    exit_code: int
    left_behind: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    written_mb: float = 0.0  # MB written to disk (getrusage(2), ru_oublock), without tmpfs


def run(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, limit: float = 3600) -> Cost:
    """Run the command in its own measuring process; its output goes to `log`. `limit` in seconds. Raise RuntimeError if it fails."""
    result = log.with_suffix(".cost.json")
    result.unlink(missing_ok=True)
    measuring = [sys.executable, __file__, str(result), str(log), str(limit), "--", *command]
    with subprocess.Popen(measuring, env=env, cwd=cwd) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # the process kills the command and its descendants
            raise
    if code:
        raise subprocess.CalledProcessError(code, measuring)
    data = json.loads(result.read_text())
    cost = Cost(**{**data, "kinds": {name: Kind(**kind) for name, kind in data["kinds"].items()}})
    if cost.exit_code:
        raise RuntimeError(f"{' '.join(command[:4])} … ended with {cost.exit_code}; end of {log}:\n{log.read_text()[-2000:]}")
    return cost


def kind_of(command_line: str) -> str:
    """Return the kind of process with this command line."""
    words = command_line.split("\0")
    if "multiprocessing.forkserver" in command_line or "multiprocessing.resource_tracker" in command_line:
        return "page readers"
    if Path(words[0]).name in ("valkey-server", "redis-server") or "valkey-server" in words[0]:
        return "redis"
    if words[0].startswith(("postgres:", "nginx:")) or Path(words[0]).name in ("postgres", "nginx"):
        return "postgres" if "postgres" in words[0] else "nginx"
    if any(word.startswith("crawler.listings.reader:") for word in words):  # the child that parses listings
        return "crawler"
    named = [word for word in words if word in ("crawler", "worker", "scheduler")]
    return named[0] if named else "command"


class Sampler(threading.Thread):
    """Samples all descendants until `stopped` is set, and keeps the last figures of each."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[int, tuple[str, float, float]] = {}  # pid → kind, CPU seconds, peak MB
        self.stopped = threading.Event()

    def run(self) -> None:
        """Sample until `stopped` is set."""
        while not self.stopped.wait(INTERVAL):
            for pid in descendants(os.getpid()):
                self.sample(pid)

    def sample(self, pid: int) -> None:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
            status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        except OSError:  # the process has ended
            return
        peak = next((int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM")), 0.0)
        if line:  # zombies have none
            self.seen[pid] = (kind_of(line), (int(fields[11]) + int(fields[12])) / TICK, peak)

    def kinds(self) -> dict[str, Kind]:
        found: dict[str, Kind] = {}
        for name, cpu, peak in self.seen.values():
            kind = found.setdefault(name, Kind())
            kind.processes += 1
            kind.cpu = round(kind.cpu + cpu, 2)
            kind.peak_mb = round(max(kind.peak_mb, peak), 1)
        return found


def descendants(root: int) -> list[int]:
    """Return all descendants of `root`, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, rest = [], [root]
    while rest:
        below = children.get(rest.pop(), [])
        found += below
        rest += below
    return found


def cpu_by_kind(root: int) -> Counter[str]:
    """Return the CPU seconds of all living descendants of `root`, including children that they have waited for."""
    seconds: Counter[str] = Counter()
    for pid in descendants(root):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
        except OSError:  # the process has ended
            continue
        if line:  # zombies have none
            seconds[kind_of(line)] += sum(map(int, fields[11:15])) / TICK
    return seconds


def end_cleanly() -> None:
    """Handle SIGTERM like Ctrl-C, so that child processes end with this program."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(result: Path, log: Path, limit: float, command: Sequence[str]) -> None:
    """Run the command in this measuring process, reap all descendants, and write the Cost as JSON."""
    adopt_orphans()
    end_cleanly()
    sampler = Sampler()
    sampler.start()
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        watchdog = threading.Timer(limit, process.send_signal, [signal.SIGTERM])
        watchdog.start()
        try:
            code = process.wait()
        except KeyboardInterrupt:
            for pid in descendants(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            raise
        finally:
            watchdog.cancel()
    wall = time.monotonic() - began
    left = reap()
    sampler.stopped.set()
    sampler.join()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = Cost(
        round(usage.ru_utime + usage.ru_stime, 2), round(wall, 2), code, left, sampler.kinds(), round(usage.ru_oublock * BLOCK / 1e6, 1)
    )
    result.write_text(json.dumps(asdict(cost)))


def reap() -> int:
    """Wait GRACE_SECONDS for remaining descendants and kill the rest. Return the number of killed processes."""
    deadline, ended = time.monotonic() + GRACE_SECONDS, 0
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            time.sleep(0.05)
            if time.monotonic() > deadline:
                rest = descendants(os.getpid())
                ended += len(rest)
                for other in rest:
                    os.kill(other, signal.SIGKILL)
                deadline += GRACE_SECONDS


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[5:])

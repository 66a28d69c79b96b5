"""Runs one command and says what it cost: CPU of every process it started, however they ended, and each kind's peak memory.

Linux only. The measuring process becomes the reaper of orphans (prctl(2), PR_SET_CHILD_SUBREAPER), so that a fork server, a private
Redis or a killed child is waited for here and counted in RUSAGE_CHILDREN; a plain `time` would miss them. What single kinds of process
used is sampled from /proc twice a second: good for shares, not for the total.
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
INTERVAL = 0.5  # seconds between two looks at /proc: 0.1 % of a core with fifty processes
GRACE = 20.0  # seconds that what a command leaves behind may take to end by itself
BLOCK = 512  # bytes of a block in getrusage(2), whatever the disk's are
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Kind:
    """The processes of one kind: how many there were, their CPU seconds, the largest one's peak resident memory in MB."""

    processes: int = 0
    cpu: float = 0.0
    peak_mb: float = 0.0


@dataclass(slots=True)
class Cost:
    """What a command cost. CPU and wall in seconds; `left_behind` counts processes that had to be ended after GRACE."""

    cpu: float
    wall: float
    exit_code: int
    left_behind: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    written_mb: float = 0.0  # to disk, as the kernel counts blocks (getrusage(2), ru_oublock); what a tmpfs holds is not in it


def run(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, limit: float = 3600) -> Cost:
    """Run the command in a measuring process of its own; its output goes to `log`. `limit` in seconds.
    Raises RuntimeError when it fails."""
    result = log.with_suffix(".cost.json")
    result.unlink(missing_ok=True)
    measuring = [sys.executable, __file__, str(result), str(log), str(limit), "--", *command]
    with subprocess.Popen(measuring, env=env, cwd=cwd) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # it ends the command and all that came of it, and is waited for
            raise
    if code:
        raise subprocess.CalledProcessError(code, measuring)
    data = json.loads(result.read_text())
    cost = Cost(**{**data, "kinds": {name: Kind(**kind) for name, kind in data["kinds"].items()}})
    if cost.exit_code:
        raise RuntimeError(f"{' '.join(command[:4])} … ended with {cost.exit_code}; its last words in {log}:\n{log.read_text()[-2000:]}")
    return cost


def kind_of(command_line: str) -> str:
    """The kind of process a command line stands for."""
    words = command_line.split("\0")
    if "multiprocessing.forkserver" in command_line or "multiprocessing.resource_tracker" in command_line:
        return "page readers"
    if Path(words[0]).name in ("valkey-server", "redis-server") or "valkey-server" in words[0]:
        return "redis"
    if words[0].startswith(("postgres:", "nginx:")) or Path(words[0]).name in ("postgres", "nginx"):
        return "postgres" if "postgres" in words[0] else "nginx"
    if "crawler.listing_parser_child" in words:
        return "crawler"
    named = [word for word in words if word in ("crawler", "worker", "scheduler")]
    return named[0] if named else "command"


class Sampler(threading.Thread):
    """Looks at all descendants until told to stop, and remembers the last figures of each."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[int, tuple[str, float, float]] = {}  # pid → kind, CPU seconds, peak MB
        self.stopped = threading.Event()

    def run(self) -> None:
        """Sample until `stopped` is set."""
        while not self.stopped.wait(INTERVAL):
            for pid in descendants(os.getpid()):
                self.look(pid)

    def look(self, pid: int) -> None:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
            status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        except OSError:  # it ended meanwhile
            return
        peak = next((int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM")), 0.0)
        if line:  # a zombie has none
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
    """All processes below `root`, by the parent each /proc entry names."""
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
    """CPU seconds so far of all living processes below `root`, each with its children that it has waited for."""
    seconds: Counter[str] = Counter()
    for pid in descendants(root):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        if line:  # a zombie has none
            seconds[kind_of(line)] += sum(map(int, fields[11:15])) / TICK
    return seconds


def end_cleanly() -> None:
    """SIGTERM ends this program as Ctrl-C does: what it started ends with it, where it would else be left running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def adopt_orphans() -> None:
    """From now on a process below us whose parent ends is our child."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(result: Path, log: Path, limit: float, command: Sequence[str]) -> None:
    """Be the measuring process: run the command, reap everything, write the Cost as JSON."""
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
    """Wait for everything the command left behind, for GRACE seconds; end the rest. Returns how many had to be ended."""
    deadline, ended = time.monotonic() + GRACE, 0
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
                deadline += GRACE


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[5:])

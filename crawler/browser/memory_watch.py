"""Limits the memory of the browser's processes."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

MAX_PROCESS_BYTES = 640 * 1024 * 1024  # resident, of one process; a news page has 100 to 250 MB
MAX_BROWSER_BYTES = 2 * 1024 * 1024 * 1024  # resident, of all processes of the browser


class MemoryWatch:
    """Kills the processes of Chromium that use too much memory. Linux only: other systems have no /proc."""

    def __init__(self) -> None:
        self.kills: list[str] = []  # reasons, newest last

    def check(self) -> None:
        """Kill each process above MAX_PROCESS_BYTES, and the largest if all together are above MAX_BROWSER_BYTES."""
        sizes = {pid: _resident_bytes(pid) for pid in find_browser_processes(os.getpid())}
        for pid, size in sizes.items():
            if size > MAX_PROCESS_BYTES:
                self._kill(pid, f"more than {MAX_PROCESS_BYTES >> 20} MB of memory")
        if sum(sizes.values()) > MAX_BROWSER_BYTES:
            self._kill(max(sizes, key=sizes.__getitem__), f"all pages together more than {MAX_BROWSER_BYTES >> 20} MB of memory")

    def _kill(self, pid: int, reason: str) -> None:
        self.kills.append(reason)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def find_browser_processes(root: int) -> list[int]:
    """The ids of the Chromium processes below process `root`: those below its child processes that have a `--type`, as renderers do."""
    children = defaultdict(list)
    for pid in _process_ids():
        children[_parent(pid)].append(pid)
    below, new = set[int](), [root]
    while new:
        new = [child for pid in new for child in children[pid] if child not in below]
        below.update(new)
    return sorted(pid for pid in below if b"--type=" in _read(pid, "cmdline"))


def _process_ids() -> list[int]:
    proc = Path("/proc")
    return [int(path.name) for path in proc.iterdir() if path.name.isdecimal()] if proc.is_dir() else []


def _parent(pid: int) -> int | None:
    """The parent's id; None when the process has ended."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None


def _resident_bytes(pid: int) -> int:
    fields = _read(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE") if len(fields) > 1 else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""

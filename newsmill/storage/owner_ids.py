"""Owner ids, which tell whether the process that holds a lease is dead."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

PROC = Path("/proc")
BOOT = Path("/proc/sys/kernel/random/boot_id")
STATE, STARTED = 0, 19  # fields of /proc/PID/stat after the command's name; proc(5)
_ENDED_STATES = ("Z", "X")  # states of a process that has ended


def make_owner_id() -> str:
    """A new owner id of this process; each call returns another one."""
    pid = os.getpid()
    try:
        started = _stat(pid)[STARTED]
    except OSError:
        started = "0"
    return f"{socket.gethostname()}:{pid}:{_process_table()}.{started}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether the owner's process has certainly ended. False if that is unknown."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or not parts[1].isdecimal():
        return False
    place, _, started = parts[2].partition(".")
    if not place or place != _process_table() or started in ("", "0"):
        return False
    pid = int(parts[1])
    try:
        fields = _stat(pid)
    except OSError:
        return not _exists(pid)
    return fields[STATE] in _ENDED_STATES or fields[STARTED] != started


def _process_table() -> str:
    """The id of this process table; empty if it has none."""
    try:
        table = str(Path("/proc/self/ns/pid").readlink())
        boot = BOOT.read_text().strip()
    except OSError:
        return ""
    return hashlib.blake2b(f"{socket.gethostname()} {boot} {table}".encode(), digest_size=6).hexdigest()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat. Raises OSError if the process does not exist or /proc hides it."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _exists(pid: int) -> bool:
    """Whether there is a process with this id, of any user."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):  # OverflowError: no process id is so large
        return False
    return True

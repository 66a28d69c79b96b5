"""Names for those who hold leases, from which another process of the same machine can tell that they are dead.

A name is `host:process id:place.start:random`. `place` stands for one process table (this boot of this kernel, this container): only there
do process id and start time say anything. Elsewhere, and where there is no /proc, nobody is ever called dead: the lease's end decides.
A /proc with `hidepid` hides the processes of other users; whoever lives there is not called dead either.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

PROC = Path("/proc")
BOOT = Path("/proc/sys/kernel/random/boot_id")
STATE, STARTED = 0, 19  # fields of /proc/PID/stat after the command's name; proc(5)
_REMAINS = ("Z", "X")  # states of a process that has ended


def make_owner_id() -> str:
    """A name for this process, another one at each call."""
    pid = os.getpid()
    try:
        started = _stat(pid)[STARTED]
    except OSError:
        started = "0"
    return f"{socket.gethostname()}:{pid}:{_place()}.{started}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether that process is certainly gone. False whenever it cannot be told."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or not parts[1].isdecimal():
        return False
    place, _, started = parts[2].partition(".")
    if not place or place != _place() or started in ("", "0"):
        return False
    pid = int(parts[1])
    try:
        fields = _stat(pid)
    except OSError:
        return not _exists(pid)
    return fields[STATE] in _REMAINS or fields[STARTED] != started


def _place() -> str:
    """The process table we are in; empty where it has no name."""
    try:
        table = str(Path("/proc/self/ns/pid").readlink())
        boot = BOOT.read_text().strip()
    except OSError:
        return ""
    return hashlib.blake2b(f"{socket.gethostname()} {boot} {table}".encode(), digest_size=6).hexdigest()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat. Raises OSError where there is no such process, or /proc hides it."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _exists(pid: int) -> bool:
    """Whether there is a process with this id, be it another user's."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):  # OverflowError: no process id is so large
        return False
    return True

"""Names for those who hold leases, from which another process of the same machine can tell that they are dead.

A name is `host:process id:place.start:random`. `place` stands for one process table (this boot of this kernel, this container): only there
do process id and start time say anything. Elsewhere, and where there is no /proc, nobody is ever called dead: the lease's end decides.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
STATE, STARTED = 0, 19  # fields of /proc/PID/stat after the command's name; proc(5)


def new_owner() -> str:
    """A name for this process, another one at each call."""
    started = _started(os.getpid())
    return f"{socket.gethostname()}:{os.getpid()}:{_place()}.{started or 0}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether that process is certainly gone. False whenever it cannot be told."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or not parts[1].isdigit():
        return False
    place, _, started = parts[2].partition(".")
    if not place or place != _place() or started in ("", "0"):
        return False
    return str(_started(int(parts[1]))) != started


def _place() -> str:
    """The process table we are in; empty where it has no name."""
    try:
        table = str(Path("/proc/self/ns/pid").readlink())
        boot = BOOT.read_text().strip()
    except OSError:
        return ""
    return hashlib.blake2b(f"{socket.gethostname()} {boot} {table}".encode(), digest_size=6).hexdigest()


def _started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; None when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[STATE] in ("Z", "X") else int(fields[STARTED])

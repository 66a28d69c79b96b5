"""Limits that a process puts on itself: CPU time, memory, what its parent and its neighbours see."""

from __future__ import annotations

import ctypes
import re
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4  # linux/prctl.h
# What a child needs of our environment: how to find Python and its libraries, the cache folder, and the language of messages.
ENVIRONMENT_PATTERN = re.compile(r"PATH|HOME|XDG_CACHE_HOME|LANG|LC_\w+|TZ|TMPDIR|(DY)?LD_LIBRARY_PATH|PYTHON\w+")


def peak_resident() -> int:
    """The most bytes of resident memory that this process ever had; it costs a fortieth of `measure_memory`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    virtual: int
    resident: int


def measure_memory() -> Memory:
    """What this process has now; on macOS, which has no /proc, the most it ever had."""
    if sys.platform == "linux":
        virtual, resident = (int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text().split()[:2])
        return Memory(virtual, resident)
    return Memory(0, peak_resident())


def limit_cpu(seconds: float | None) -> None:
    """Have the kernel kill this process after `seconds` more of CPU time, also inside a C library. None removes the limit.

    CPU time, because a busy machine lengthens the wall time of a page without a bound, and its CPU time to about the double.
    Not RLIMIT_CPU: it knows whole seconds only and would have to be raised for each page. It counts ticks and getrusage(2) run time, and
    the two drift apart by 4 %: after 12,000 pages it kills an innocent one.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds or 0.0)  # nobody handles SIGPROF, so it kills


def limit_memory(max_bytes: int) -> None:
    """Limit the address space to `max_bytes` more than now. Linux only.

    More than now: numpy maps tens of MB for every core of the machine, which must not count against a page.
    """
    if sys.platform == "linux":
        limit = measure_memory().virtual + max_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Linux only. Elsewhere an idle child leaves when its connection closes, and a looping one when its CPU time is up.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def filter_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a child may see: no passwords of databases and stores."""
    return {name: value for name, value in environ.items() if ENVIRONMENT_PATTERN.fullmatch(name)}


def restrict_proc_access() -> None:
    """Close this process's /proc entries (environment, memory, open files) to other processes of the same user. Linux only.

    The children's own environment is filtered, but without this they could read ours.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)

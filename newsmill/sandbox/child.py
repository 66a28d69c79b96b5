"""The child's side of the sandbox: limits of a process that parses hostile bytes, its messages, and the loop that serves requests.

`parent.ChildProcess` starts the child, from a fork server or as a new interpreter. A request is two byte strings, a head and a body.
The child answers with one or more responses. This module imports little, because every child loads it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import os
import re
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Handler = Callable[[bytes, bytes], Iterable[bytes]]  # the head and the body of a request → its responses

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4  # linux/prctl.h
# What a child needs of our environment: how to find Python and its libraries, the cache folder, and the language of messages.
ENVIRONMENT_PATTERN = re.compile(r"PATH|HOME|XDG_CACHE_HOME|LANG|LC_\w+|TZ|TMPDIR|(DY)?LD_LIBRARY_PATH|PYTHON\w+")
GC_THRESHOLD = 20_000  # new objects between two collections; Python's 700 costs 7 % of a page, which makes many objects and hardly a cycle
MAX_REASON_BYTES = 500

REQUEST = struct.Struct(">dII")  # seconds of CPU time, length of the head, length of the body; head and body follow
RESPONSE = struct.Struct(">cI")  # kind, length of the payload; the payload follows
# Kinds of messages from the child.
READY = b"i"  # the child has started and waits for the first request
PART = b"p"  # a response; another one follows
LAST = b"r"  # the last response to a request; the child waits for the next one
FINAL = b"l"  # the same, but the child has grown too large and exits
CRASHED = b"d"  # the reason is the payload; the child exits


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost. An ordinary page takes 0.03 s and 95 MB; 4.5 MB of plain paragraphs take 10 to 13 s."""

    wall: float = 30.0  # seconds from the request to the first response, and for each further one
    cpu: float = 20  # seconds; a request may have a lower limit of its own
    memory: int = 768 << 20  # bytes of address space on top of what the idle child has
    growth: int = 256 << 20  # bytes of resident memory that a child may gain before it is replaced
    response: int = 64 << 20  # bytes of one response: a page has at most 10 MB, and every block of it comes back at most twice
    nice: int = 0  # added to the niceness of the process: 19 leaves the CPU to every other process


def serve(connection: socket.socket, make_handler: str, arguments: Sequence[str], limits: Limits) -> None:
    """Handle requests until the parent closes the connection, the memory has grown too far, or a request kills this process.

    `make_handler` ("package.module:function") is called with `arguments` and returns the handler.
    """
    die_with_parent()
    os.nice(limits.nice)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    logging.getLogger().addHandler(logging.NullHandler())  # complaints of libraries are about the input and do not belong in the log
    handle: Handler = load_function(make_handler)(*arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(limits.memory)
    gc.set_threshold(GC_THRESHOLD)
    max_resident = _memory().resident + limits.growth
    with suppress(EOFError, ConnectionError):  # the parent closed the connection, or died
        kind = LAST
        _send(connection, READY)
        while kind == LAST:
            cpu_seconds, head_length, body_length = REQUEST.unpack(_receive(connection, REQUEST.size))
            head, body = _receive(connection, head_length), _receive(connection, body_length)
            limit_cpu(cpu_seconds)
            kind, payload = _respond(connection, handle, head, body)
            limit_cpu(None)
            if kind == LAST and _peak_resident() > max_resident and _memory().resident > max_resident:
                kind = FINAL
            _send(connection, kind, payload)


def load_function(name: str) -> Callable[..., Any]:
    """The function named `package.module:function`."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


# ---- limits of this process


def limit_cpu(seconds: float | None) -> None:
    """Have the kernel kill this process after `seconds` more of CPU time, also inside a C library. None removes the limit.

    CPU time, because a busy machine makes no page longer. Not RLIMIT_CPU: it knows whole seconds only and would have to be raised for
    each page. It counts ticks and getrusage(2) run time, and the two drift apart by 4 %: after 12,000 pages it kills an innocent one.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds or 0.0)  # nobody handles SIGPROF, so it kills


def limit_memory(max_bytes: int) -> None:
    """Limit the address space to `max_bytes` more than now. Linux only.

    More than now: numpy maps tens of MB for every core of the machine, which must not count against a page.
    """
    if sys.platform == "linux":
        limit = _memory().virtual + max_bytes
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


# ---- one request


def _respond(connection: socket.socket, handle: Handler, head: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Send all responses to a request but the last, which is returned with its kind.

    The kind is LAST, or CRASHED with the error that the handler raised although it should not. A response is sent when the next one is
    known: so a request with one response costs one message.
    """
    last = b""
    try:
        for number, payload in enumerate(handle(head, body)):
            if number:
                _send(connection, PART, last)
            last = payload
    except ConnectionError:
        raise
    except MemoryError:
        return CRASHED, b"memory"
    except Exception as error:  # noqa: BLE001 — the border of the process: a bug in reading one page counts as a crash of that page
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        return CRASHED, reason.encode("utf-8", "replace")[:MAX_REASON_BYTES]
    return LAST, last


def _receive(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes. Raises EOFError or ConnectionError when the parent has closed the connection."""
    data = connection.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError
    return data


def _send(connection: socket.socket, kind: bytes, payload: bytes = b"") -> None:
    connection.sendall(RESPONSE.pack(kind, len(payload)) + payload)


def _peak_resident() -> int:
    """The most bytes of resident memory that this process ever had; it costs a fortieth of `_memory`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes."""

    virtual: int
    resident: int


def _memory() -> _Memory:
    """What this process has now; on macOS, which has no /proc, the most it ever had."""
    if sys.platform == "linux":
        virtual, resident = (int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text().split()[:2])
        return _Memory(virtual, resident)
    return _Memory(0, _peak_resident())


# ---- how a child starts


def _is_fork_server() -> bool:
    """Whether this process is a fork server: it runs `python -c "from multiprocessing.forkserver import main; main(…)"`."""
    forkserver = sys.modules.get("multiprocessing.forkserver")
    return forkserver is not None and getattr(sys.modules["__main__"], "main", None) is forkserver.main


if _is_fork_server():
    # The children's parent is the fork server, so it must die with the worker too, or a looping child would live on.
    die_with_parent()
    # A process group of its own: Ctrl-C, or a signal to the terminal's group, must not kill a page that is being read.
    os.setpgid(0, 0)

if __name__ == "__main__":  # a new interpreter: `python -m newsmill.sandbox.child MAKE_HANDLER FILE_DESCRIPTOR LIMITS [ARGUMENT ...]`
    serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[1], sys.argv[4:], Limits(**json.loads(sys.argv[3])))

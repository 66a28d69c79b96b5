"""The child's side of the sandbox: the loop of a process that parses hostile bytes, and its messages.

`parent.ChildProcess` starts the child, from a fork server or as a new interpreter. A request is two byte strings, a head and a body.
The child answers with one or more responses. This module imports little, because every child loads it.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newsmill.sandbox.process_limits import die_with_parent, limit_cpu, limit_memory, measure_memory, peak_resident

Handler = Callable[[bytes, bytes], Iterable[bytes]]  # the head and the body of a request → its responses

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
    max_resident = measure_memory().resident + limits.growth
    with suppress(EOFError, ConnectionError):  # the parent closed the connection, or died
        kind = LAST
        _send(connection, READY)
        while kind == LAST:
            cpu_seconds, head_length, body_length = REQUEST.unpack(_receive(connection, REQUEST.size))
            head, body = _receive(connection, head_length), _receive(connection, body_length)
            limit_cpu(cpu_seconds)
            kind, payload = _respond(connection, handle, head, body)
            limit_cpu(None)
            if kind == LAST and peak_resident() > max_resident and measure_memory().resident > max_resident:
                kind = FINAL
            _send(connection, kind, payload)


def load_function(name: str) -> Callable[..., Any]:
    """The function named `package.module:function`."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


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

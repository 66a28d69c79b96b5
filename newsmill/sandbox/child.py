"""The far side of the sandbox: what runs in the child that reads hostile pages, and in the fork server the children come from.

The fork server imports this module before it forks (sandbox._start); nothing here happens at import in any other process.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import multiprocessing.forkserver
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from newsmill.model import ExtractionResult, Page, Profile, Rules

PR_SET_PDEATHSIG = 1  # linux/prctl.h

PR_SET_DUMPABLE = 4

Reader = Callable[..., ExtractionResult]

# What a child that reads hostile bytes needs of our environment: how to find Python and its libraries, and the language of messages.
ENVIRONMENT_PATTERN = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|(DY)?LD_LIBRARY_PATH|PYTHON\w+")


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one page may cost. An ordinary page takes 0.03 s and 95 MB; 4.5 MB of plain paragraphs took 10 to 13 s (measured)."""

    wall: float = 30.0  # seconds
    cpu: int = 20  # seconds
    memory: int = 768 << 20  # bytes of address space on top of what the idle child has
    growth: int = 256 << 20  # bytes of resident memory a child may have gained before it is replaced


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """One page to read, with what its source says about it: the arguments of read.reader.read."""

    page: Page
    rules: Rules = field(default_factory=Rules)
    language: str | None = None
    first_seen_at: datetime | None = None
    profile: Profile | None = None
    known: str | None = None  # in place of a profile that the child was told before: its `profile_name`
    turn: float | None = None  # seconds of CPU after which it is cut short; None: the limit of all pages
    brief: bool = False  # the answer needs no blocks but the document's own: the others are ten times as many, and cost both sides
    again: bool = False  # the page was read before


GC_THRESHOLD = 20_000  # new objects between two collections, 7 % of a page's cost at Python's 700: a page makes many, and hardly a cycle
MAX_PROFILES = 32  # that a child remembers; a segment holds 32 pages


def profile_key(profile: Profile) -> str:
    """Which profile it is. Both sides of the pipe call it so."""
    return f"{profile.site} {profile.version}"


RESULT_ADAPTER: TypeAdapter[ExtractionResult] = TypeAdapter(ExtractionResult)
REQUEST_ADAPTER: TypeAdapter[ExtractionRequest] = TypeAdapter(ExtractionRequest)

# First byte of what the child says.
READY = b"i"  # I have started and wait for the first page
RESULT = b"r"  # the reading follows; give me the next page
LAST_RESULT = b"l"  # the reading follows; I have grown too large and am leaving
CRASHED = b"d"  # why I am dying follows


def serve(connection: Connection, reader: str, limits: Limits) -> None:
    """Read pages until the parent closes the pipe, the memory has grown too far, or a page kills us."""
    die_with_parent()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    logging.getLogger().addHandler(logging.NullHandler())  # what the extractors complain about belongs to the page, not to our log
    read = load_reader(reader)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # On top of what is mapped now: numpy maps tens of MB for every core of the machine, which is no page's fault.
        most = _memory().virtual + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    gc.set_threshold(GC_THRESHOLD)
    heaviest = _memory().resident + limits.growth
    profiles: dict[str, Profile] = {}
    with suppress(EOFError, ConnectionError):  # the parent closed the pipe, or died
        kind = RESULT
        connection.send_bytes(READY)
        while kind == RESULT:
            order = _with_profile(_next_order(connection), profiles)
            _start_turn(order.turn or limits.cpu)
            kind, answer = _answer(read, order)
            _start_turn(None)
            if kind == RESULT and _peak() > heaviest and _memory().resident > heaviest:
                kind = LAST_RESULT
            connection.send_bytes(kind + answer)


def load_reader(name: str) -> Reader:
    """The function named `package.module:function`."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


def to_json(adapter: TypeAdapter[Any], value: object) -> bytes:
    """`value` as JSON that every database takes: a lone surrogate becomes "?", and NUL goes (SQLite refuses the one, Postgres both)."""
    try:
        text = adapter.dump_json(value)
    except PydanticSerializationError:  # a lone surrogate; one page in thousands, so the slow way may be slow
        text = json.dumps(adapter.dump_python(value, mode="json"), ensure_ascii=False).encode("utf-8", "replace")
    return text if b"\\u0000" not in text else json.dumps(_without_nul(json.loads(text)), ensure_ascii=False).encode()


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Linux only. Elsewhere an idle child leaves when its pipe closes, and a looping one when its CPU time is up.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def filter_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Of an environment, what a child that reads hostile bytes may see: no passwords of databases and stores."""
    return {name: value for name, value in environ.items() if ENVIRONMENT_PATTERN.fullmatch(name)}


def restrict_proc_access() -> None:
    """Close our /proc entries (environment, memory, open files) to other processes of the same user, our children among them. Linux only.

    Their own environment is bare, but without this they could read ours.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def _next_order(connection: Connection) -> ExtractionRequest:
    """The next page: its description as JSON, then its body."""
    order = REQUEST_ADAPTER.validate_json(connection.recv_bytes())
    return replace(order, page=replace(order.page, body=connection.recv_bytes()))


def _with_profile(order: ExtractionRequest, profiles: dict[str, Profile]) -> ExtractionRequest:
    """The order with the profile it means. `sandbox.Sandbox` keeps the same list and empties it at the same moment."""
    if order.profile is not None:
        if len(profiles) >= MAX_PROFILES:
            profiles.clear()
        profiles[profile_key(order.profile)] = order.profile
        return order
    return order if order.known is None else replace(order, profile=profiles[order.known])


def _answer(read: Reader, order: ExtractionRequest) -> tuple[bytes, bytes]:
    """What to say about one page: its reading, or what the reader raised although it should not."""
    start = time.perf_counter()
    try:
        how = {"rules": order.rules, "language": order.language, "first_seen_at": order.first_seen_at, "profile": order.profile}
        reading = read(order.page, **how, brief=order.brief, again=order.again)
        return RESULT, to_json(RESULT_ADAPTER, replace(reading, seconds=round(time.perf_counter() - start, 4)))
    except MemoryError:
        return CRASHED, b"memory"
    except Exception as error:  # noqa: BLE001 — the job border: a bug in reading one page is that page's death, with its name
        place = traceback.extract_tb(error.__traceback__)[-1]
        sentence = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        return CRASHED, sentence.encode("utf-8", "replace")[:500]


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


def _peak() -> int:
    """The most bytes of resident memory this process ever held; asked with each page, at a fortieth of what `_memory` costs."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes."""

    virtual: int
    resident: int


def _memory() -> _Memory:
    """What this process holds now; on macOS, where /proc is missing, the most it ever held."""
    if sys.platform == "linux":
        virtual, resident = (int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text().split()[:2])
        return _Memory(virtual, resident)
    return _Memory(0, _peak())


def _start_turn(seconds: float | None) -> None:
    """From now on the kernel counts our CPU time, and ends us when that much is used, inside a C library too; None ends the counting.

    CPU time, because a machine busy with other work makes no page any longer. RLIMIT_CPU knows whole seconds only, and would have to
    move on with each page: it counts ticks, getrusage(2) tells run time, and the two drift apart by 4 %. After 12,000 pages an
    innocent one was killed.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds or 0.0)  # nobody handles SIGPROF, so it kills


def _in_fork_server() -> bool:
    """Whether this process is the fork server: it runs `python -c "from multiprocessing.forkserver import main; main(…)"`."""
    return getattr(sys.modules["__main__"], "main", None) is multiprocessing.forkserver.main


if _in_fork_server():
    # The children's parent is the fork server, so it must die with the worker too, or a looping child would live on (measured).
    die_with_parent()
    # A process group of its own: Ctrl-C, or a signal to the terminal's group, must not kill a page that is being read.
    os.setpgid(0, 0)

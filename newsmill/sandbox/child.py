"""The sandbox's child process, which reads hostile pages, and the fork server that the children come from.

The fork server imports this module before it forks (`parent._start_child`). In any other process the import has no effect.
A child gets each page in two messages, the request as JSON and the body, and answers with one: a kind of one byte and its payload.
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

Reader = Callable[..., ExtractionResult]

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4  # linux/prctl.h
# What a child needs of our environment: how to find Python and its libraries, and the language of messages.
ENVIRONMENT_PATTERN = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|(DY)?LD_LIBRARY_PATH|PYTHON\w+")
GC_THRESHOLD = 20_000  # new objects between two collections; Python's 700 costs 7 % of a page, which makes many objects and hardly a cycle
MAX_PROFILES = 32  # that a child keeps; a segment has 32 pages

# The first byte of an answer.
READY = b"i"  # the child has started and waits for the first page
RESULT = b"r"  # an ExtractionResult follows; the child waits for the next page
LAST_RESULT = b"l"  # an ExtractionResult follows; the child has grown too large and exits
CRASHED = b"d"  # the reason follows; the child exits


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one page may cost. An ordinary page takes 0.03 s and 95 MB; 4.5 MB of plain paragraphs take 10 to 13 s."""

    wall: float = 30.0  # seconds
    cpu: int = 20  # seconds
    memory: int = 768 << 20  # bytes of address space on top of what the idle child has
    growth: int = 256 << 20  # bytes of resident memory that a child may gain before it is replaced


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """One page to read, with what is known of its source: the arguments of `extraction.pipeline.read`."""

    page: Page
    rules: Rules = field(default_factory=Rules)
    language: str | None = None
    first_seen_at: datetime | None = None
    profile: Profile | None = None
    known_profile: str | None = None  # in place of a profile that the child has already: its `profile_key`
    cpu_seconds: float | None = None  # after which the child is killed; None: the limit of all pages
    brief: bool = False  # leave out the blocks that are not the document's: they are ten times as many and cost both sides
    is_reextraction: bool = False  # the page was read before


REQUEST_ADAPTER: TypeAdapter[ExtractionRequest] = TypeAdapter(ExtractionRequest)
RESULT_ADAPTER: TypeAdapter[ExtractionResult] = TypeAdapter(ExtractionResult)


def profile_key(profile: Profile) -> str:
    """The name under which both sides of the pipe keep a profile."""
    return f"{profile.site} {profile.version}"


def serve(connection: Connection, reader: str, limits: Limits) -> None:
    """Read pages until the parent closes the pipe, the memory has grown too far, or a page kills this process."""
    die_with_parent()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    logging.getLogger().addHandler(logging.NullHandler())  # the extractors' complaints are about the page and do not belong in the log
    read = load_reader(reader)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # On top of what is mapped now: numpy maps tens of MB for every core of the machine, which must not count against a page.
        max_bytes = _memory().virtual + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    gc.set_threshold(GC_THRESHOLD)
    max_resident = _memory().resident + limits.growth
    profiles: dict[str, Profile] = {}
    with suppress(EOFError, ConnectionError):  # the parent closed the pipe, or died
        kind = RESULT
        connection.send_bytes(READY)
        while kind == RESULT:
            request = _resolve_profile(_receive_request(connection), profiles)
            _limit_cpu(request.cpu_seconds or limits.cpu)
            kind, payload = _read(read, request)
            _limit_cpu(None)
            if kind == RESULT and _peak_resident() > max_resident and _memory().resident > max_resident:
                kind = LAST_RESULT
            connection.send_bytes(kind + payload)


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
    """The part of an environment that a child may see: no passwords of databases and stores."""
    return {name: value for name, value in environ.items() if ENVIRONMENT_PATTERN.fullmatch(name)}


def restrict_proc_access() -> None:
    """Close this process's /proc entries (environment, memory, open files) to other processes of the same user. Linux only.

    The children's own environment is filtered, but without this they could read ours.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def _receive_request(connection: Connection) -> ExtractionRequest:
    request = REQUEST_ADAPTER.validate_json(connection.recv_bytes())
    return replace(request, page=replace(request.page, body=connection.recv_bytes()))


def _resolve_profile(request: ExtractionRequest, profiles: dict[str, Profile]) -> ExtractionRequest:
    """The request with its profile. `parent.Sandbox` keeps the same profiles and clears them at the same moment."""
    if request.profile is not None:
        if len(profiles) >= MAX_PROFILES:
            profiles.clear()
        profiles[profile_key(request.profile)] = request.profile
        return request
    return request if request.known_profile is None else replace(request, profile=profiles[request.known_profile])


def _read(read: Reader, request: ExtractionRequest) -> tuple[bytes, bytes]:
    """The answer for one page: its result, or the error that the reader raised although it should not."""
    start = time.perf_counter()
    try:
        result = read(
            request.page,
            rules=request.rules,
            language=request.language,
            first_seen_at=request.first_seen_at,
            profile=request.profile,
            brief=request.brief,
            again=request.is_reextraction,
        )
        return RESULT, to_json(RESULT_ADAPTER, replace(result, seconds=round(time.perf_counter() - start, 4)))
    except MemoryError:
        return CRASHED, b"memory"
    except Exception as error:  # noqa: BLE001 — the border of the process: a bug in reading one page counts as a crash of that page
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        return CRASHED, reason.encode("utf-8", "replace")[:500]


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


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


def _limit_cpu(seconds: float | None) -> None:
    """Have the kernel kill this process after `seconds` more of CPU time, also inside a C library. None removes the limit.

    CPU time, because a busy machine makes no page longer. Not RLIMIT_CPU: it knows whole seconds only and would have to be raised for
    each page. It counts ticks and getrusage(2) run time, and the two drift apart by 4 %: after 12,000 pages it kills an innocent one.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds or 0.0)  # nobody handles SIGPROF, so it kills


def _in_fork_server() -> bool:
    """Whether this process is the fork server: it runs `python -c "from multiprocessing.forkserver import main; main(…)"`."""
    return getattr(sys.modules["__main__"], "main", None) is multiprocessing.forkserver.main


if _in_fork_server():
    # The children's parent is the fork server, so it must die with the worker too, or a looping child would live on.
    die_with_parent()
    # A process group of its own: Ctrl-C, or a signal to the terminal's group, must not kill a page that is being read.
    os.setpgid(0, 0)

"""The sandbox: pages are read in a child process that may crash, hang or use up memory without harm to this one.

Each Sandbox has one persistent child, fed page by page over a pipe (`child` describes the messages), so a crash has one guilty page.
The child is killed from outside at its deadline, because no alarm interrupts a C library. A fork server with the extractors loaded
replaces it in 0.05 to 0.08 s. An answer is JSON and is validated: a process that parses hostile pages must not send pickles.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import TracebackType
from typing import TypeVar

from pydantic import ValidationError

from newsmill.exceptions import NewsmillError
from newsmill.model import ExtractionResult, Page, Profile, Rules
from newsmill.sandbox.child import (
    CRASHED,
    LAST_RESULT,
    MAX_PROFILES,
    REQUEST_ADAPTER,
    RESULT_ADAPTER,
    ExtractionRequest,
    Limits,
    filter_environment,
    profile_key,
    serve,
    to_json,
)

__all__ = ["DEFAULT_READER", "ExtractionRequest", "Limits", "Sandbox", "SandboxCrash", "read_all"]

DEFAULT_READER = "newsmill.extraction.pipeline:read"
PRELOAD_MODULE = "newsmill.sandbox.preload"  # loads what DEFAULT_READER loads at its first page
START_SECONDS = 60.0  # importing the extractors takes half a second; the rest is for a machine that swaps
SLOW_SECONDS = 0.2  # ten times what an ordinary page of an unknown site takes
WARMUP_PAGES = 20  # a child's first pages take up to twice as long, because what they touch is copied or loaded first
MAX_START_ATTEMPTS = 3  # the fork server may be killed while it starts a child
MAX_ANSWER_BYTES = 64 << 20  # a body has at most 10 MB, and every block of it comes back at most twice

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class SandboxCrash:
    """Reading a page ended the child: at which stage, and why ("signal 11 (SIGSEGV)", "deadline 30 s", "memory").

    `cpu_seconds`: the limit of CPU time that the page used up. It would do so again, however busy the machine is.
    """

    stage: str
    reason: str
    cpu_seconds: float | None = None


class Sandbox:
    """One child process under hard limits, as a context manager.

    Use it from one thread that lives as long as the sandbox: the kernel kills the children when the thread that started them ends.
    """

    def __init__(self, limits: Limits | None = None, reader: str = DEFAULT_READER) -> None:
        self.limits = limits or Limits()
        self.reader = reader
        self._child: tuple[ForkServerProcess, Connection] | None = None
        self._deadline = 0.0  # time.monotonic() of the page in progress
        self._cpu_seconds: float | None = None  # limit of the page in progress
        self._pages_sent = 0  # to this child
        self._is_answer_pending = False
        self._sent_profiles: dict[str, Profile] = {}  # the child keeps each profile, so it is sent once and not with every page

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def read(
        self,
        page: Page,
        rules: Rules | None = None,
        language: str | None = None,
        first_seen_at: datetime | None = None,
        profile: Profile | None = None,
        *,
        brief: bool = False,
        is_reextraction: bool = False,
        cpu_seconds: float | None = None,
        on_slow: Callable[[], object] | None = None,
    ) -> ExtractionResult | SandboxCrash:
        """Read one page. A page that ends the child is a value.

        `brief`: leave out the blocks that are not the document's. `is_reextraction`: the page was read before.
        `cpu_seconds`: a limit of CPU time below that of all pages; twice as much in a child's first pages.
        `on_slow`: called once if there is no answer after SLOW_SECONDS.
        Raises NewsmillError when no child can be started.
        """
        self.send(
            ExtractionRequest(
                page,
                rules or Rules(),
                language,
                first_seen_at,
                profile,
                cpu_seconds=cpu_seconds,
                brief=brief,
                is_reextraction=is_reextraction,
            )
        )
        return self.receive(on_slow)

    def start(self) -> Connection:
        """Start the child if there is none, so that the first page need not wait; the pipe to it."""
        if self._child is None:
            self._child = _start_child(self.reader, self.limits)
        return self._child[1]

    def send(self, request: ExtractionRequest) -> Connection:
        """Send a page to the child; the pipe on which its answer will come. `receive` must follow."""
        if self._is_answer_pending:  # the caller gave up on the last answer, which must not be mistaken for this page's
            self._end_child()
        self._pages_sent += 1
        if request.cpu_seconds is not None:
            factor = 2 if self._pages_sent <= WARMUP_PAGES else 1
            request = replace(request, cpu_seconds=min(factor * request.cpu_seconds, float(self.limits.cpu)))
        try:
            pipe = self._write(request)
        except OSError:  # the child was killed while it was idle: not this page's fault
            self._end_child()
            pipe = self._write(request)
        self._deadline, self._cpu_seconds = time.monotonic() + self.limits.wall, request.cpu_seconds
        self._is_answer_pending = True
        return pipe

    def receive(self, on_slow: Callable[[], object] | None = None) -> ExtractionResult | SandboxCrash:
        """Wait for the answer until the deadline."""
        assert self._child is not None
        pipe = self._child[1]
        has_answer = pipe.poll(max(0.0, self.seconds_left()) if on_slow is None else SLOW_SECONDS)
        if not has_answer and on_slow is not None:
            on_slow()
            has_answer = pipe.poll(max(0.0, self.seconds_left()))
        if not has_answer:
            self._end_child()
            return SandboxCrash("read", f"deadline {self.limits.wall:g} s")
        try:
            answer = pipe.recv_bytes(MAX_ANSWER_BYTES)
        except (EOFError, OSError):
            return self._describe_exit(self._end_child(timeout=START_SECONDS))
        self._is_answer_pending = False
        return self._parse_answer(answer[:1], answer[1:])

    def seconds_left(self) -> float:
        """Until the deadline of the page in progress."""
        return self._deadline - time.monotonic()

    def close(self) -> None:
        """End the child."""
        self._end_child()

    def _write(self, request: ExtractionRequest) -> Connection:
        pipe = self.start()
        pipe.send_bytes(to_json(REQUEST_ADAPTER, self._replace_profile(replace(request, page=replace(request.page, body=b"")))))
        pipe.send_bytes(request.page.body)
        return pipe

    def _replace_profile(self, request: ExtractionRequest) -> ExtractionRequest:
        """The request with only the key of a profile that this child has already."""
        if request.profile is None:
            return request
        key = profile_key(request.profile)
        if self._sent_profiles.get(key) is request.profile:
            return replace(request, profile=None, known_profile=key)
        if len(self._sent_profiles) >= MAX_PROFILES:
            self._sent_profiles.clear()
        self._sent_profiles[key] = request.profile
        return request

    def _parse_answer(self, kind: bytes, payload: bytes) -> ExtractionResult | SandboxCrash:
        if kind in (LAST_RESULT, CRASHED):
            self._end_child()
        if kind == CRASHED:
            return SandboxCrash("read", payload.decode("utf-8", "replace"))
        try:
            return RESULT_ADAPTER.validate_json(payload)
        except ValidationError as error:
            self._end_child()
            return SandboxCrash("answer", f"{error.error_count()} fields of the answer are not what they should be")

    def _end_child(self, timeout: float = 0.0) -> int | None:
        """Wait `timeout` seconds for the child to exit, then kill it; its exit code."""
        if self._child is None:
            return None
        process, pipe = self._child
        self._child = None
        self._sent_profiles.clear()
        self._pages_sent = 0
        self._is_answer_pending = False
        pipe.close()
        process.join(timeout)
        process.kill()
        process.join()
        code = process.exitcode
        process.close()
        return code

    def _describe_exit(self, code: int | None) -> SandboxCrash:
        """The crash with an exit code. When the fork server dies with its child, the code is unknown and given as 255."""
        if code is None or code >= 0:
            return SandboxCrash("read", f"exit {code}")
        if code == -signal.SIGPROF:
            seconds = self._cpu_seconds or self.limits.cpu
            return SandboxCrash("read", f"deadline {seconds:g} s of CPU", seconds)
        return SandboxCrash("read", f"signal {-code} ({signal.Signals(-code).name})")


def _start_child(reader: str, limits: Limits) -> tuple[ForkServerProcess, Connection]:
    """A child that is ready for its first page. The fork server keeps our Redis and SQL sockets out of it."""
    context = multiprocessing.get_context("forkserver")
    # Importing the reader imports the extractors, once for all children. `child` comes first: it makes the fork server die with us.
    # A process has one fork server, so that it serves every reader, also one that another sandbox of this process asks for later.
    context.set_forkserver_preload(["newsmill.sandbox.child", reader.partition(":")[0], PRELOAD_MODULE])
    for _ in range(MAX_START_ATTEMPTS):
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, reader, limits), daemon=True)
        try:
            with _filtered_environment():
                process.start()  # with the fork server, if there is none yet
            theirs.close()
            if ours.poll(START_SECONDS):
                ours.recv_bytes()
                return process, ours
            process.kill()
        except (EOFError, OSError):  # the child or the fork server was killed as it started; multiprocessing starts another server
            theirs.close()
        ours.close()
        time.sleep(0.2)  # a server that is being killed still accepts requests
    raise NewsmillError(f"the child process that reads pages ({reader}) could not be started; see its own message above")


@contextmanager
def _filtered_environment() -> Iterator[None]:
    """Inside the block a new process gets the filtered environment, the fork server and with it all of its children.

    multiprocessing hands on the environment as C has it. Python's own copy, which other threads may read, stays whole.
    """
    ours = dict(os.environ)
    hidden = ours.items() - filter_environment(ours).items()
    for name, _ in hidden:
        os.unsetenv(name)
    try:
        yield
    finally:
        for name, value in hidden:
            os.putenv(name, value)


def read_all(
    requests: Iterable[tuple[Key, ExtractionRequest]], *, processes: int = 1, limits: Limits | None = None, reader: str = DEFAULT_READER
) -> Iterator[tuple[Key, ExtractionResult | SandboxCrash]]:
    """Read many pages in `processes` children, in the order given; each result has the key of its request.

    One child answers before the next page is requested, so a program may feed it line by line. Several children get up to four pages each
    in advance.
    """
    boxes = [Sandbox(limits, reader) for _ in range(processes)]
    max_pending = 1 if processes == 1 else 4 * processes
    remaining = iter(requests)
    idle, busy = list(boxes), dict[Connection, tuple[Sandbox, int]]()
    results, keys, first = dict[int, ExtractionResult | SandboxCrash](), deque[Key](), 0
    try:
        while True:
            while idle and len(keys) < max_pending and (item := next(remaining, None)) is not None:
                key, request = item
                box = idle.pop()
                busy[box.send(request)] = box, first + len(keys)
                keys.append(key)
            if not keys:
                return
            timeout = min((box.seconds_left() for box, _ in busy.values()), default=0.0)
            ready = wait(list(busy), max(0.0, timeout))
            for pipe in [pipe for pipe, (box, _) in busy.items() if pipe in ready or box.seconds_left() <= 0]:
                box, number = busy.pop(pipe)
                results[number] = box.receive()
                idle.append(box)
            while first in results:
                yield keys.popleft(), results.pop(first)
                first += 1
    finally:
        for box in boxes:
            box.close()

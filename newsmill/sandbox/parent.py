"""Runs read/ in a child process that may crash, hang or eat memory without harm to us. Decides nothing about what a death means.

One persistent child per Sandbox, fed page by page over a pipe: the guilty page is the one in hand. It is killed from outside at its
deadline, because no alarm interrupts a C library, and replaced in 0.05 to 0.08 s by a fork of a server that has the extractors loaded.
What comes back is JSON and is validated: never unpickle what a parser of hostile pages wrote.
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
PRELOAD_MODULE = "newsmill.sandbox.preload"  # loads what READER loads at its first page
START_SECONDS = 60.0  # importing the extractors takes half a second; the rest is for a machine that swaps
SLOW_SECONDS = 0.2  # seconds; ten times what an ordinary page of an unknown site takes
WARMUP_PAGES = 20  # pages; a child's first ones take up to twice as long, because what they touch is copied or loaded first (measured)
MAX_START_ATTEMPTS = 3  # tries; the fork server may be killed in the very moment it is asked for a child (seen under random kills)
MAX_ANSWER_BYTES = 64 << 20  # bytes; a body is at most 10 MB, and every block of it comes back at most twice

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class SandboxCrash:
    """Reading a page killed the child: in which stage, and how ("signal 11 (SIGSEGV)", "deadline 30 s", "memory")."""

    stage: str
    reason: str
    cpu: float | None = None  # seconds of CPU time that it was given and used up: it would do so again, however busy the machine


class Sandbox:
    """One child process under hard limits, as a context manager.

    Use it from one thread that lives as long as the sandbox: the kernel kills the children when the thread that started them ends.
    """

    def __init__(self, limits: Limits | None = None, reader: str = DEFAULT_READER) -> None:
        self.limits = limits or Limits()
        self.reader = reader
        self._child: tuple[ForkServerProcess, Connection] | None = None
        self._deadline = 0.0
        self._turn: float | None = None
        self._pages = 0  # that the child was given
        self._owes = False  # the child has a page whose answer was not taken yet
        self._told: dict[str, Profile] = {}  # what the child knows: it is told each profile once, not with every page

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
        again: bool = False,
        turn: float | None = None,
        when_slow: Callable[[], object] | None = None,
    ) -> ExtractionResult | SandboxCrash:
        """Read one page; `brief`: without the blocks that are not the document's; `again`: it was read before; `turn`: in so many seconds
        of CPU, if not the limit's (in twice as many while the child is young); `when_slow` is called once if there is no answer after
        SLOW seconds.

        A page that kills the child is a value; NewsmillError is raised when no child can be started.
        """
        self.begin(ExtractionRequest(page, rules or Rules(), language, first_seen_at, profile, turn=turn, brief=brief, again=again))
        return self.finish(when_slow)

    def start(self) -> Connection:
        """Start the child if there is none, so that the first page need not wait; the pipe to it."""
        if self._child is None:
            self._child = _start(self.reader, self.limits)
        return self._child[1]

    def begin(self, order: ExtractionRequest) -> Connection:
        """Hand a page to the child; the pipe on which its answer will come. `finish` must follow."""
        if self._owes:  # whoever waited for the last answer gave up, and it must not be taken for this page's
            self._end_child()
        order = replace(order, turn=self._fair(order.turn))
        try:
            pipe = self._send(order)
        except OSError:  # the child was killed while it was idle: not this page's fault
            self._end_child()
            pipe = self._send(order)
        self._deadline, self._turn = time.monotonic() + self.limits.wall, order.turn
        self._owes = True
        return pipe

    def finish(self, when_slow: Callable[[], object] | None = None) -> ExtractionResult | SandboxCrash:
        """Wait for the answer until the deadline."""
        assert self._child is not None
        pipe = self._child[1]
        answered = pipe.poll(max(0.0, self.seconds_left()) if when_slow is None else SLOW_SECONDS)
        if not answered and when_slow is not None:
            when_slow()
            answered = pipe.poll(max(0.0, self.seconds_left()))
        if not answered:
            self._end_child()
            return SandboxCrash("read", f"deadline {self.limits.wall:g} s")
        try:
            answer = pipe.recv_bytes(MAX_ANSWER_BYTES)
        except (EOFError, OSError):
            return self._death(self._end_child(patience=START_SECONDS))
        self._owes = False
        return self._understand(answer[:1], answer[1:])

    def seconds_left(self) -> float:
        """Until the deadline of the page in hand."""
        return self._deadline - time.monotonic()

    def close(self) -> None:
        """Let the child go."""
        self._end_child()

    def _fair(self, turn: float | None) -> float | None:
        """A turn for the child as it is."""
        self._pages += 1
        return None if turn is None else min(turn * (1 + (self._pages <= WARMUP_PAGES)), float(self.limits.cpu))

    def _send(self, order: ExtractionRequest) -> Connection:
        pipe = self.start()
        pipe.send_bytes(to_json(REQUEST_ADAPTER, self._brief(replace(order, page=replace(order.page, body=b"")))))
        pipe.send_bytes(order.page.body)
        return pipe

    def _brief(self, order: ExtractionRequest) -> ExtractionRequest:
        """The order with the mere name of a profile that this child was told before."""
        if order.profile is None:
            return order
        name = profile_key(order.profile)
        if self._told.get(name) is order.profile:
            return replace(order, profile=None, known=name)
        if len(self._told) >= MAX_PROFILES:
            self._told.clear()
        self._told[name] = order.profile
        return order

    def _understand(self, kind: bytes, payload: bytes) -> ExtractionResult | SandboxCrash:
        if kind in (LAST_RESULT, CRASHED):
            self._end_child()
        if kind == CRASHED:
            return SandboxCrash("read", payload.decode("utf-8", "replace"))
        try:
            return RESULT_ADAPTER.validate_json(payload)
        except ValidationError as error:
            self._end_child()
            return SandboxCrash("answer", f"{error.error_count()} fields of the answer are not what they should be")

    def _end_child(self, patience: float = 0.0) -> int | None:
        """Wait `patience` seconds for the child to end by itself, then kill it; its exit code."""
        if self._child is None:
            return None
        process, pipe = self._child
        self._child = None
        self._told.clear()
        self._pages = 0
        self._owes = False
        pipe.close()
        process.join(patience)
        process.kill()
        process.join()
        code = process.exitcode
        process.close()
        return code

    def _death(self, code: int | None) -> SandboxCrash:
        """In words. When the fork server dies with its child the true code is unknown, and says 255: any code counts as one death."""
        if code is None or code >= 0:
            return SandboxCrash("read", f"exit {code}")
        if code == -signal.SIGPROF:
            seconds = self._turn or self.limits.cpu
            return SandboxCrash("read", f"deadline {seconds:g} s of CPU", seconds)
        return SandboxCrash("read", f"signal {-code} ({signal.Signals(-code).name})")


def _start(reader: str, limits: Limits) -> tuple[ForkServerProcess, Connection]:
    """A child that is ready for its first page. The fork server keeps our Redis and SQL sockets out of it."""
    context = multiprocessing.get_context("forkserver")
    # Importing the reader imports the extractors, once for all children. sandbox_child first: it ties the fork server to our life.
    warm = [PRELOAD_MODULE] if reader == DEFAULT_READER else []
    context.set_forkserver_preload(["newsmill.sandbox.child", reader.partition(":")[0], *warm])
    for _ in range(MAX_START_ATTEMPTS):
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, reader, limits), daemon=True)
        try:
            with _bare():
                process.start()  # with the fork server, if there is none yet
            theirs.close()
            if ours.poll(START_SECONDS):
                ours.recv_bytes()
                return process, ours
            process.kill()
        except (EOFError, OSError):  # killed as it started, or the fork server was: multiprocessing starts another one
            theirs.close()
        ours.close()
        time.sleep(0.2)  # a server killed this very moment still takes orders
    raise NewsmillError(f"the child process that reads pages ({reader}) could not be started; its own message stands above")


@contextmanager
def _bare() -> Iterator[None]:
    """Inside the block a new process gets the environment that children may see: the fork server takes it for itself and all of them.

    multiprocessing hands on the environment as C has it; Python's own copy, which others of our threads may look at, stays whole.
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
    orders: Iterable[tuple[Key, ExtractionRequest]], *, processes: int = 1, limits: Limits | None = None, reader: str = DEFAULT_READER
) -> Iterator[tuple[Key, ExtractionResult | SandboxCrash]]:
    """Read many pages in `processes` children, in the order given; each with the key it came with.

    One child answers before the next page is asked for, so a program may feed it line by line; several look up to four pages each ahead.
    """
    boxes = [Sandbox(limits, reader) for _ in range(processes)]
    ahead = 1 if processes == 1 else 4 * processes
    pages = iter(orders)
    idle, busy = list(boxes), dict[Connection, tuple[Sandbox, int]]()
    results, keys, first = dict[int, ExtractionResult | SandboxCrash](), deque[Key](), 0
    try:
        while True:
            while idle and len(keys) < ahead and (next_page := next(pages, None)) is not None:
                box = idle.pop()
                busy[box.begin(next_page[1])] = box, first + len(keys)
                keys.append(next_page[0])
            if not keys:
                return
            timeout = min((box.seconds_left() for box, _ in busy.values()), default=0.0)
            ready = wait(list(busy), max(0.0, timeout))
            for pipe in [pipe for pipe, (box, _) in busy.items() if pipe in ready or box.seconds_left() <= 0]:
                box, number = busy.pop(pipe)
                results[number] = box.finish()
                idle.append(box)
            while first in results:
                yield keys.popleft(), results.pop(first)
                first += 1
    finally:
        for box in boxes:
            box.close()

"""The sandbox of pages: extraction runs in a child process under limits. A page that ends the child is a value, not an error.

This is the parent's side, `page_handler` is the child's. The fork server has the extractors loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import wait
from types import TracebackType
from typing import TypeVar

from pydantic import ValidationError

from newsmill.extraction.rendered_page import choose_body
from newsmill.model import ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Rules
from newsmill.sandbox import parent
from newsmill.sandbox.child import Limits
from newsmill.sandbox.page_messages import (
    MAX_PROFILES,
    REQUEST_ADAPTER,
    RESULT_ADAPTER,
    ExtractionRequest,
    detach_bodies,
    profile_key,
    to_json,
)
from newsmill.sandbox.parent import ChildCrashError, ChildProcess

DEFAULT_READER = "newsmill.extraction.pipeline:read"
HANDLER = "newsmill.sandbox.page_handler:PageHandler"
PRELOAD_MODULE = "newsmill.sandbox.preload"  # loads what DEFAULT_READER loads at its first page
SLOW_SECONDS = 0.2  # ten times what an ordinary page of an unknown site takes
WAIT_SECONDS = 5.0  # between two calls of `on_wait`, which renews a lease of 60 s

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
    """One child process that reads pages, as a context manager.

    Use it from one thread that lives as long as the sandbox (see `ChildProcess`).
    """

    def __init__(self, limits: Limits | None = None, reader: str = DEFAULT_READER) -> None:
        self.limits = limits or Limits()
        self.child = ChildProcess(HANDLER, (reader,), limits=self.limits, preload=_list_preload(reader))
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
        text_before: str | None = None,
        cpu_seconds: float | None = None,
        on_slow: Callable[[], object] | None = None,
        on_wait: Callable[[], object] | None = None,
    ) -> ExtractionResult | SandboxCrash:
        """Read one page. A page that ends the child is a value.

        A rendered page whose DOM gives no document, or ends the child within the full limit, is read from the body of its response.

        `brief`: leave out the blocks that are not the document's. `is_reextraction`: the page was read before.
        `text_before`: the result has a verdict on its text in place of this one.
        `cpu_seconds`: a limit of CPU time below that of all pages.
        `on_slow`: called once if no answer comes within SLOW_SECONDS. `on_wait`: then called every WAIT_SECONDS until the deadline.
        Raises NewsmillError when no child can be started.
        """
        request = ExtractionRequest(
            page,
            rules or Rules(),
            language,
            first_seen_at,
            profile,
            cpu_seconds=cpu_seconds,
            brief=brief,
            is_reextraction=is_reextraction,
            text_before=text_before,
        )
        result = self._exchange(request, on_slow, on_wait)
        if page.rendered is None:
            return result
        if isinstance(result, SandboxCrash):
            if cpu_seconds is not None:  # it is read again with the full limit
                return result
            ending = OutcomeRecord(Outcome.DIED if result.cpu_seconds is None else Outcome.DEADLINE, result.reason)
        elif result.document is not None:
            return result
        else:
            ending = result.ending
        response = self._exchange(replace(request, page=replace(page, rendered=None)), on_slow, on_wait)
        if isinstance(response, SandboxCrash) or response.document is None:
            return result
        return choose_body(ExtractionResult(ending), response)

    def _exchange(
        self, request: ExtractionRequest, on_slow: Callable[[], object] | None, on_wait: Callable[[], object] | None
    ) -> ExtractionResult | SandboxCrash:
        crash = self.send(request)
        if crash is None and on_slow is not None and not wait([self.child.fileno()], SLOW_SECONDS):
            on_slow()
        while crash is None and on_wait is not None and self.child.seconds_left() > 0 and not wait([self.child.fileno()], WAIT_SECONDS):
            on_wait()
        return crash or self.receive()

    def start(self) -> None:
        """Start the child if there is none, so that the first page need not wait."""
        self.child.start()

    def send(self, request: ExtractionRequest) -> SandboxCrash | None:
        """Send a page to the child. `receive` must follow, unless this ended the child."""
        request = replace(request, page=request.page.as_rendered())  # of two bodies only one is read
        self.child.start()
        if self.child.requests == 0:
            self._sent_profiles.clear()
        page, bodies = detach_bodies(request.page)
        sizes = tuple(map(len, bodies)) if page.parts else ()
        head = to_json(REQUEST_ADAPTER, self._replace_profile(replace(request, page=page, body_sizes=sizes)))
        try:
            self.child.send(head, bodies[0] if len(bodies) == 1 else b"".join(bodies), request.cpu_seconds)
        except ChildCrashError as error:
            return _make_crash(error)
        return None

    def receive(self) -> ExtractionResult | SandboxCrash:
        """Wait for the answer until the deadline."""
        try:
            payload = self.child.receive()
        except ChildCrashError as error:
            return _make_crash(error)
        try:
            return RESULT_ADAPTER.validate_json(payload)
        except ValidationError as error:
            self.close()
            return SandboxCrash("answer", f"{error.error_count()} fields of the answer are not what they should be")

    def close(self) -> None:
        """End the child."""
        self.child.close()

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


def start_fork_server(*modules: str) -> None:
    """Start what the children of this process's sandboxes are forked from; without this call, the first child starts it and waits.

    `modules`: what other children need.
    """
    parent.start_fork_server((*modules, *_list_preload(DEFAULT_READER)))


def _list_preload(reader: str) -> tuple[str, ...]:
    """Modules of the fork server, loaded once for all children: the reader's, which imports the extractors, and the handler's."""
    return reader.partition(":")[0], HANDLER.partition(":")[0], PRELOAD_MODULE


def _make_crash(error: ChildCrashError) -> SandboxCrash:
    return SandboxCrash("read", str(error), error.cpu_seconds)


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
    idle, busy = list(boxes), dict[int, tuple[Sandbox, int]]()  # by file descriptor
    results, keys, first = dict[int, ExtractionResult | SandboxCrash](), deque[Key](), 0
    try:
        while True:
            while idle and len(keys) < max_pending and (item := next(remaining, None)) is not None:
                key, request = item
                box, number = idle.pop(), first + len(keys)
                keys.append(key)
                crash = box.send(request)
                if crash is None:
                    busy[box.child.fileno()] = box, number
                else:
                    idle.append(box)
                    results[number] = crash
            if not keys:
                return
            timeout = min((box.child.seconds_left() for box, _ in busy.values()), default=0.0)
            ready = wait(list(busy), max(0.0, timeout)) if busy else []
            for descriptor in [one for one, (box, _) in busy.items() if one in ready or box.child.seconds_left() <= 0]:
                box, number = busy.pop(descriptor)
                results[number] = box.receive()
                idle.append(box)
            while first in results:
                yield keys.popleft(), results.pop(first)
                first += 1
    finally:
        for box in boxes:
            box.close()

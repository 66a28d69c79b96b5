"""The sandbox of pages: extraction runs in a child process under limits. A page that ends the child is a value, not an error.

`Sandbox` and `read_all` are the parent's side, `PageHandler` is the child's. The fork server has the extractors loaded.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from newsmill.extraction.rendered_page import choose_body
from newsmill.model import ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Rules
from newsmill.sandbox import parent
from newsmill.sandbox.child import Limits, load_function
from newsmill.sandbox.parent import ChildCrashError, ChildProcess

DEFAULT_READER = "newsmill.extraction.pipeline:read"
HANDLER = "newsmill.sandbox.pages:PageHandler"
PRELOAD_MODULE = "newsmill.sandbox.preload"  # loads what DEFAULT_READER loads at its first page
SLOW_SECONDS = 0.2  # ten times what an ordinary page of an unknown site takes
WAIT_SECONDS = 5.0  # between two calls of `on_wait`, which renews a lease of 60 s
MAX_WARMUP_SECONDS = 0.5  # up to which a child's first pages get twice the limit: for longer pages, a new child hardly counts
WARMUP_PAGES = 20  # a child's first pages take up to twice as long, because what they touch is copied or loaded first
MAX_PROFILES = 32  # that a child keeps; a segment has 32 pages

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """One page to read, with what is known of its source: the arguments of `extraction.pipeline.read`."""

    page: Page  # in the head without bodies
    rules: Rules = field(default_factory=Rules)
    language: str | None = None
    first_seen_at: datetime | None = None
    profile: Profile | None = None
    known_profile: str | None = None  # in place of a profile that the child has already: its `profile_key`
    cpu_seconds: float | None = None  # after which the child is killed; None: the limit of all pages
    brief: bool = False  # leave out the blocks that are not the document's: they are ten times as many and cost both sides
    is_reextraction: bool = False  # the page was read before
    body_sizes: tuple[int, ...] = ()  # bytes of each body: the page's, then those of the further pages of its article


@dataclass(frozen=True, slots=True)
class SandboxCrash:
    """Reading a page ended the child: at which stage, and why ("signal 11 (SIGSEGV)", "deadline 30 s", "memory").

    `cpu_seconds`: the limit of CPU time that the page used up. It would do so again, however busy the machine is.
    """

    stage: str
    reason: str
    cpu_seconds: float | None = None


REQUEST_ADAPTER: TypeAdapter[ExtractionRequest] = TypeAdapter(ExtractionRequest)
RESULT_ADAPTER: TypeAdapter[ExtractionResult] = TypeAdapter(ExtractionResult)


def _detach_bodies(page: Page) -> tuple[Page, list[bytes]]:
    """The page without bodies, which JSON cannot hold, and the bodies: its own, then those of its further pages."""
    parts = tuple(replace(part, body=b"") for part in page.parts)
    return replace(page, body=b"", parts=parts), [page.body, *(part.body for part in page.parts)]


def _attach_bodies(page: Page, sizes: tuple[int, ...], bodies: bytes) -> Page:
    if not page.parts:
        return replace(page, body=bodies)
    ends = list(accumulate(sizes))
    own, *others = [bodies[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return replace(page, body=own, parts=tuple(replace(part, body=body) for part, body in zip(page.parts, others, strict=True)))


def profile_key(profile: Profile) -> str:
    """The name under which both sides keep a profile."""
    return f"{profile.site} {profile.version}"


def to_json(adapter: TypeAdapter[Any], value: object) -> bytes:
    """`value` as JSON that every database takes: a lone surrogate becomes "?", and NUL goes (SQLite refuses the one, Postgres both)."""
    try:
        text = adapter.dump_json(value)
    except PydanticSerializationError:  # a lone surrogate; one page in thousands, so the slow way may be slow
        text = json.dumps(adapter.dump_python(value, mode="json"), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return text if b"\\u0000" not in text else json.dumps(_without_nul(json.loads(text)), ensure_ascii=False).encode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


# ---- the child's side


class PageHandler:
    """Reads the page of a request: the head is an ExtractionRequest without the page's body, the response an ExtractionResult."""

    def __init__(self, reader: str) -> None:
        """`reader`: "package.module:function", with the arguments of `extraction.pipeline.read`."""
        self._read = load_function(reader)
        self._profiles: dict[str, Profile] = {}

    def __call__(self, head: bytes, body: bytes) -> Iterator[bytes]:
        """The result as JSON."""
        request = REQUEST_ADAPTER.validate_json(head)
        profile = self._find_profile(request)
        start = time.process_time()
        result = self._read(
            _attach_bodies(request.page, request.body_sizes, body),
            rules=request.rules,
            language=request.language,
            first_seen_at=request.first_seen_at,
            profile=profile,
            brief=request.brief,
            again=request.is_reextraction,
        )
        yield to_json(RESULT_ADAPTER, replace(result, seconds=round(time.process_time() - start, 4)))

    def _find_profile(self, request: ExtractionRequest) -> Profile | None:
        """The request's profile. `Sandbox` keeps the same profiles and clears them at the same moment."""
        if request.profile is None:
            return None if request.known_profile is None else self._profiles[request.known_profile]
        if len(self._profiles) >= MAX_PROFILES:
            self._profiles.clear()
        self._profiles[profile_key(request.profile)] = request.profile
        return request.profile


# ---- the parent's side


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
        cpu_seconds: float | None = None,
        on_slow: Callable[[], object] | None = None,
        on_wait: Callable[[], object] | None = None,
    ) -> ExtractionResult | SandboxCrash:
        """Read one page. A page that ends the child is a value.

        A rendered page whose DOM gives no document, or ends the child within the full limit, is read from the body of its response.

        `brief`: leave out the blocks that are not the document's. `is_reextraction`: the page was read before.
        `cpu_seconds`: a limit of CPU time below that of all pages; up to MAX_WARMUP_SECONDS, twice as much in a child's first pages.
        `on_slow`: called once if no answer comes within SLOW_SECONDS. `on_wait`: then called every WAIT_SECONDS until the deadline.
        Raises NewsmillError when no child can be started.
        """
        request = ExtractionRequest(
            page, rules or Rules(), language, first_seen_at, profile, cpu_seconds=cpu_seconds, brief=brief, is_reextraction=is_reextraction
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
        cpu_seconds = request.cpu_seconds
        if cpu_seconds is not None and self.child.requests < WARMUP_PAGES:
            cpu_seconds = max(cpu_seconds, min(2 * cpu_seconds, MAX_WARMUP_SECONDS))
        page, bodies = _detach_bodies(request.page)
        sizes = tuple(map(len, bodies)) if page.parts else ()
        head = to_json(REQUEST_ADAPTER, self._replace_profile(replace(request, page=page, body_sizes=sizes)))
        try:
            self.child.send(head, bodies[0] if len(bodies) == 1 else b"".join(bodies), cpu_seconds)
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
    return reader.partition(":")[0], __name__, PRELOAD_MODULE


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

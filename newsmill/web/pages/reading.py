"""One thread of the web process that reads archived pages again, one order after the other, in the sandbox's child.

A sandbox's children end with the thread that started them, so a thread of the pool that serves requests will not do: it ends when it is
idle. And one reader with a short queue is a bound: explanations and previews can slow each other, never the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from functools import cache
from typing import TypeVar

from newsmill.exceptions import NewsmillError

WAITING = 4  # orders at once, the one in hand included
PATIENCE = 60.0  # seconds somebody waits for an answer; a page may take 30 s before it is given up

T = TypeVar("T")


class BusyError(NewsmillError):
    """Raised when pages are being read for others already, or reading took longer than PATIENCE."""


class Reader:
    """Thread-safe."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._places = threading.BoundedSemaphore(WAITING)

    def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, done in the reader's thread. Raises BusyError, and whatever `work` raises."""
        if not self._places.acquire(blocking=False):
            raise BusyError("pages are being read for others at the moment; try again in a minute")
        done: Future[T] = self._thread.submit(work)
        done.add_done_callback(lambda _: self._places.release())
        try:
            return done.result(PATIENCE)
        except Late:
            done.cancel()
            raise BusyError("reading these pages takes too long; try fewer of them") from None


@cache
def reader() -> Reader:
    """The process's own."""
    return Reader()

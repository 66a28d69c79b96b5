"""A thread that extracts archived pages while a request waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.exceptions import HTTPException

from newsmill.text.sentences import Sentence

MAX_WAITING = 4  # extractions: at most two minutes of waiting

P = ParamSpec("P")
R = TypeVar("R")


class ExtractionExecutor:
    """Extracts archived pages while a request waits: one page at a time, a few waiting, outside the event loop.

    A hostile page may take 30 s. The extraction has a thread of its own, because the kernel kills the child processes of a sandbox when the
    thread that started them ends. A route calls `await request.app.state.extraction_executor.run(function, …)`.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="extraction")
        self._waiting = 0

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in the thread, where it may use a Sandbox. Raises HTTPException 503 when too many calls wait."""
        if self._waiting >= MAX_WAITING:
            raise HTTPException(503, Sentence("other pages are being extracted: try again in a few seconds"), headers={"Retry-After": "10"})
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))
        future.add_done_callback(self._mark_done)  # not in a `finally`: when a client disconnects, its call still runs or waits
        return await asyncio.shield(future)

    def _mark_done(self, future: asyncio.Future[R]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # retrieved, because asyncio logs exceptions that are not retrieved

    def close(self) -> None:
        """Wait for the running call, and end the thread."""
        self._executor.shutdown(cancel_futures=True)

"""Archived pages read again for somebody who waits in a browser: one at a time, a few in line, never in the event loop.

A page may be hostile and take 30 s to be given up; so the reading has one thread of its own (the kernel ends a sandbox's children with the
thread that started them), and who comes when the line is full is told to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.exceptions import HTTPException

MAX_WAITING = 4  # two minutes at the worst

P = ParamSpec("P")
R = TypeVar("R")


class ExtractionExecutor:
    """`await request.app.state.rereader.run(again.explain, ledger, archive, profiles, trace)`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rereader")
        self._waiting = 0

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do `work`, which may use a Sandbox, when it is its turn. Raises HTTPException 503 when too many wait already."""
        if self._waiting >= MAX_WAITING:
            raise HTTPException(503, "other pages are being read at the moment; try again in a few seconds", headers={"Retry-After": "10"})
        self._waiting += 1
        work_done = asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
        work_done.add_done_callback(self._leave)  # not in a `finally`: who hangs up leaves the work behind, and the line as long as it is
        return await asyncio.shield(work_done)

    def _leave(self, work_done: asyncio.Future[R]) -> None:
        self._waiting -= 1
        if not work_done.cancelled():
            work_done.exception()  # looked at, so that asyncio does not complain where nobody waits any more

    def close(self) -> None:
        """Wait for what is being read, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

"""The stores of past times that requests search, each made in a process of its own, one at a time; callers take turns.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from newsmill import context as contexts
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.search.query import check_is_lasting
from newsmill.settings import Settings
from newsmill.storage import frozen_stores, past_documents
from newsmill.storage.frozen_stores import parse_time
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, QueryText

MAX_WAIT_SECONDS = 3.0  # of a request, for a store that is being made; the client then asks again
RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class _Order:
    """A store that a caller waits for."""

    at: datetime
    made: Future[None]


class PastStores:
    """Makes the stores of past times. Each caller has one that is made or waits, so a caller delays another by one store at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue = ThreadPoolExecutor(1, "past-stores")
        self._orders: dict[str, _Order] = {}  # by caller
        self._processes: tuple[BaseProcess, ...] = ()
        self._is_closed = False

    async def prepare(self, context: AppContext, at: datetime, caller: str) -> None:
        """Make the store of a time that `past_documents.settle` returned, unless it exists. Waits without a thread.

        Raises HTTPException 503 until it is made, 429 while the caller waits for another one, and ServiceError.
        """
        if await run_in_threadpool(_is_ready, context, at):
            return
        made = asyncio.wrap_future(self._order(context, at, caller))
        made.add_done_callback(lambda future: future.cancelled() or future.exception())  # also when the request has ended
        await asyncio.wait({made}, timeout=MAX_WAIT_SECONDS)
        if not made.done():
            raise _refusal(
                503, Sentence("the store of {time} is being made: try again in a few seconds", time=frozen_stores.format_time(at))
            )
        made.result()

    def _order(self, context: AppContext, at: datetime, caller: str) -> Future[None]:
        """The result of making the store: of this caller's last request for it, if it waits or failed, else of a new place in the queue."""
        with self._lock:
            last = self._orders.get(caller)
            if last is not None and not last.made.done() and last.at != at:
                time_of_last = frozen_stores.format_time(last.at)
                raise _refusal(429, Sentence("your token waits for the store of {time}: try again when it is made", time=time_of_last))
            if last is not None and last.made.done():
                del self._orders[caller]
            if last is None or (last.made.done() and (last.at != at or last.made.exception() is None)):
                last = self._orders[caller] = _Order(at, self._queue.submit(self._run, context, at))
            return last.made

    def _run(self, context: AppContext, at: datetime) -> None:
        if _is_ready(context, at):  # by the request of another caller
            return
        with self._lock:
            if self._is_closed:
                return
            pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            made = pool.submit(_make, context.settings, at, os.getpid())
            self._processes = tuple(pool._processes.values())
            pool.shutdown(wait=False)  # the process ends with its work
        made.result()

    def close(self) -> None:
        """Kill the process. Its unfinished files are deleted by the next one."""
        self._queue.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._is_closed = True
        for process in self._processes:
            process.kill()
            process.join()


def _refusal(status: int, detail: Sentence) -> HTTPException:
    return HTTPException(status, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def _is_ready(context: AppContext, at: datetime) -> bool:
    return frozen_stores.is_ready(context.engine, contexts.past_folder(context.settings), at)


def _make(settings: Settings, at: datetime, server: int) -> None:
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()
    with contexts.open_context(settings, upgrade=False) as store, contexts.open_past(store, at, with_index=True):
        pass


def _end_with(server: int) -> None:
    """End this process when the server was killed. PR_SET_PDEATHSIG would follow the thread that started it, which ends earlier."""
    while os.getppid() == server:
        time.sleep(1)
    os._exit(1)


async def search_context(
    request: Request,
    context: Context,
    q: QueryText = "",
    as_of: Annotated[
        str | None,
        Query(max_length=40, description="Search the documents as they were then: a time with zone, or a day (its beginning, UTC)."),
    ] = None,
) -> AsyncIterator[AppContext]:
    """A dependency: the context of today, or of the time `as_of`. Async, as `get_context`: a request without `as_of` needs no thread."""
    if as_of is None:
        yield context
        return
    check_is_lasting(q)
    if "marks" in request.query_params.getlist("include"):
        raise ConfigError("include=marks does not work with as_of, because marks, stories and later documents are not part of that time")
    caller = require_scope(Scope.READ)(request)
    at = await run_in_threadpool(past_documents.settle, context.engine, parse_time(as_of), now=context.now())
    await request.app.state.past_stores.prepare(context, at, caller.token.root)
    with ExitStack() as stack:
        past = await run_in_threadpool(stack.enter_context, contexts.open_past(context, at, with_index=True))
        yield past.context


SearchContext = Annotated[AppContext, Depends(search_context)]

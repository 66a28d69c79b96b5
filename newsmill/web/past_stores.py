"""The stores of past times that requests search, each made in a process of its own, one at a time."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack, suppress
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
from newsmill.text.sentences import Sentence
from newsmill.web.parameters import Context, QueryText

MAX_WAIT_SECONDS = 3.0  # of a request, for a store that is being made; the client then asks again
RETRY_SECONDS = 5


class PastStores:
    """Makes the stores of past times. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[datetime, Future[None], tuple[BaseProcess, ...]] | None = None

    def prepare(self, context: AppContext, at: datetime) -> None:
        """Make the store of a time that `past_documents.settle` returned, unless it exists.

        Raises HTTPException 503 while it is being made, or another one, and ServiceError.
        """
        if frozen_stores.is_ready(context.engine, contexts.past_folder(context.settings), at):
            return
        with self._lock:
            if self._running is None or (self._running[1].done() and self._running[0] != at):
                pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
                future = pool.submit(_make, context.settings, at, os.getpid())
                self._running = at, future, tuple(pool._processes.values())
                pool.shutdown(wait=False)  # the process ends with its work, also if no request waits for it by then
            running_at, future, _ = self._running
        with suppress(FutureTimeoutError):
            error = future.exception(MAX_WAIT_SECONDS)
            with self._lock:
                if self._running is not None and self._running[1] is future:
                    self._running = None
            if running_at == at:
                if error is not None:
                    raise error
                return
        raise HTTPException(
            503,
            Sentence("the store of {time} is being made: try again in a few seconds", time=frozen_stores.format_time(running_at)),
            headers={"Retry-After": str(RETRY_SECONDS)},
        )

    def close(self) -> None:
        """Kill the process. Its unfinished files are deleted by the next one."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            for process in running[2]:
                process.kill()
                process.join()


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
    with ExitStack() as stack:
        yield await run_in_threadpool(_open, stack, request.app.state.past_stores, context, parse_time(as_of))


def _open(stack: ExitStack, stores: PastStores, context: AppContext, at: datetime) -> AppContext:
    at = past_documents.settle(context.engine, at, now=context.now())
    stores.prepare(context, at)
    return stack.enter_context(contexts.open_past(context, at, with_index=True)).context


SearchContext = Annotated[AppContext, Depends(search_context)]

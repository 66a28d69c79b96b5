"""The change stream: one server-sent event per stored, changed or removed document; clients resume it after an interruption.

For each client, the server queries the documents after the client's cursor, which takes 0.1 ms with an index. The server keeps no state,
so a crash or restart loses nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.model.document_fields import Use, list_fields
from newsmill.storage.changes import ChangePosition, Changes, RemovedDocument, StoredDocument
from newsmill.storage.tokens import Scope
from newsmill.web.auth import is_still_allowed, require_scope
from newsmill.web.parameters import Context, Cursor, SourceName, Timestamp
from newsmill.web.problem_details import error_responses

stream_router = APIRouter(tags=["stream"], dependencies=[Depends(require_scope(Scope.READ))])
POLL_SECONDS = 2.0
KEEPALIVE_SECONDS = 15.0  # without events until a comment is sent; proxies close silent connections
ACCESS_SECONDS = 15.0  # between two checks of the token
STREAM_BATCH_SIZE = 50  # documents of one query
SUMMARY_FIELDS = {*list_fields(Use.STREAM), "stored_at"}
STORED_ADAPTER = TypeAdapter(StoredDocument)
REMOVED_ADAPTER = TypeAdapter(RemovedDocument)


def summarize(document: StoredDocument) -> dict[str, Any]:
    """The fields of a document without its text and provenance."""
    summary: dict[str, Any] = STORED_ADAPTER.dump_python(document, mode="json", include=SUMMARY_FIELDS)
    return summary


@stream_router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **error_responses(422, 503)},
)
async def open_stream(
    request: Request,
    context: Context,
    source: SourceName = None,
    since: Annotated[Timestamp | None, Query(description="Start with documents stored at that time, instead of now.")] = None,
    cursor: Cursor = None,
    full: Annotated[bool, Query(description="Send documents with their text and provenance.")] = False,
    last_event_id: Annotated[str | None, Header(max_length=500)] = None,
) -> StreamingResponse:
    """Stream every document that is stored or changed, as `event: document`, or removed, as `event: removed`. To resume, send the last `id`
    as `cursor`; a browser's EventSource sends it as `Last-Event-ID`. A document appears about two seconds after it was stored."""
    start = last_event_id or cursor
    open_streams: set[object] = request.app.state.streams
    if len(open_streams) >= request.app.state.config.max_streams:
        raise HTTPException(503, "too many streams are open: retry in 30 s", headers={"Retry-After": "30"})
    changes = Changes(context.engine)
    if start is not None:
        position = ChangePosition.of(start)
        await run_in_threadpool(changes.check, position)
    else:
        end = await run_in_threadpool(changes.end)
        position = min(ChangePosition(since), end) if since else end
    return StreamingResponse(
        stream_events(request, context, position, source, full, open_streams),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


async def stream_events(
    request: Request, context: AppContext, position: ChangePosition, source: str | None, full: bool, open_streams: set[object]
) -> AsyncIterator[bytes]:
    """The events after `position`, until the client disconnects, its token ends, or the server stops."""
    this_stream = object()
    open_streams.add(this_stream)
    try:
        yield f"retry: 3000\nid: {position.cursor}\n: start\n\n".encode()
        last_sent = checked_at = time.monotonic()
        has_caught_up = False
        while not request.app.state.stopping.is_set():
            documents: list[StoredDocument | RemovedDocument] | None = None
            with suppress(ServiceError):  # while the database is not available, the stream stays open
                if time.monotonic() - checked_at >= ACCESS_SECONDS:
                    if not await run_in_threadpool(is_still_allowed, request, Scope.READ):
                        return
                    checked_at = time.monotonic()
                documents = await run_in_threadpool(Changes(context.engine).after, position, limit=STREAM_BATCH_SIZE, source=source)
            for document in documents or ():
                position = document.place
                yield format_event(document, full)
            if not has_caught_up and documents is not None and len(documents) < STREAM_BATCH_SIZE:
                has_caught_up = True
                yield b": caught-up\n\n"
            if documents:
                last_sent = time.monotonic()
            elif time.monotonic() - last_sent >= KEEPALIVE_SECONDS:
                last_sent = time.monotonic()
                yield b": keep-alive\n\n"
            if documents is None or len(documents) < STREAM_BATCH_SIZE:
                await sleep_unless_stopping(request.app.state.stopping, POLL_SECONDS)
    finally:
        open_streams.discard(this_stream)


async def sleep_unless_stopping(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep until the time is over or the server stops."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return


def format_event(document: StoredDocument | RemovedDocument, full: bool) -> bytes:
    """One server-sent event. Its JSON contains no line break, so it has one `data` line."""
    if isinstance(document, RemovedDocument):
        return b"event: removed\nid: " + document.cursor.encode() + b"\ndata: " + REMOVED_ADAPTER.dump_json(document) + b"\n\n"
    data = STORED_ADAPTER.dump_json(document, include=None if full else SUMMARY_FIELDS)
    return b"event: document\nid: " + document.cursor.encode() + b"\ndata: " + data + b"\n\n"

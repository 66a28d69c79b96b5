"""The change stream: server-sent events, one for each document stored or changed, to go on with after any interruption.

Each client asks the database for what came after its place, every two seconds and by an index (0.1 ms); a crash here, a lost connection
or a restart costs a client nothing but that it says again where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.storage.documents import ChangePosition, Changes, StoredDocument
from newsmill.storage.tokens import Scope
from newsmill.web.api.responses import Context, Cursor, SourceName, Timestamp, error_responses
from newsmill.web.auth import is_still_allowed, require_scope

router = APIRouter(tags=["stream"], dependencies=[Depends(require_scope(Scope.READ))])

POLL_SECONDS = 2.0  # seconds between two looks
KEEPALIVE_SECONDS = 15.0  # seconds after which a comment shows that we are there; proxies cut what is silent for longer
BATCH_SIZE = 50
SUMMARY_FIELDS = (
    *("id", "url", "canonical_url", "title", "description", "source", "site_name", "language", "section", "authors", "published_at"),
    *(
        "modified_at",
        "first_seen_at",
        "stored_at",
        "word_count",
        "confidence",
        "doubtful",
        "is_free",
        "content_hash",
        "revision",
    ),
)

DOCUMENT_ADAPTER = TypeAdapter(StoredDocument)


def summarize(document: StoredDocument) -> dict[str, Any]:
    """What a list shows of a document: everything but its text and what explains it."""
    shown: dict[str, Any] = DOCUMENT_ADAPTER.dump_python(document, mode="json", include=set(SUMMARY_FIELDS))
    return shown


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **error_responses(422, 503)},
)
async def open_stream(
    request: Request,
    context: Context,
    source: SourceName = None,
    since: Annotated[Timestamp | None, Query(description="Begin with what was stored then, instead of now.")] = None,
    cursor: Cursor = None,
    full: Annotated[bool, Query(description="Whole documents, instead of their fields without text.")] = False,
    last_event_id: Annotated[str | None, Header(max_length=500)] = None,
) -> StreamingResponse:
    """Every document stored or changed from now on, as `event: document`. A browser's EventSource goes on by itself where it was
    (`Last-Event-ID`); others send the last `id` they saw as `cursor`. What is stored shows about two seconds later."""
    begin = last_event_id or cursor
    open_streams: set[object] = request.app.state.streams
    if len(open_streams) >= request.app.state.config.streams:
        raise HTTPException(503, "too many streams are open", headers={"Retry-After": "30"})
    place = ChangePosition.of(begin) if begin else ChangePosition(since) if since else await run_in_threadpool(Changes(context.engine).end)
    return StreamingResponse(
        stream_events(request, context, place, source, full, open_streams),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


async def stream_events(
    request: Request, context: AppContext, place: ChangePosition, source: str | None, full: bool, open_streams: set[object]
) -> AsyncIterator[bytes]:
    """The stream from `place` on, until the client goes, its token ends, or we stop."""
    mark = object()
    open_streams.add(mark)
    try:
        yield f"retry: 3000\nid: {place.cursor}\n: from here on\n\n".encode()
        said = time.monotonic()
        while not request.app.state.stopping.is_set():
            found = await read_changes(context, place, source)
            for document in found:
                place = document.place
                yield format_event(document, full)
            if found:
                said = time.monotonic()
            elif time.monotonic() - said >= KEEPALIVE_SECONDS:
                if not await run_in_threadpool(is_still_allowed, request, Scope.READ):
                    return
                said = time.monotonic()
                yield b": still here\n\n"
            if len(found) < BATCH_SIZE:
                await sleep_unless_stopping(request.app.state.stopping, POLL_SECONDS)
    finally:
        open_streams.discard(mark)


async def read_changes(context: AppContext, place: ChangePosition, source: str | None) -> list[StoredDocument]:
    """What came after `place`. A database that is away for a moment ends no stream."""
    try:
        return await run_in_threadpool(Changes(context.engine).after, place, limit=BATCH_SIZE, source=source)
    except ServiceError:
        return []


async def sleep_unless_stopping(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, but for a stop."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return


def format_event(document: StoredDocument, full: bool) -> bytes:
    """One event. JSON holds no line break, so one `data` line is enough."""
    data = DOCUMENT_ADAPTER.dump_json(document, include=None if full else set(SUMMARY_FIELDS))
    return b"event: document\nid: " + document.cursor.encode() + b"\ndata: " + data + b"\n\n"

"""Documents: their form in a response, lists, single documents, near duplicates, explanations of a text, the marks of the user, and the
stream of changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.exports.markdown import render_markdown
from newsmill.intake import reextract
from newsmill.model import CopyGroup, DocumentMarks, ExtractionResult, NearDuplicate, Revision, RevisionSummary
from newsmill.model.document_fields import Use, list_fields
from newsmill.storage.document_copies import DocumentCopies
from newsmill.storage.documents import ChangePosition, Changes, RemovedDocument, StoredDocument
from newsmill.storage.fingerprints import MAX_NEAR_DUPLICATES, MIN_SIMILARITY
from newsmill.storage.marks import MAX_CHANGED, MAX_NOTE_CHARACTERS, MAX_TAG_CHARACTERS, MAX_TAGS, MarkChange, Marks, TagCount
from newsmill.storage.revisions import Revisions
from newsmill.storage.tokens import Scope
from newsmill.text import urls
from newsmill.web.auth import is_still_allowed, require_scope
from newsmill.web.responses import (
    Context,
    Cursor,
    Id,
    ItemList,
    Limit,
    QueryText,
    SourceName,
    Timestamp,
    Url,
    User,
    complete_list,
    error_responses,
)

Include = Annotated[
    list[Literal["markdown", "marks"]],
    Query(
        description="Optional fields, otherwise null. `markdown`: the text with headings, lists, quotes, tables and links. "
        "`marks`: your star, whether you have read it, your tags and note."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentResponse(StoredDocument):
    """A document with the optional fields."""

    markdown: str | None = None
    marks: DocumentMarks | None = None


_FIELDS = tuple(field.name for field in fields(StoredDocument))


def to_responses(
    context: AppContext, user: str, documents: Sequence[StoredDocument], include: Sequence[str]
) -> tuple[DocumentResponse, ...]:
    """The documents with the optional fields in `include`."""
    marks = Marks(context.engine, user).get(document.id for document in documents) if "marks" in include else {}
    return tuple(
        DocumentResponse(
            **{name: getattr(document, name) for name in _FIELDS},
            markdown=render_markdown(document) if "markdown" in include else None,
            marks=marks.get(document.id, DocumentMarks()) if "marks" in include else None,
        )
        for document in documents
    )


router = APIRouter(tags=["documents"], dependencies=[Depends(require_scope(Scope.READ))])


class RemovedDocumentResponse(BaseModel):
    """A document that was removed, with its source or by a takedown. It may be stored again later."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source: str | None
    removed_at: datetime


class DocumentList(ItemList[DocumentResponse]):
    """One page of documents."""

    removed: tuple[RemovedDocumentResponse, ...] = Field(
        description="With order=stored: the documents that were removed in this part of the order. Empty with order=newest."
    )
    last: str | None = Field(
        description="The cursor of the last item or removed document. With order=stored, send it later as `cursor` to get what follows."
    )


LIST_ADAPTER = TypeAdapter(DocumentList)
DOCUMENT_ADAPTER = TypeAdapter(DocumentResponse)
REVISION_ADAPTER = TypeAdapter(Revision)
EXPLANATION_ADAPTER = TypeAdapter(ExtractionResult)


def json_response(body: bytes) -> Response:
    """A response with JSON that pydantic wrote from the dataclasses; FastAPI would validate every field again."""
    return Response(body, media_type="application/json")


@router.get("/documents", response_model=DocumentList)
def list_documents(
    context: Context,
    user: User,
    stored_since: Annotated[Timestamp | None, Query(description="Only documents stored or changed at that time or later.")] = None,
    source: SourceName = None,
    order: Annotated[
        Literal["stored", "newest"], Query(description="`newest`: last stored first. `stored`: in the order of storage.")
    ] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """List documents by the time they were stored or changed. To keep a copy up to date, use `order=stored`, remove the documents in
    `removed`, and send `last` as the next `cursor`. A page has at most `limit` of both together."""
    changes, position = Changes(context.engine), None if cursor is None else ChangePosition.of(cursor)
    found: Sequence[StoredDocument | RemovedDocument]
    if order == "newest":
        found = changes.before(position, limit=limit + 1, source=source, since=stored_since)
    else:
        if position is not None:
            changes.check(position)
        start = position or (ChangePosition(stored_since) if stored_since else None)
        found = changes.after(start, limit=limit + 1, source=source)
    stored, removed = split_changes(found[:limit])
    last = found[:limit][-1].cursor if found else cursor
    page = DocumentList(
        items=to_responses(context, user, stored, include),
        removed=tuple(map(RemovedDocumentResponse.model_validate, removed)),
        next=last if len(found) > limit else None,
        last=last,
    )
    return json_response(LIST_ADAPTER.dump_json(page))


def split_changes(found: Sequence[StoredDocument | RemovedDocument]) -> tuple[list[StoredDocument], list[RemovedDocument]]:
    """The stored and the removed documents."""
    return [one for one in found if isinstance(one, StoredDocument)], [one for one in found if isinstance(one, RemovedDocument)]


@router.get("/documents/by-url", response_model=DocumentResponse, responses=error_responses(404))
def get_document_by_url(context: Context, user: User, url: Url, include: Include = []) -> Response:  # noqa: B006
    """Get a document by any of its URLs, in any spelling."""
    urls.normalize(url)  # raises UrlError, which is answered with 422
    found = context.documents.get(url)
    return document_response(context, user, found.id if found else url, include)


@router.get("/documents/{id}", response_model=DocumentResponse, responses=error_responses(404))
def get_document(context: Context, user: User, id: Id, include: Include = []) -> Response:  # noqa: B006
    """Get a document by its ID."""
    return document_response(context, user, id, include)


@router.get("/documents/{id}/near-duplicates", responses=error_responses(404))
def list_near_duplicates(
    context: Context,
    id: Id,
    least: Annotated[
        float, Query(ge=0, le=1, description="The lowest similarity. Below 0.7, many near duplicates are missed.")
    ] = MIN_SIMILARITY,
    limit: Annotated[int, Query(ge=1, le=MAX_NEAR_DUPLICATES, description="The maximum number of documents.")] = 20,
) -> ItemList[NearDuplicate]:
    """List documents with nearly the same text, most similar first. `similarity` is the number of five-word runs in both texts, divided by
    the number in either."""
    found = context.near_duplicates.of(id, least=least, limit=limit)
    if found is None:
        raise HTTPException(404, f"document {id!r} does not exist")
    return ItemList(items=found, next=None)


@router.get("/documents/{id}/copies", responses=error_responses(404))
def show_copies(context: Context, id: Id) -> CopyGroup:
    """Show the group of copies that a document is in: the first document, the agency that the copies credit, and up to 100 documents,
    the earliest first, with the number of words that each adds to the first one and leaves out. A document without copies is alone."""
    found = DocumentCopies(context.engine).of(id)
    if found is None:
        raise HTTPException(404, f"document {id!r} does not exist")
    return found


@router.get("/documents/{id}/revisions", responses=error_responses(404))
def list_revisions(context: Context, id: Id, limit: Limit = 50, cursor: Cursor = None) -> ItemList[RevisionSummary]:
    """List the contents that a document has had, the current one first. Each is compared with the kept revision before it: the changed
    fields, the words added and removed, and whether a new fetch or another extraction of the same archived page made it."""
    page = Revisions(context.engine).page(id, cursor=cursor, limit=limit)
    if page is None:
        raise HTTPException(404, f"document {id!r} does not exist")
    items, following = page
    return ItemList(items=tuple(items), next=following)


@router.get("/documents/{id}/revisions/{revision}", response_model=Revision, responses=error_responses(404))
def get_revision(
    context: Context, id: Id, revision: Annotated[int, Path(ge=1, lt=1 << 31, description="The number of the revision.")]
) -> Response:
    """Get the content that a document had at one revision."""
    found = Revisions(context.engine).get(id, revision)
    if found is None:
        raise HTTPException(
            404, f"revision {revision} of document {id!r} is not kept; /api/v1/documents/{{id}}/revisions lists those that are"
        )
    return json_response(REVISION_ADAPTER.dump_json(found))


def document_response(context: AppContext, user: str, document_id: Id, include: Sequence[str]) -> Response:
    found = Changes(context.engine).get(document_id)
    if found is None:
        raise HTTPException(404, f"document {document_id[:500]!r} does not exist; /api/v1/ledger/trace shows the result of a URL")
    return json_response(DOCUMENT_ADAPTER.dump_json(to_responses(context, user, [found], include)[0]))


@router.get("/explain", response_model=ExtractionResult, responses=error_responses(404, 409, 503), tags=["explain"])
async def get_explanation(request: Request, context: Context, url: Url) -> Response:
    """Explain the text of a page: extract the archived page again with the current rules and profile. Each block has its layer and reason,
    and `document.provenance` names the origin of each field. Stored documents do not change."""
    result = await request.app.state.extraction_executor.run(explain_page, context, url)
    return json_response(EXPLANATION_ADAPTER.dump_json(result))


def explain_page(context: AppContext, url: str) -> ExtractionResult:
    """Extract the archived page of the URL. Raises HTTPException 404 and 409, ServiceError."""
    document = context.documents.get(url)
    trace = context.ledger.traces.get(document.requested_url if document else url)
    if trace is None:
        raise HTTPException(404, "Newsmill has not seen this URL; POST /api/v1/urls submits it")
    try:
        return reextract.explain(context.ledger, context.archive, context.profiles, trace)
    except ServiceError:
        raise
    except NewsmillError as error:
        raise HTTPException(409, str(error)) from None


# ---- marks of the user who asks; they change no document, so every token may set its own -----------------------------------------

marks_router = APIRouter(tags=["marks"], dependencies=[Depends(require_scope(Scope.READ))])

DocumentId = Annotated[QueryText, Field(max_length=64)]
Tag = Annotated[QueryText, Field(max_length=MAX_TAG_CHARACTERS)]


class MarkedId(BaseModel):
    """The marks of one document."""

    id: str
    starred: bool
    read: bool
    tags: tuple[str, ...]
    note: str | None


class MarkRequest(BaseModel):
    """A change of the marks of some documents. What is absent or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    ids: list[DocumentId] = Field(min_length=1, max_length=MAX_CHANGED)
    starred: bool | None = None
    read: bool | None = None
    add_tags: list[Tag] = Field(default=[], max_length=MAX_TAGS)
    remove_tags: list[Tag] = Field(default=[], max_length=MAX_TAGS)
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARACTERS)] | None = Field(default=None, description='"" removes the note.')


class MarkResponse(BaseModel):
    """The result of a change."""

    documents: int = Field(description="The number of documents that were changed; unknown ids are ignored.")


@marks_router.get("/marks")
def list_marks(
    context: Context, user: User, id: Annotated[list[DocumentId], Query(max_length=MAX_CHANGED, description="IDs of documents.")]
) -> ItemList[MarkedId]:
    """List the marks of documents. Documents without a mark are left out."""
    found = Marks(context.engine, user).get(id)
    return complete_list(
        MarkedId(id=key, starred=marks.starred, read=marks.read, tags=marks.tags, note=marks.note) for key, marks in found.items()
    )


@marks_router.post("/marks")
def change_marks(context: Context, user: User, request: MarkRequest) -> MarkResponse:
    """Star documents, mark them as read, give them tags or a note, or undo that."""
    change = MarkChange(
        starred=request.starred,
        read=request.read,
        add_tags=tuple(request.add_tags),
        remove_tags=tuple(request.remove_tags),
        note=request.note,
    )
    return MarkResponse(documents=Marks(context.engine, user).change(request.ids, change, now=context.now()))


@marks_router.get("/tags")
def list_tags(context: Context, user: User) -> ItemList[TagCount]:
    """List the user's tags with the number of documents, the most frequent first; at most 200."""
    return complete_list(Marks(context.engine, user).list_tags())


# ---- the change stream: one server-sent event per stored, changed or removed document; clients resume it after an interruption --
#
# For each client, the server queries the documents after the client's cursor, which takes 0.1 ms with an index. The server keeps no state,
# so a crash or restart loses nothing.

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

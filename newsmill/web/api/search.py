"""Search: matches with snippets or as whole documents, and counts over time and by source. Any text is a query."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter

from newsmill.exports.formats import STREAMED_FORMATS
from newsmill.search import Hit, QueryNote, Search
from newsmill.storage.documents import Changes
from newsmill.storage.tokens import Scope
from newsmill.web.api.documents import DocumentResponse, Include, json_response, to_responses
from newsmill.web.api.responses import Context, Cursor, ItemList, Limit, QueryText, Timestamp, User, complete_list
from newsmill.web.auth import require_scope
from newsmill.web.search_export import MAX_DOCUMENTS, FormatName, find_documents, stream_documents

router = APIRouter(tags=["search"], dependencies=[Depends(require_scope(Scope.READ))])

LIST_ADAPTER = TypeAdapter(ItemList[DocumentResponse])

SearchQuery = Annotated[
    QueryText,
    Query(description='Words, =exactly, "phrases", begin*, NOT this, this OR that, and source: lang: author: section: after: before:'),
]


class Note(BaseModel):
    """One thing that is wrong with a query."""

    kind: str
    message: str = Field(description="What is wrong, and what to write instead.")
    value: str
    options: tuple[str, ...] = Field(description="What to write instead, or what there is.")

    @classmethod
    def of(cls, note: QueryNote) -> Note:
        """The response for a note."""
        return cls(kind=note.kind, message=note.message, value=note.value, options=note.options)


class SearchResponse(BaseModel):
    """One page of matches."""

    items: tuple[Hit, ...]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")
    total: int | None = Field(description="Matching documents; null above 10,000 and when counting takes too long.")
    reached: datetime | None = Field(description="The time down to which a short page was searched; `next` continues with older documents.")
    notes: tuple[Note, ...] = Field(description="On the first page: what is wrong with the query.")
    suggestion: str | None = Field(description="Where nothing is found: the query in a spelling that the index has.")


class HourCount(BaseModel):
    """The number of matches in one hour or day."""

    at: datetime
    n: int


class SourceCount(BaseModel):
    """The number of matches of one source; "" is the name for documents without a source."""

    source: str
    n: int


@router.get("/search")
def search(
    context: Context,
    user: User,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "relevance",
    limit: Limit = 20,
    cursor: Cursor = None,
) -> SearchResponse:
    """Search documents. Each piece of a snippet states whether it matches the query."""
    results = Search(context.engine, user).search(q, limit=limit, cursor=cursor, order=order)
    return SearchResponse(
        items=results.hits,
        next=results.cursor,
        total=results.total,
        reached=results.reached,
        notes=tuple(map(Note.of, results.notes)),
        suggestion=results.suggestion,
    )


@router.get("/search/over-time")
def count_over_time(
    context: Context,
    user: User,
    q: SearchQuery = "",
    step: Literal["hour", "day"] = "day",
    since: Timestamp | None = None,
    until: Timestamp | None = None,
) -> ItemList[HourCount]:
    """Count the matches per hour or day (UTC), without hours or days that have none."""
    return complete_list(HourCount(at=at, n=n) for at, n in Search(context.engine, user).count_over_time(q, step, since=since, until=until))


@router.get("/search/by-source")
def count_by_source(
    context: Context, user: User, q: SearchQuery = "", since: Timestamp | None = None, until: Timestamp | None = None
) -> ItemList[SourceCount]:
    """Count the matches per source, largest count first."""
    return complete_list(
        SourceCount(source=source, n=n) for source, n in Search(context.engine, user).count_by_source(q, since=since, until=until)
    )


@router.get("/search/documents", response_model=ItemList[DocumentResponse])
def search_documents(
    context: Context,
    user: User,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Search documents and get them with all fields."""
    results = Search(context.engine, user).search(q, limit=limit, cursor=cursor, order=order, wait=True)
    by_id = {document.id: document for document in Changes(context.engine).get_many([hit.id for hit in results.hits])}
    found = [by_id[hit.id] for hit in results.hits if hit.id in by_id]  # one may be deleted by now
    items = to_responses(context, user, found, include)
    return json_response(LIST_ADAPTER.dump_json(ItemList[DocumentResponse](items=items, next=results.cursor)))


@router.get(
    "/search/export",
    response_class=StreamingResponse,
    responses={200: {"content": {one.media_type: {"schema": {"type": "string"}} for one in STREAMED_FORMATS.values()}}},
)
def export_search(
    context: Context,
    user: User,
    q: SearchQuery = "",
    format: Annotated[FormatName, Query(description="As of `newsmill export`; `json` is one array.")] = "csv",
    order: Literal["relevance", "newest"] = "relevance",
    limit: Annotated[int, Query(ge=1, le=MAX_DOCUMENTS, description="The maximum number of documents.")] = MAX_DOCUMENTS,
    include: Include = [],  # noqa: B006
) -> StreamingResponse:
    """Download matches as one file with all fields, at most 10,000. `newsmill export` writes more.

    A file that ends early is not complete: the connection then breaks instead of ending."""
    documents = find_documents(context, q, user=user, order=order, limit=limit, with_marks="marks" in include)
    return stream_documents(format, documents, include, name=q, now=context.now())

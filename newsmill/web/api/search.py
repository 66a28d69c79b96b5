"""Search: hits with snippets, and how many there are over time and by source. Any text is a query."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, TypeAdapter

from newsmill.search import Hit, Search
from newsmill.storage.documents import Changes
from newsmill.storage.tokens import Scope
from newsmill.web.api.document_fields import DocumentResponse, Include, to_response
from newsmill.web.api.documents import json_response
from newsmill.web.api.responses import Context, Cursor, ItemList, Limit, QueryText, Timestamp, complete_list
from newsmill.web.auth import require_scope

router = APIRouter(tags=["search"], dependencies=[Depends(require_scope(Scope.READ))])

SearchQuery = Annotated[
    QueryText, Query(description='Words, "phrases", -without, this OR that, and source: lang: author: section: after: before:')
]


class SearchResponse(BaseModel):
    """One page of hits."""

    items: tuple[Hit, ...]
    next: str | None
    total: int | None  # null: more than 10,000, or counting would take long
    reached: datetime | None  # a short page: nothing older has been looked at, which would take long; `next` goes on there


class HourCount(BaseModel):
    """How many documents of one hour or day match."""

    at: datetime
    n: int


class SourceCount(BaseModel):
    """How many documents of one source match; "" stands for those without one."""

    source: str
    n: int


@router.get("/search")
def search(
    context: Context, q: SearchQuery = "", order: Literal["relevance", "newest"] = "relevance", limit: Limit = 20, cursor: Cursor = None
) -> SearchResponse:
    """Documents that match. In a snippet each piece says whether it is one of the words looked for."""
    found = Search(context.engine).search(q, limit=limit, cursor=cursor, order=order)
    return SearchResponse(items=found.hits, next=found.cursor, total=found.total, reached=found.reached)


@router.get("/search/over-time")
def count_over_time(
    context: Context,
    q: SearchQuery = "",
    step: Literal["hour", "day"] = "day",
    since: Timestamp | None = None,
    until: Timestamp | None = None,
) -> ItemList[HourCount]:
    """How many documents match per hour or day (UTC); those without any are left out."""
    return complete_list(HourCount(at=at, n=n) for at, n in Search(context.engine).count_over_time(q, step, since=since, until=until))


@router.get("/search/by-source")
def count_by_source(
    context: Context, q: SearchQuery = "", since: Timestamp | None = None, until: Timestamp | None = None
) -> ItemList[SourceCount]:
    """How many documents match per source, the largest first."""
    return complete_list(
        SourceCount(source=source, n=n) for source, n in Search(context.engine).count_by_source(q, since=since, until=until)
    )


# Whole documents that match a query: for programs that read them all, where a hit with a snippet is not enough.

LIST_ADAPTER = TypeAdapter(ItemList[DocumentResponse])


@router.get("/search/documents", response_model=ItemList[DocumentResponse])
def search_documents(
    context: Context,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Documents that match, with all their fields."""
    found = Search(context.engine).search(q, limit=limit, cursor=cursor, order=order, wait=True)
    whole = {document.id: document for document in Changes(context.engine).get_many([hit.id for hit in found.hits])}
    items = tuple(to_response(whole[hit.id], include) for hit in found.hits if hit.id in whole)  # one may be gone since it was found
    return json_response(LIST_ADAPTER.dump_json(ItemList[DocumentResponse](items=items, next=found.cursor)))

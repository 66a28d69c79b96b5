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
from newsmill.web.api.document_fields import Include, ShownDocument, shown
from newsmill.web.api.documents import as_json
from newsmill.web.api.responses import Context, Cursor, Limit, Listed, Moment, QueryText, whole_list
from newsmill.web.auth import authorised

router = APIRouter(tags=["search"], dependencies=[Depends(authorised(Scope.READ))])

Q = Annotated[QueryText, Query(description='Words, "phrases", -without, this OR that, and source: lang: author: section: after: before:')]


class SearchResponse(BaseModel):
    """One page of hits."""

    items: tuple[Hit, ...]
    next: str | None
    total: int | None  # null: more than 10,000, or counting would take long
    reached: datetime | None  # a short page: nothing older has been looked at, which would take long; `next` goes on there


class Hour(BaseModel):
    """How many documents of one hour or day match."""

    at: datetime
    n: int


class OfSource(BaseModel):
    """How many documents of one source match; "" stands for those without one."""

    source: str
    n: int


@router.get("/search")
def search(
    context: Context, q: Q = "", order: Literal["relevance", "newest"] = "relevance", limit: Limit = 20, cursor: Cursor = None
) -> SearchResponse:
    """Documents that match. In a snippet each piece says whether it is one of the words looked for."""
    found = Search(context.engine).search(q, limit=limit, cursor=cursor, order=order)
    return SearchResponse(items=found.hits, next=found.cursor, total=found.total, reached=found.reached)


@router.get("/search/over-time")
def over_time(
    context: Context, q: Q = "", step: Literal["hour", "day"] = "day", since: Moment | None = None, until: Moment | None = None
) -> Listed[Hour]:
    """How many documents match per hour or day (UTC); those without any are left out."""
    return whole_list(Hour(at=at, n=n) for at, n in Search(context.engine).count_over_time(q, step, since=since, until=until))


@router.get("/search/by-source")
def by_source(context: Context, q: Q = "", since: Moment | None = None, until: Moment | None = None) -> Listed[OfSource]:
    """How many documents match per source, the largest first."""
    return whole_list(OfSource(source=source, n=n) for source, n in Search(context.engine).count_by_source(q, since=since, until=until))


# Whole documents that match a query: for programs that read them all, where a hit with a snippet is not enough.

PAGE = TypeAdapter(Listed[ShownDocument])


@router.get("/search/documents", response_model=Listed[ShownDocument])
def matching(
    context: Context,
    q: Q = "",
    order: Literal["relevance", "newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Documents that match, with all their fields."""
    found = Search(context.engine).search(q, limit=limit, cursor=cursor, order=order, wait=True)
    whole = {document.id: document for document in Changes(context.engine).get_many([hit.id for hit in found.hits])}
    items = tuple(shown(whole[hit.id], include) for hit in found.hits if hit.id in whole)  # one may be gone since it was found
    return as_json(PAGE.dump_json(Listed[ShownDocument](items=items, next=found.cursor)))

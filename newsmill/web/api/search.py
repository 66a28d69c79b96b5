"""Search: matches with snippets or as whole documents. Any text is a query."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field, TypeAdapter

from newsmill.search.query_notes import QueryNote
from newsmill.search.results import Hit
from newsmill.search.search import Search
from newsmill.storage.changes import Changes
from newsmill.storage.tokens import Scope
from newsmill.web.api.documents import DocumentResponse, Include, json_response, to_responses
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Cursor, ItemList, Limit, QueryText, User
from newsmill.web.past_stores import SearchContext

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
    answers: int | None = Field(
        description="Matches that are about the query; the others only mention its words. Null if not all matches were scored."
    )
    suggestion: str | None = Field(description="Where nothing is found: the query in a spelling that the index has.")


Fold = Annotated[bool, Query(description="Count and list only the first match of each group of copies.")]


@router.get("/search")
def search(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "relevance",
    limit: Limit = 20,
    cursor: Cursor = None,
    explain: Annotated[bool, Query(description="Give each item the parts of its score; only in the order of relevance.")] = False,
    fold: Fold = True,
) -> SearchResponse:
    """Search documents. Each piece of a snippet states whether it matches the query. `copies`: the other matches of a group of copies,
    which are left out."""
    results = Search(context.engine, user).search(q, limit=limit, cursor=cursor, order=order, explain=explain, fold=fold)
    return SearchResponse(
        items=results.hits,
        next=results.cursor,
        total=results.total,
        reached=results.reached,
        answers=results.answers,
        notes=tuple(map(Note.of, results.notes)),
        suggestion=results.suggestion,
    )


@router.get("/search/documents", response_model=ItemList[DocumentResponse])
def search_documents(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
    fold: Fold = False,
) -> Response:
    """Search documents and get them with all fields, copies too."""
    results = Search(context.engine, user).search(q, limit=limit, cursor=cursor, order=order, wait=True, fold=fold)
    by_id = {document.id: document for document in Changes(context.engine).get_many([hit.id for hit in results.hits])}
    found = [by_id[hit.id] for hit in results.hits if hit.id in by_id]  # one may be deleted by now
    items = to_responses(context, user, found, include)
    return json_response(LIST_ADAPTER.dump_json(ItemList[DocumentResponse](items=items, next=results.cursor)))

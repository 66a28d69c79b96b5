"""Whole documents that match a query: for programs that read them all, where a hit with a snippet is not enough."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import TypeAdapter

from newsmill.search import Search
from newsmill.storage.changes import Changes
from newsmill.storage.tokens import Scope
from newsmill.web.api.document_fields import Include, ShownDocument, shown
from newsmill.web.api.documents import as_json
from newsmill.web.api.responses import Cursor, Limit, Listed, TheHouse
from newsmill.web.api.search import Q
from newsmill.web.auth import authorised

PAGE = TypeAdapter(Listed[ShownDocument])

router = APIRouter(tags=["search"], dependencies=[Depends(authorised(Scope.READ))])


@router.get("/search/documents", response_model=Listed[ShownDocument])
def matching(
    house: TheHouse,
    q: Q = "",
    order: Literal["relevance", "newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Documents that match, with all their fields."""
    found = Search(house.engine).search(q, limit=limit, cursor=cursor, order=order, wait=True)
    whole = {document.id: document for document in Changes(house.engine).several([hit.id for hit in found.hits])}
    items = tuple(shown(whole[hit.id], include) for hit in found.hits if hit.id in whole)  # one may be gone since it was found
    return as_json(PAGE.dump_json(Listed[ShownDocument](items=items, next=found.cursor)))

"""Quarantined pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.model import State
from newsmill.storage.ledger import Trace
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, ItemList, Limit, Url
from newsmill.web.problem_details import error_responses

quarantine_router = APIRouter(prefix="/quarantine", tags=["quarantine"], dependencies=[Depends(require_scope(Scope.READ))])


class QuarantineRequest(BaseModel):
    """URLs of pages in quarantine."""

    model_config = ConfigDict(extra="forbid")
    urls: list[Url] = Field(min_length=1, max_length=1000)


class QuarantineResponse(BaseModel):
    """The number of changed pages. URLs that are not in quarantine do not change."""

    changed: int


@quarantine_router.get("")
def list_quarantined(context: Context, limit: Limit = 50, cursor: Annotated[int, Query(ge=0, lt=1 << 62)] = 0) -> ItemList[Trace]:
    """List the quarantined pages with their stage and reason (`detail`)."""
    found = context.ledger.traces.list_quarantined(limit=limit, after=cursor)
    return ItemList[Trace](items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)


@quarantine_router.get("/page", responses=error_responses(404))
def get_quarantined(context: Context, url: Url) -> Trace:
    """Get a quarantined page."""
    found = context.ledger.traces.get(url)
    if found is None or found.state is not State.QUARANTINED:
        raise HTTPException(404, "this URL is not in quarantine; /api/v1/ledger/trace shows its state")
    return found


@quarantine_router.post("/retry", dependencies=[Depends(require_scope(Scope.WRITE))], responses=error_responses(403))
def retry_quarantined(context: Context, pages: QuarantineRequest) -> QuarantineResponse:
    """Requeue quarantined pages; each has three attempts again."""
    return QuarantineResponse(changed=context.ledger.retries.retry_quarantined(pages.urls, now=context.now()))


@quarantine_router.post("/drop", dependencies=[Depends(require_scope(Scope.ADMIN))], responses=error_responses(403))
def drop_quarantined(context: Context, pages: QuarantineRequest) -> QuarantineResponse:
    """Drop quarantined pages permanently, with outcome `discarded`. The archived pages remain."""
    return QuarantineResponse(changed=context.ledger.retries.discard(pages.urls, now=context.now()))

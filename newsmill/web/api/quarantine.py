"""Pages whose reading killed the process three times, or took longer than its limit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from newsmill.model import State
from newsmill.storage.ledger import Trace
from newsmill.storage.tokens import Scope
from newsmill.web.api.responses import Address, Context, Limit, Listed, refusals
from newsmill.web.auth import authorised

router = APIRouter(prefix="/quarantine", tags=["quarantine"], dependencies=[Depends(authorised(Scope.READ))])


class Named(BaseModel):
    """Addresses of pages in quarantine."""

    urls: list[Address] = Field(min_length=1, max_length=1000)


class Changed(BaseModel):
    """How many pages were changed; addresses that are not in quarantine are left alone."""

    changed: int


@router.get("")
def quarantined(context: Context, limit: Limit = 50, cursor: Annotated[int, Query(ge=0, lt=1 << 62)] = 0) -> Listed[Trace]:
    """Every quarantined page with the stage and the reason (`detail`)."""
    found = context.ledger.quarantined(limit=limit, after=cursor)
    return Listed[Trace](items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)


@router.get("/page", responses=refusals(404))
def quarantined_page(context: Context, url: Address) -> Trace:
    """One of them."""
    found = context.ledger.trace(url)
    if found is None or found.state is not State.QUARANTINED:
        raise HTTPException(404, "this page is not in quarantine")
    return found


@router.post("/retry", dependencies=[Depends(authorised(Scope.WRITE))], responses=refusals(403))
def retry(context: Context, named: Named) -> Changed:
    """Try pages again, with three lives each."""
    held = [url for url in named.urls if is_held(context.ledger.trace(url))]
    return Changed(changed=context.ledger.retry(now=context.now(), urls=held))


@router.post("/drop", dependencies=[Depends(authorised(Scope.ADMIN))], responses=refusals(403))
def drop(context: Context, named: Named) -> Changed:
    """Give pages up for good: outcome `discarded`. The archived bytes stay."""
    return Changed(changed=context.ledger.discard(named.urls, now=context.now()))


def is_held(trace: Trace | None) -> bool:
    return trace is not None and trace.state is State.QUARANTINED

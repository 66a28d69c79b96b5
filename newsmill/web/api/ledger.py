"""The ledger: how far the work is, how addresses ended, and what happened to one."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.ledger import By, CounterRow, Trace
from newsmill.storage.tokens import Scope
from newsmill.web.api.responses import Context, Day, ItemList, Limit, SourceName, Url, complete_list, error_responses
from newsmill.web.auth import require_scope

router = APIRouter(prefix="/ledger", tags=["ledger"], dependencies=[Depends(require_scope(Scope.READ))])

DEFAULT_PERIOD = timedelta(days=14)
MAX_COUNTS = 10_000  # of one page of counts: about 1 MB


class LedgerProgress(BaseModel):
    """How far the work is. Addresses that are feeds, sitemaps or sections count as listings."""

    model_config = ConfigDict(from_attributes=True)
    pages: int
    pending: int
    states: dict[State, int]
    outcomes: dict[Outcome, int]
    listings: dict[State, int]


class OutcomeDescription(BaseModel):
    """What an outcome means."""

    outcome: Outcome
    state: State
    meaning: str


@router.get("/progress")
def get_progress(context: Context, source: SourceName = None) -> LedgerProgress:
    """How many pages are in which state, and how many ended how."""
    return LedgerProgress.model_validate(context.ledger.progress(source))


@router.get("/counts")
def list_counts(
    context: Context,
    by: Annotated[list[By], Query(min_length=1, max_length=4, description="Added up by these.")] = ["day", "outcome"],  # noqa: B006 (FastAPI copies it)
    since: Annotated[Day | None, Query(description="The first day (UTC); 14 days ago unless said.")] = None,
    until: Annotated[Day | None, Query(description="The last day.")] = None,
    source: SourceName = None,
    cursor: Annotated[int, Query(ge=0, lt=1 << 31, description="`next` of the page before.")] = 0,
) -> ItemList[CounterRow]:
    """How many addresses ended how, newest day first; a page of the list holds 10,000 sums. A page counts on the day it ended
    last, a listing every round."""
    first = since or (context.now() - DEFAULT_PERIOD).date()
    found = context.ledger.sum_counters(by, since=first, until=until, source=source, limit=MAX_COUNTS + 1, offset=cursor)
    return ItemList[CounterRow](items=tuple(found[:MAX_COUNTS]), next=str(cursor + MAX_COUNTS) if len(found) > MAX_COUNTS else None)


@router.get("/outcomes")
def list_outcomes() -> ItemList[OutcomeDescription]:
    """Every way an address can end, and what it means."""
    return complete_list(OutcomeDescription(outcome=outcome, state=state, meaning=words) for outcome, (state, words) in OUTCOMES.items())


@router.get("/trace", responses=error_responses(404))
def get_trace(context: Context, url: Url) -> Trace:
    """Everything known about one address, in any spelling."""
    found = context.ledger.trace(url)
    if found is None:
        raise HTTPException(404, "this address was never seen; POST /api/v1/urls hands it in")
    return found


@router.get("/traces")
def list_traces(
    context: Context,
    outcome: Outcome | None = None,
    source: SourceName = None,
    limit: Limit = 50,
    cursor: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the page before.")] = 0,
) -> ItemList[Trace]:
    """Addresses by the order they were found in: those that ended one way, those of one source, or all."""
    found = context.ledger.traces(outcome=outcome, source=source, limit=limit, after=cursor)
    return ItemList[Trace](items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)

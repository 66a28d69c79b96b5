"""The ledger: the progress of URLs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.ledger import By, CounterRow, Trace
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, Day, ItemList, Limit, SourceName, Url, complete_list
from newsmill.web.problem_details import error_responses

ledger_router = APIRouter(prefix="/ledger", tags=["ledger"], dependencies=[Depends(require_scope(Scope.READ))])

DEFAULT_PERIOD = timedelta(days=14)
MAX_COUNTS = 10_000  # in one page of the list, about 1 MB


class LedgerProgress(BaseModel):
    """The progress of the crawl. Feeds, sitemaps, sections and homepages count as listings."""

    model_config = ConfigDict(from_attributes=True)
    pages: int
    pending: int
    states: dict[State, int]
    outcomes: dict[Outcome, int]
    listings: dict[State, int]


class OutcomeDescription(BaseModel):
    """The meaning of an outcome."""

    outcome: Outcome
    state: State
    meaning: str


@ledger_router.get("/progress")
def get_progress(context: Context, source: SourceName = None) -> LedgerProgress:
    """Count pages by state and outcome."""
    return LedgerProgress.model_validate(context.ledger.progress.count(*(() if source is None else (source,))))


@ledger_router.get("/counts")
def list_counts(
    context: Context,
    by: Annotated[list[By], Query(min_length=1, max_length=4, description="The columns to group by.")] = ["day", "outcome"],  # noqa: B006 (FastAPI copies it)
    since: Annotated[Day | None, Query(description="The first day (UTC); default: 14 days ago.")] = None,
    until: Annotated[Day | None, Query(description="The last day (UTC).")] = None,
    source: SourceName = None,
    cursor: Annotated[int, Query(ge=0, lt=1 << 31, description="`next` of the previous page.")] = 0,
) -> ItemList[CounterRow]:
    """Count the outcomes of URLs, newest day first, 10,000 counts per page. A page counts on the day of its last outcome, a listing on each
    check."""
    first = since or (context.now() - DEFAULT_PERIOD).date()
    counts = context.ledger.counters.sum(by, since=first, until=until, source=source, limit=MAX_COUNTS + 1, offset=cursor)
    return ItemList[CounterRow](items=tuple(counts[:MAX_COUNTS]), next=str(cursor + MAX_COUNTS) if len(counts) > MAX_COUNTS else None)


@ledger_router.get("/outcomes")
def list_outcomes() -> ItemList[OutcomeDescription]:
    """List the outcomes of a URL and their meanings."""
    return complete_list(
        OutcomeDescription(outcome=outcome, state=facts.state, meaning=facts.meaning) for outcome, facts in OUTCOMES.items()
    )


@ledger_router.get("/trace", responses=error_responses(404))
def get_trace(context: Context, url: Url) -> Trace:
    """Get everything known about a URL, in any spelling."""
    found = context.ledger.traces.get(url)
    if found is None:
        raise HTTPException(404, "Newsmill has not seen this URL; POST /api/v1/urls submits it")
    return found


@ledger_router.get("/traces")
def list_traces(
    context: Context,
    outcome: Outcome | None = None,
    source: SourceName = None,
    limit: Limit = 50,
    cursor: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the previous page.")] = 0,
) -> ItemList[Trace]:
    """List URLs in the order they were found, optionally of one outcome or source."""
    found = context.ledger.traces.list_all(outcome=outcome, source=source, limit=limit, after=cursor)
    return ItemList[Trace](items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)

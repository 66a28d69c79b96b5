"""Operations: the progress and the outcomes of URLs (the ledger), quarantined pages, and the health of the service."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.exceptions import ServiceError
from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.ledger import By, CounterRow, Trace
from newsmill.storage.processes import Process, list_live_processes
from newsmill.storage.statistics import OperationStatistics
from newsmill.storage.tokens import Scope
from newsmill.version import __version__
from newsmill.web.auth import require_scope
from newsmill.web.responses import Context, Day, ItemList, Limit, SourceName, Url, complete_list, error_responses

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
    return LedgerProgress.model_validate(context.ledger.progress(source))


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
    counts = context.ledger.sum_counters(by, since=first, until=until, source=source, limit=MAX_COUNTS + 1, offset=cursor)
    return ItemList[CounterRow](items=tuple(counts[:MAX_COUNTS]), next=str(cursor + MAX_COUNTS) if len(counts) > MAX_COUNTS else None)


@ledger_router.get("/outcomes")
def list_outcomes() -> ItemList[OutcomeDescription]:
    """List the outcomes of a URL and their meanings."""
    return complete_list(OutcomeDescription(outcome=outcome, state=state, meaning=text) for outcome, (state, text) in OUTCOMES.items())


@ledger_router.get("/trace", responses=error_responses(404))
def get_trace(context: Context, url: Url) -> Trace:
    """Get everything known about a URL, in any spelling."""
    found = context.ledger.trace(url)
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
    found = context.ledger.traces(outcome=outcome, source=source, limit=limit, after=cursor)
    return ItemList[Trace](items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)


# ---- quarantine --------------------------------------------------------------------------------------------------------------

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
    found = context.ledger.quarantined(limit=limit, after=cursor)
    return ItemList[Trace](items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)


@quarantine_router.get("/page", responses=error_responses(404))
def get_quarantined(context: Context, url: Url) -> Trace:
    """Get a quarantined page."""
    found = context.ledger.trace(url)
    if found is None or found.state is not State.QUARANTINED:
        raise HTTPException(404, "this URL is not in quarantine; /api/v1/ledger/trace shows its state")
    return found


@quarantine_router.post("/retry", dependencies=[Depends(require_scope(Scope.WRITE))], responses=error_responses(403))
def retry_quarantined(context: Context, pages: QuarantineRequest) -> QuarantineResponse:
    """Requeue quarantined pages; each has three attempts again."""
    return QuarantineResponse(changed=context.ledger.retry_quarantined(pages.urls, now=context.now()))


@quarantine_router.post("/drop", dependencies=[Depends(require_scope(Scope.ADMIN))], responses=error_responses(403))
def drop_quarantined(context: Context, pages: QuarantineRequest) -> QuarantineResponse:
    """Drop quarantined pages permanently, with outcome `discarded`. The archived pages remain."""
    return QuarantineResponse(changed=context.ledger.discard(pages.urls, now=context.now()))


# ---- health ------------------------------------------------------------------------------------------------------------------

health_router = APIRouter(tags=["health"])


class LiveResponse(BaseModel):
    status: str = "ok"


class HealthResponse(BaseModel):
    """The state of the service."""

    version: str
    now: datetime
    documents: int = Field(description="Stored documents. On PostgreSQL, above 100,000, the estimate of the last VACUUM or ANALYZE.")
    pending: int = Field(description="URLs without a result.")
    queue: int | None = Field(description="Segments (about 32 pages each) in the queue; null when Redis does not answer.")
    redis: bool = Field(description="Whether Redis answers. Reading over the API does not need it.")
    processes: tuple[Process, ...] = Field(description="Live processes.")


@health_router.get("/live")
async def get_live() -> LiveResponse:
    """Check that the web process responds. Needs no token, no database and no Redis."""
    return LiveResponse()


@health_router.get("/health", dependencies=[Depends(require_scope(Scope.READ))], responses=error_responses(401, 503))
def get_health(context: Context) -> HealthResponse:
    """Get the number of documents and pending URLs, the length of the queue, and the live processes."""
    try:
        depth = context.queue_depth()
    except ServiceError:
        depth = None
    return HealthResponse(
        version=__version__,
        now=context.now(),
        documents=context.documents.estimate_count()[0],
        pending=OperationStatistics(context.engine).count_pending(),
        queue=depth,
        redis=depth is not None,
        processes=tuple(list_live_processes(context.engine, now=context.now())),
    )

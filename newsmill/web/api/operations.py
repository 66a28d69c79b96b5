"""Operations: the progress and the outcomes of URLs (the ledger), quarantined pages, the health of the service, and `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.model import OUTCOMES, Outcome, State
from newsmill.storage.alerts import Alerts
from newsmill.storage.ledger import By, CounterRow, Trace
from newsmill.storage.processes import Process, list_live_processes
from newsmill.storage.source_checks import SourceAlarms
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


# ---- health ------------------------------------------------------------------------------------------------------------------

health_router = APIRouter(tags=["health"])


class LiveResponse(BaseModel):
    status: str = "ok"


class HealthResponse(BaseModel):
    """The state of the service."""

    version: str
    now: datetime
    documents: int = Field(description="Stored documents. On PostgreSQL, above 100,000, the estimate of the last VACUUM or ANALYZE.")
    pending: int = Field(description="Pages and listings without an outcome.")
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
        pending=context.ledger.progress.count().pending,
        queue=depth,
        redis=depth is not None,
        processes=tuple(list_live_processes(context.engine, now=context.now())),
    )


# ---- metrics: each is cheap in a store of any size, and none has a label per source

ROLES = ("crawler", "scheduler", "web", "worker")

metrics_router = APIRouter(include_in_schema=False)


class MetricsResponse(PlainTextResponse):
    media_type = "text/plain; version=0.0.4"


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge: `values` by the value of `label`, or one value under "" without a label."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""


@metrics_router.get("/metrics", dependencies=[Depends(require_scope(Scope.READ))])
def get_metrics(context: Context) -> MetricsResponse:
    """The figures of the store in the text format of Prometheus. Raises ServiceError when the database does not answer."""
    return MetricsResponse("".join(map(format_metric, read_metrics(context))))


def format_metric(metric: Metric) -> str:
    """The lines of a metric. Values of labels are names of Newsmill's own, which need no escape.

    >>> print(format_metric(Metric("newsmill_processes", "Live processes.", {"crawler": 1}, "role")), end="")
    # HELP newsmill_processes Live processes.
    # TYPE newsmill_processes gauge
    newsmill_processes{role="crawler"} 1
    """
    name = metric.name
    labels = {value: f'{{{metric.label}="{value}"}}' if metric.label else "" for value in metric.values}
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge", *(f"{name}{labels[key]} {n}" for key, n in metric.values.items())]
    return "\n".join(lines) + "\n"


def read_metrics(context: AppContext) -> Iterator[Metric]:
    """The metrics. A figure that is not known now, such as the length of the queue of a Redis that does not answer, is left out."""
    progress, statistics = context.ledger.progress.count(), OperationStatistics(context.engine)
    space, disk = statistics.space(), context.archive.disk_usage()
    newest = context.documents.newest_time()
    roles = Counter(process.role for process in list_live_processes(context.engine, now=context.now()))
    alarms = Counter(alarm.finding.cause.value for alarm in SourceAlarms(context.engine).list_open())
    try:
        depth = context.queue_depth()
    except ServiceError:
        depth = None
    yield Metric("newsmill_info", "The version of the web process.", {__version__: 1}, "version")
    yield Metric("newsmill_documents", "Stored documents.", {"": context.documents.estimate_count()[0]})
    yield Metric("newsmill_doubtful_documents", "Documents with a low confidence.", {"": context.documents.count_doubtful()})
    if newest is not None:
        yield Metric("newsmill_newest_document_timestamp_seconds", "When the newest document was first seen.", {"": newest.timestamp()})
    yield Metric("newsmill_pages", "Pages by state.", {state.value: n for state, n in progress.states.items()}, "state")
    yield Metric("newsmill_page_outcomes", "Pages by outcome.", {outcome.value: n for outcome, n in progress.outcomes.items()}, "outcome")
    yield Metric("newsmill_pending_urls", "Pages and listings without an outcome.", {"": progress.pending})
    yield Metric("newsmill_deferred_pages", "Pages with expensive or crashed extraction.", {"": context.ledger.deferred.count()})
    yield Metric("newsmill_redis_up", "Whether Redis answers.", {"": int(depth is not None)})
    if depth is not None:
        yield Metric("newsmill_queue_segments", "Segments that wait for a worker, about 32 pages each.", {"": depth})
    yield Metric("newsmill_processes", "Live processes by role.", {role: roles[role] for role in ROLES}, "role")
    followed, paused = statistics.count_sources()
    yield Metric("newsmill_sources", "Sources, followed or paused.", {"followed": followed, "paused": paused}, "state")
    yield Metric("newsmill_source_alarms", "Open alarms by cause.", alarms, "cause")
    yield Metric("newsmill_failing_alerts", "Alerts of users that cannot be delivered.", {"": len(Alerts(context.engine).list_failing())})
    yield Metric("newsmill_archive_bytes", "Size of the archive.", {"": space.archive})
    yield Metric("newsmill_database_bytes", "Size of the database.", {"": space.database})
    if disk is not None:
        yield Metric("newsmill_archive_disk_free_bytes", "Free space on the disk of the archive.", {"": disk.free})

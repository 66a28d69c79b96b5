"""The health of the service."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from newsmill.exceptions import ServiceError
from newsmill.storage.processes import Process, list_live_processes
from newsmill.storage.tokens import Scope
from newsmill.version import __version__
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context
from newsmill.web.problem_details import error_responses

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

"""Is it alive, and who is at work."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from newsmill import __version__
from newsmill.exceptions import ServiceError
from newsmill.storage.processes import Process, list_live_processes
from newsmill.storage.statistics import OperationStatistics
from newsmill.storage.tokens import Scope
from newsmill.web.api.responses import Context, error_responses
from newsmill.web.auth import require_scope

router = APIRouter(tags=["health"])


class LiveResponse(BaseModel):
    status: str = "ok"


class HealthResponse(BaseModel):
    """How the whole fares."""

    version: str
    now: datetime
    documents: int = Field(description="On Postgres above 100,000 what VACUUM or ANALYZE found last.")
    owed: int = Field(description="Addresses that have not ended yet.")
    queue: int | None = Field(description="Segments (about 32 pages each) that wait for a worker; null where Redis does not answer.")
    redis: bool = Field(description="Whether Redis answers. Nothing that is read here needs it.")
    processes: tuple[Process, ...] = Field(description="Who did a round lately.")


@router.get("/live")
async def get_live() -> LiveResponse:
    """That this process answers. Needs no token, and asks neither database nor Redis."""
    return LiveResponse()


@router.get("/health", dependencies=[Depends(require_scope(Scope.READ))], responses=error_responses(401, 503))
def get_health(context: Context) -> HealthResponse:
    """Documents, what is owed, the queue, and who is at work."""
    try:
        depth = context.queue_depth()
    except ServiceError:
        depth = None
    return HealthResponse(
        version=__version__,
        now=context.now(),
        documents=context.documents.estimate_count()[0],
        owed=OperationStatistics(context.engine).count_pending(),
        queue=depth,
        redis=depth is not None,
        processes=tuple(list_live_processes(context.engine, now=context.now())),
    )

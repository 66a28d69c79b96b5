"""The HTTP API under /api/v1, one module per resource. docs/reference/http-api.md has examples, which a test runs."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from newsmill.web.api import (
    documents,
    marks,
    operations,
    search,
    search_counts,
    searches,
    source_schedule,
    sources,
    stream,
    submissions,
    submitted_pages,
    webhooks,
)
from newsmill.web.api.responses import error_responses

# Only for the OpenAPI schema; newsmill/web/auth.py checks the token.
bearer = HTTPBearer(auto_error=False, description="A token from `newsmill token add`.")

router = APIRouter(dependencies=[Depends(bearer)], responses=error_responses(401, 422, 429, 503))
for part in (
    documents.router,
    search.router,
    searches.router,
    marks.router,
    search_counts.router,
    sources.router,
    source_schedule.router,
    operations.ledger_router,
    submissions.router,
    submitted_pages.router,
    operations.quarantine_router,
    stream.router,
    webhooks.router,
    operations.health_router,
):
    router.include_router(part)

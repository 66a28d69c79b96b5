"""The HTTP API, /api/v1. One file per noun; docs/reference/http-api.md shows each with an example that a test runs."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from newsmill.web.api import documents, health, ledger, quarantine, search, sources, stream, submissions, webhooks
from newsmill.web.api.responses import error_responses

# Only for the schema: who calls is found in callers.py.
bearer = HTTPBearer(auto_error=False, description="A token of `newsmill token add`.")

router = APIRouter(dependencies=[Depends(bearer)], responses=error_responses(401, 422, 429, 503))
for part in (documents, search, sources, ledger, submissions, quarantine, stream, webhooks, health):
    router.include_router(part.router)

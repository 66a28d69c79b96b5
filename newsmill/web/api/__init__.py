"""The HTTP API under /api/v1, one module per resource. docs/reference/http-api.md has examples, which a test runs."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPBearer

from newsmill.web.api import (
    documents,
    operations,
    search,
    searches,
    sources,
    stream,
    submissions,
    webhooks,
)
from newsmill.web.api.responses import error_responses
from newsmill.web.problem_details import MAX_ERRORS, RequestErrors

# Only for the OpenAPI schema; newsmill/web/auth.py checks the token.
bearer = HTTPBearer(auto_error=False, description="A token from `newsmill token add`.")


async def refuse_unknown_parameters(request: Request) -> None:
    """Raises RequestErrors for a query parameter that the route does not take: with a misspelt filter, a list would show everything."""
    known = sorted(list_query_names(request.scope["route"].dependant))
    expected = f"expected {', '.join(known)}" if known else "expected none"
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        errors = [{"where": f"query {name[:100]}", "detail": f"this parameter is unknown; {expected}"} for name in unknown[:MAX_ERRORS]]
        raise RequestErrors(422, "{where}: {detail}".format_map(errors[0]), errors)


def list_query_names(dependant: Dependant) -> set[str]:
    """The query parameters of a route and of what it depends on."""
    return {parameter.alias for parameter in dependant.query_params}.union(*map(list_query_names, dependant.dependencies))


router = APIRouter(dependencies=[Depends(bearer), Depends(refuse_unknown_parameters)], responses=error_responses(401, 422, 429, 503))
for part in (
    documents.router,
    search.router,
    searches.router,
    documents.marks_router,
    sources.router,
    operations.ledger_router,
    submissions.router,
    operations.quarantine_router,
    stream.router,
    webhooks.router,
    operations.health_router,
):
    router.include_router(part)

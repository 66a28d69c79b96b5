"""The HTTP API under /api/v1, one module per resource. docs/reference/http-api.md has examples, which a test runs."""

from __future__ import annotations

from collections import Counter
from typing import get_origin

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPBearer

from newsmill.web.api import (
    documents,
    operations,
    search,
    searches,
    sources,
    submissions,
    webhooks,
)
from newsmill.web.responses import MAX_ERRORS, RequestErrors, error_responses

# Only for the OpenAPI schema; newsmill/web/auth.py checks the token.
bearer = HTTPBearer(auto_error=False, description="A token from `newsmill token add`.")


async def check_query_parameters(request: Request) -> None:
    """Raises RequestErrors for a query parameter that the route does not take, or takes once only: with a misspelt or a lost filter, a list
    would show other things than the caller wants."""
    known = list_query_parameters(request.scope["route"].dependant)
    expected = f"expected {', '.join(sorted(known))}" if known else "expected none"
    errors = []
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            errors.append({"where": f"query {name[:100]}", "detail": f"this parameter is unknown; {expected}"})
        elif times > 1 and not known[name]:
            errors.append({"where": f"query {name}", "detail": f"expected one value, not {times}"})
    if errors:
        raise RequestErrors(422, "{where}: {detail}".format_map(errors[0]), errors[:MAX_ERRORS])


def list_query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The query parameters of a route and of what it depends on, and whether each takes several values."""
    own = {parameter.alias: get_origin(parameter.field_info.annotation) is list for parameter in dependant.query_params}
    return own | {name: many for part in dependant.dependencies for name, many in list_query_parameters(part).items()}


router = APIRouter(dependencies=[Depends(bearer), Depends(check_query_parameters)], responses=error_responses(401, 422, 429, 503))
for part in (
    documents.router,
    search.router,
    searches.router,
    documents.marks_router,
    sources.router,
    operations.ledger_router,
    submissions.router,
    operations.quarantine_router,
    documents.stream_router,
    webhooks.router,
    operations.health_router,
):
    router.include_router(part)

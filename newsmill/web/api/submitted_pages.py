"""Pages that a program fetched itself. They are stored like those of the crawler."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from newsmill.archive.warc_responses import read_responses
from newsmill.context import AppContext
from newsmill.intake.page_requests import MAX_REQUEST_PAGES, PagesRequest, limit_time
from newsmill.intake.page_submission import make_enqueue, store_pages
from newsmill.model import Page, PageReceipt, PageStatus
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, QueryText
from newsmill.web.problem_details import MAX_ERRORS, RequestErrors, describe_error, error_responses

router = APIRouter(tags=["submissions"])

JSON_TYPE, WARC_TYPE = "application/json", "application/warc"
MAX_WARC_RECORDS = 4 * MAX_REQUEST_PAGES  # a page may have a response, a request and two more records
MAX_WARC_BYTES = 64 << 20  # unpacked
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        JSON_TYPE: {"schema": {"$ref": "#/components/schemas/PagesRequest"}},
        WARC_TYPE: {"schema": {"type": "string", "format": "binary"}},
    },
}


class SubmittedPageReceipt(BaseModel):
    """What happened to a page."""

    url: str = Field(description="The URL that the ledger names: the one before redirects.")
    status: PageStatus = Field(
        description="queued: a worker extracts it. known: it equals the archived page of this URL. rejected: see reason."
    )
    reason: str | None
    outcome: str | None = Field(description="The path that gives the outcome; null for a rejected page.")


class PageReceipts(BaseModel):
    """The answers for the pages of a request, then for its items, in order."""

    items: tuple[SubmittedPageReceipt, ...]


@router.post("/pages", status_code=202, responses=error_responses(401, 403, 422, 503), openapi_extra={"requestBody": REQUEST_BODY})
async def submit_pages(
    request: Request,
    context: Context,
    caller: Annotated[object, Depends(require_scope(Scope.WRITE))],
    source: Annotated[QueryText | None, Query(description="Of a WARC file: name of the source that the pages belong to.")] = None,
) -> PageReceipts:
    """Submit up to 32 fetched pages, as JSON or as a WARC file, and articles with ready fields, as JSON. Submitting a page twice changes
    nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON_TYPE, WARC_TYPE):
        raise HTTPException(415, f"expected Content-Type {JSON_TYPE} or {WARC_TYPE}")
    body = await request.body()  # the dependencies above have checked the token
    receipts = await run_in_threadpool(store_body, context, kind, body, source)
    return PageReceipts(items=tuple(map(describe_receipt, receipts)))


def request_schemas() -> dict[str, Any]:
    """The OpenAPI schemas of the JSON body, by name. FastAPI does not see them, because the route reads the body itself."""
    schema = PagesRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "PagesRequest": schema}


def store_body(context: AppContext, kind: str, body: bytes, source: str | None) -> tuple[PageReceipt, ...]:
    """Read and store the pages of a request body. Raises HTTPException 422 for a body that cannot be read."""
    now = context.now()
    pages = read_warc(body, source, now) if kind == WARC_TYPE else read_json(body, now)
    for name in sorted({page.source for page in pages if page.source is not None}):
        if context.ledger.sources.get(name) is None:
            raise HTTPException(422, f"source: {name[:100]!r} does not exist; GET /api/v1/sources lists all")
    return store_pages(context, make_enqueue(context.settings), pages, found_by="api")


def read_json(body: bytes, now: datetime) -> list[Page]:
    try:
        return PagesRequest.model_validate_json(body).to_pages(now)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:MAX_ERRORS]
        errors = [describe_error({**item, "loc": ("body", *item["loc"])}) for item in found]
        raise RequestErrors(422, "{where}: {detail}".format(**errors[0])[:500], errors) from None


def read_warc(body: bytes, source: str | None, now: datetime) -> list[Page]:
    try:
        pages = read_responses(io.BytesIO(body), max_records=MAX_WARC_RECORDS, max_bytes=MAX_WARC_BYTES)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    if len(pages) > MAX_REQUEST_PAGES:
        raise HTTPException(422, f"the WARC file has over {MAX_REQUEST_PAGES} response records")
    return [replace(page, source=source, fetched_at=limit_time(page.fetched_at, now)) for page in pages]


def describe_receipt(receipt: PageReceipt) -> SubmittedPageReceipt:
    is_stored = receipt.status is not PageStatus.REJECTED
    outcome = f"/api/v1/ledger/trace?{urlencode({'url': receipt.url})}" if is_stored else None
    return SubmittedPageReceipt(url=receipt.url, status=receipt.status, reason=receipt.reason, outcome=outcome)

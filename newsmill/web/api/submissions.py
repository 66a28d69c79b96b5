"""Submissions: URLs to fetch once, and pages that a program fetched itself. Each gets an outcome."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from newsmill import address_guard
from newsmill.address_guard import Guard
from newsmill.archive.warc import read_responses
from newsmill.context import AppContext
from newsmill.exceptions import UrlError
from newsmill.intake.submission import MAX_REQUEST_PAGES, PagesRequest, limit_time, make_enqueue, store_pages
from newsmill.model import Page, PageReceipt, PageStatus
from newsmill.notifications.channels.http_post import find_target_refusal
from newsmill.storage.ledger.submissions import Submissions, SubmittedUrl
from newsmill.storage.tokens import Scope
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.text import urls
from newsmill.web.auth import Caller, require_scope
from newsmill.web.responses import MAX_ERRORS, Context, Id, QueryText, RequestErrors, Url, describe_error, error_responses

router = APIRouter(tags=["submissions"])

MAX_URLS = 10_000  # of one submission, about 2 MB
MAX_PAGE = 1000  # URLs of one page of a submission


class SubmissionRequest(BaseModel):
    """URLs to fetch once."""

    model_config = ConfigDict(extra="forbid")
    urls: list[Url] = Field(min_length=1, max_length=MAX_URLS)
    source: QueryText | None = Field(default=None, description="Name of the source they belong to.")
    again: bool = Field(default=False, description="Fetch known URLs again.")
    webhook: Url | None = Field(default=None, description="URL that is called, with a signature, when every URL has an outcome.")


class SubmissionResponse(BaseModel):
    """An accepted submission."""

    id: str
    urls: int
    webhook_secret: str | None = Field(description="Verifies the calls of the webhook; shown once.")


class SubmissionDetails(BaseModel):
    """The progress of a submission, with one page of its URLs."""

    id: str
    created_at: datetime
    source: str | None
    urls: int
    open: int = Field(description="Pending URLs.")
    done: bool
    items: tuple[SubmittedUrl, ...]
    next: str | None


@router.post("/urls", status_code=202, responses=error_responses(401, 403, 422))
def submit_urls(
    request: Request,
    response: Response,
    context: Context,
    caller: Annotated[Caller, Depends(require_scope(Scope.WRITE))],
    body: SubmissionRequest,
) -> SubmissionResponse:
    """Submit up to 10,000 URLs. If one certainly leads into a private network, the whole submission is refused. An invalid URL gets the
    outcome `bad_url`."""
    guard = Guard.from_networks(request.app.state.config.allow_nets)
    check_urls(body.urls, guard)
    if body.source is not None and context.ledger.sources.get(body.source) is None:
        raise HTTPException(422, f"source: {body.source[:100]!r} does not exist; GET /api/v1/sources lists all")
    webhook = None
    if body.webhook:
        if reason := find_target_refusal(body.webhook, guard):
            raise HTTPException(422, f"webhook: {reason}")
        webhook = Webhooks(context.engine).add(body.webhook, WebhookEvent.SUBMISSION, now=context.now(), token=caller.name)
    submission_id = Submissions(context.engine).add(
        body.urls, now=context.now(), token=caller.name, source=body.source, again=body.again, webhook=webhook.id if webhook else None
    )
    response.headers["Location"] = f"/api/v1/submissions/{submission_id}"
    return SubmissionResponse(id=submission_id, urls=len(body.urls), webhook_secret=webhook.secret if webhook else None)


def check_urls(submitted: list[str], guard: Guard) -> None:
    """Raises RequestErrors with the first URLs that Newsmill never fetches."""
    errors = []
    for number, url in enumerate(submitted):
        if is_http_url(url) and (reason := address_guard.refusal_reason(url, guard)):
            errors.append({"where": f"#/urls/{number}", "detail": reason})
    if errors:
        count = "1 URL leads" if len(errors) == 1 else f"{len(errors)} URLs lead"
        detail = f"nothing was submitted: {count} into a private network or to a forbidden port (see errors); remove them and submit again"
        raise RequestErrors(422, detail, errors[:MAX_ERRORS])


def is_http_url(url: str) -> bool:
    try:
        urls.normalize(url)
    except UrlError:
        return False
    return True


@router.get("/submissions/{id}", dependencies=[Depends(require_scope(Scope.READ))], responses=error_responses(404))
def get_submission(
    context: Context,
    id: Id,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    cursor: Annotated[int, Query(ge=-1, lt=1 << 31)] = -1,
) -> SubmissionDetails:
    """Get a submission with the outcome of each URL; null while a URL is pending."""
    submissions = Submissions(context.engine)
    submission = submissions.get(id)
    if submission is None:
        raise HTTPException(404, f"submission {id!r} does not exist or has expired")
    rows = submissions.rows(id, after=cursor, limit=limit)
    return SubmissionDetails(
        id=submission.id,
        created_at=submission.created_at,
        source=submission.source,
        urls=submission.urls,
        open=submission.open,
        done=submission.done,
        items=tuple(rows),
        next=str(rows[-1].number) if len(rows) == limit and rows[-1].number < submission.urls - 1 else None,
    )


# ---- pages that a program fetched itself: archived, extracted and stored like those of the crawler -----------------------------

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

"""Submissions: URLs to fetch once. Each gets an outcome."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.network import submitted_urls
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import find_target_refusal
from newsmill.storage.ledger.submissions import Submissions, SubmittedUrl
from newsmill.storage.tokens import Scope
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.text import urls
from newsmill.web.auth import Caller, require_scope
from newsmill.web.parameters import Context, Id, QueryText, Url
from newsmill.web.problem_details import MAX_ERRORS, RequestErrors, error_responses

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
        if urls.find_normal(url) and (reason := submitted_urls.refusal_reason(url, guard)):
            errors.append({"where": f"#/urls/{number}", "detail": reason})
    if errors:
        count = "1 URL leads" if len(errors) == 1 else f"{len(errors)} URLs lead"
        detail = f"nothing was submitted: {count} into a private network or to a forbidden port (see errors); remove them and submit again"
        raise RequestErrors(422, detail, errors[:MAX_ERRORS])


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

"""Single addresses handed in: fetched once, processed by the workers, each with an outcome by the submission's id."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.exceptions import UrlError
from newsmill.storage.submissions import Submissions, SubmittedUrl
from newsmill.storage.tokens import Scope
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.web import submitted_urls
from newsmill.web.api.responses import Context, Id, QueryText, Url, error_responses
from newsmill.web.auth import Caller, require_scope
from newsmill.web.problem_details import MAX_ERRORS, RequestErrors

router = APIRouter(tags=["submissions"])

MAX_URLS = 10_000  # addresses of one submission: 2 MB of body


class SubmissionRequest(BaseModel):
    """Addresses to fetch once."""

    urls: list[Url] = Field(min_length=1, max_length=MAX_URLS)
    source: QueryText | None = Field(default=None, description="The source they belong to, by name.")
    again: bool = Field(default=False, description="Fetch known addresses again.")
    webhook: Url | None = Field(default=None, description="Whom to tell, signed, when every address has ended.")


class SubmissionResponse(BaseModel):
    """Where to ask what became of them."""

    id: str
    urls: int
    webhook_secret: str | None = Field(description="Verifies what the web hook gets; shown once.")


class SubmissionDetails(BaseModel):
    """How far a submission is, with one page of its addresses."""

    id: str
    created_at: datetime
    source: str | None
    urls: int
    open: int = Field(description="Addresses that have not ended yet.")
    done: bool
    items: tuple[SubmittedUrl, ...]
    next: str | None


@router.post("/urls", status_code=202, responses=error_responses(401, 403, 422))
def submit_urls(
    request: Request,
    response: Response,
    context: Context,
    caller: Annotated[Caller, Depends(require_scope(Scope.WRITE))],
    asked: SubmissionRequest,
) -> SubmissionResponse:
    """Hand in up to 10,000 addresses. Those that certainly lead into a private network are refused at once, and then none is taken; what
    is no http(s) address at all ends as `bad_url`."""
    check_urls(asked.urls, Guard.from_networks(request.app.state.config.allow_nets))
    if asked.source is not None and context.ledger.source(asked.source) is None:
        raise HTTPException(422, "source: there is no source of this name")
    hook = None
    if asked.webhook:
        if said := submitted_urls.refusal_reason(asked.webhook, Guard.from_networks(request.app.state.config.allow_nets)):
            raise HTTPException(422, f"webhook: {said}")
        hook = Webhooks(context.engine).add(asked.webhook, WebhookEvent.SUBMISSION, now=context.now(), token=caller.name)
    made = Submissions(context.engine).add(
        asked.urls, now=context.now(), token=caller.name, source=asked.source, again=asked.again, webhook=hook.id if hook else None
    )
    response.headers["Location"] = f"/api/v1/submissions/{made}"
    return SubmissionResponse(id=made, urls=len(asked.urls), webhook_secret=hook.secret if hook else None)


def check_urls(given: list[str], guard: Guard) -> None:
    """Raises Refused, which names the first addresses that are certainly forbidden."""
    wrong = []
    for number, url in enumerate(given):
        if is_http_url(url) and (said := submitted_urls.refusal_reason(url, guard)):
            wrong.append({"where": f"#/urls/{number}", "detail": said})
    if wrong:
        raise RequestErrors(422, f"{len(wrong)} addresses lead into a private network, or to a forbidden port", wrong[:MAX_ERRORS])


def is_http_url(url: str) -> bool:
    try:
        urls.normalize(url)
    except UrlError:
        return False
    return True


@router.get("/submissions/{id}", dependencies=[Depends(require_scope(Scope.READ))], responses=error_responses(404))
def get_submission(
    context: Context, id: Id, limit: Annotated[int, Query(ge=1, le=1000)] = 1000, cursor: Annotated[int, Query(ge=-1, lt=1 << 31)] = -1
) -> SubmissionDetails:
    """What became of each address; `outcome` is null while it has not ended."""
    held = Submissions(context.engine)
    found = held.get(id)
    if found is None:
        raise HTTPException(404, "there is no such submission")
    rows = held.rows(id, after=cursor, limit=limit)
    last = str(rows[-1].number) if len(rows) == limit and rows[-1].number < found.urls - 1 else None
    return SubmissionDetails(
        id=found.id,
        created_at=found.created_at,
        source=found.source,
        urls=found.urls,
        open=found.open,
        done=found.done,
        items=tuple(rows),
        next=last,
    )


def summary(rows: list[SubmittedUrl]) -> dict[str, int]:
    """How many ended how."""
    return dict(Counter(str(row.outcome) for row in rows if row.outcome))

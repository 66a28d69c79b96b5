"""Webhooks: URLs that Newsmill calls when documents are stored or changed, and the thread that calls them. Messages are signed as Standard
Webhooks specifies."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.storage.documents import ChangePosition, Changes, RemovedDocument, StoredDocument
from newsmill.storage.ledger.submissions import Submissions
from newsmill.storage.tokens import Scope
from newsmill.storage.webhooks import MAX_UNNOTIFIED, Delivery, UnnotifiedSubmission, Webhook, WebhookEvent, Webhooks
from newsmill.web.api.documents import RemovedDocumentResponse, split_changes, summarize
from newsmill.web.auth import Caller, require_scope
from newsmill.web.http_client import DeliveryError, build_headers, find_target_refusal, post
from newsmill.web.responses import Context, Cursor, Id, ItemList, Limit, QueryText, Url, complete_list, error_responses
from newsmill.web.round_thread import RoundThread

router = APIRouter(
    prefix="/webhooks", tags=["webhooks"], dependencies=[Depends(require_scope(Scope.ADMIN))], responses=error_responses(401, 403)
)

Admin = Annotated[Caller, Depends(require_scope(Scope.ADMIN))]


class WebhookRequest(BaseModel):
    """A URL to call when documents are stored or changed."""

    model_config = ConfigDict(extra="forbid")
    url: Url
    source: QueryText | None = Field(default=None, description="Only documents of this source.")
    query: QueryText | None = Field(default=None, description="Only documents that match this query, as for /api/v1/search.")


class WebhookResponse(BaseModel):
    """A webhook without its secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    url: str
    event: WebhookEvent
    source: str | None
    query: str | None
    created_at: datetime
    enabled: bool
    seen_at: datetime = Field(description="Documents stored until then are delivered or being delivered.")


class NewWebhookResponse(WebhookResponse):
    """A new webhook with its secret."""

    secret: str = Field(description="Verifies the messages; shown once.")


class DeliveryResponse(BaseModel):
    """A message and its result."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    created_at: datetime
    state: Literal["due", "delivered", "failed"]
    attempts: int
    next_at: datetime
    ended_at: datetime | None
    status: int | None = Field(description="HTTP status of the last response.")
    detail: str | None = Field(description="Why the last attempt failed.")
    payload: Any


class QueuedDelivery(BaseModel):
    """The ID of a delivery that is about to be sent."""

    delivery: str


@router.get("")
def list_webhooks(context: Context) -> ItemList[WebhookResponse]:
    """List webhooks, oldest first."""
    return complete_list(WebhookResponse.model_validate(webhook) for webhook in Webhooks(context.engine).list_all())


@router.post("", status_code=201)
def add_webhook(request: Request, response: Response, context: Context, caller: Admin, webhook: WebhookRequest) -> NewWebhookResponse:
    """Add a webhook for documents stored or changed from now on. Newsmill connects to public IP addresses on ports 80 and 443 only, and
    checks each connection."""
    if reason := find_target_refusal(webhook.url, Guard.from_networks(request.app.state.config.allow_nets)):
        raise HTTPException(422, f"url: {reason}")
    if webhook.source is not None and context.ledger.source(webhook.source) is None:
        raise HTTPException(422, f"source: {webhook.source[:100]!r} does not exist; GET /api/v1/sources lists all")
    query = (webhook.query or "").strip() or None
    if query and (reason := context.search.find_useless(query)):
        raise HTTPException(422, f"query: {reason}")
    added = Webhooks(context.engine).add(
        webhook.url, WebhookEvent.DOCUMENTS, now=context.now(), source=webhook.source, query=query, token=caller.name
    )
    response.headers["Location"] = f"/api/v1/webhooks/{added.id}"
    return NewWebhookResponse.model_validate(added, from_attributes=True)


@router.get("/{id}", responses=error_responses(404))
def get_webhook(context: Context, id: Id) -> WebhookResponse:
    """Get a webhook."""
    webhook = Webhooks(context.engine).get(id)
    if webhook is None:
        raise webhook_not_found(id)
    return WebhookResponse.model_validate(webhook)


@router.delete("/{id}", status_code=204, responses=error_responses(404))
def delete_webhook(context: Context, id: Id) -> None:
    """Delete a webhook and its deliveries."""
    if not Webhooks(context.engine).remove(id):
        raise webhook_not_found(id)


@router.post("/{id}/enable", responses=error_responses(404))
def enable_webhook(context: Context, id: Id) -> WebhookResponse:
    """Enable a webhook. It continues with the documents stored since it was disabled."""
    return set_enabled(context, id, True)


@router.post("/{id}/disable", responses=error_responses(404))
def disable_webhook(context: Context, id: Id) -> WebhookResponse:
    """Disable a webhook. Its deliveries wait until it is enabled."""
    return set_enabled(context, id, False)


@router.post("/{id}/ping", status_code=202, responses=error_responses(404))
def ping_webhook(context: Context, id: Id) -> QueuedDelivery:
    """Send a test message of type `ping`."""
    if Webhooks(context.engine).get(id) is None:
        raise webhook_not_found(id)
    payload = build_message(WebhookEvent.PING, {}, context.now())
    return QueuedDelivery(delivery=Webhooks(context.engine).ping(id, payload, now=context.now()))


@router.get("/{id}/deliveries", responses=error_responses(404))
def list_deliveries(context: Context, id: Id, limit: Limit = 50, cursor: Cursor = None) -> ItemList[DeliveryResponse]:
    """List the deliveries of a webhook, newest first. Finished deliveries are kept for 30 days."""
    if Webhooks(context.engine).get(id) is None:
        raise webhook_not_found(id)
    rows = Webhooks(context.engine).list_deliveries(id, limit=limit + 1, after=cursor)
    items = tuple(DeliveryResponse.model_validate(row) for row in rows[:limit])
    return ItemList(items=items, next=items[-1].id if len(rows) > limit else None)


@router.post("/deliveries/{id}/retry", status_code=202, responses=error_responses(404))
def retry_delivery(context: Context, id: Id) -> QueuedDelivery:
    """Send a delivery again that failed at its last attempt."""
    if not Webhooks(context.engine).retry(id, now=context.now()):
        raise HTTPException(404, f"delivery {id!r} does not exist or has not failed")
    return QueuedDelivery(delivery=id)


def set_enabled(context: Context, webhook_id: Id, enabled: bool) -> WebhookResponse:
    if not Webhooks(context.engine).set_enabled(webhook_id, enabled):
        raise webhook_not_found(webhook_id)
    return get_webhook(context, webhook_id)


def webhook_not_found(webhook_id: str) -> HTTPException:
    return HTTPException(404, f"webhook {webhook_id!r} does not exist")


# ---- the sender ----------------------------------------------------------------------------------------------------------------

CLEANUP_SECONDS = 3600.0  # between two deletions of old deliveries and submissions
MAX_CONCURRENT = 4  # deliveries at once, each of another webhook
MAX_DOCUMENTS = 50  # in one message
MAX_MATCHED_DOCUMENTS = 2000  # that one round compares with the query of one webhook
MAX_COUNTED_URLS = 10_000  # of a submission


class WebhookSender(RoundThread):
    """A thread of the web process that creates deliveries of new documents and sends the deliveries that are due.

    It runs in the web process and not in the scheduler, because a slow receiver must not delay the checks of sources. Several web processes
    share the work by compare-and-set on each row. Deliveries are stored, so a crash loses none; a receiver may get one twice, with the same
    ID. Tests call `round` instead of `start`.
    """

    def __init__(self, context: AppContext, allow_nets: tuple[str, ...]) -> None:
        super().__init__("webhook-sender", MAX_CONCURRENT)
        self.context = context
        self.webhooks = Webhooks(context.engine)
        self.guard = Guard.from_networks(allow_nets)
        self._next_cleanup = time.monotonic()
        self._last_looked_at: UnnotifiedSubmission | None = None  # None: begin with the oldest

    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        """One round; whether something was sent, so that more may be due."""
        return self.round(pool) > 0

    def round(self, pool: ThreadPoolExecutor) -> int:
        """Create the deliveries of new documents and send those that are due; the number sent. Raises ServiceError."""
        now = self.context.now()
        for webhook in self.webhooks.list_idle():
            self.add_document_delivery(webhook, now)
        self.add_submission_deliveries(now)
        if time.monotonic() >= self._next_cleanup:
            self.webhooks.delete_old(now=now)
            Submissions(self.context.engine).delete_old(now=now)
            self._next_cleanup = time.monotonic() + CLEANUP_SECONDS
        return len(list(pool.map(self.deliver, self.webhooks.claim_due(now=now, limit=MAX_CONCURRENT))))

    def add_document_delivery(self, webhook: Webhook, now: datetime) -> None:
        """Create one delivery of up to MAX_DOCUMENTS documents that follow the webhook's position, and of removed ones among them."""
        documents, removed, end = self.find_documents(webhook)
        if documents or removed:
            data = {
                "documents": [summarize(document) for document in documents],
                "removed": [RemovedDocumentResponse.model_validate(one).model_dump(mode="json") for one in removed],
                "cursor": end.cursor,
            }
            message = build_message(WebhookEvent.DOCUMENTS, data, now)
            self.webhooks.notify(webhook, message, until=end.stored_at, last=end.id, now=now)
        elif end.stored_at != webhook.seen_at or end.id != webhook.seen_id:
            self.webhooks.move(webhook, until=end.stored_at, last=end.id)

    def find_documents(self, webhook: Webhook) -> tuple[list[StoredDocument], list[RemovedDocument], ChangePosition]:
        """Up to MAX_DOCUMENTS documents of the webhook that follow its position, removed ones, and the position of the last one.

        Whether a removed document matched the query is not known any more, so the receiver gets its ID.
        """
        changes, end = Changes(self.context.engine), ChangePosition(webhook.seen_at, webhook.seen_id)
        for _ in range(0, MAX_MATCHED_DOCUMENTS, MAX_DOCUMENTS):
            found = changes.after(end, limit=MAX_DOCUMENTS, source=webhook.source)
            documents, removed = split_changes(found)
            end = found[-1].place if found else end
            if webhook.query is not None:
                matching = set(self.context.search.filter_ids(webhook.query, [document.id for document in documents]))
                documents = [document for document in documents if document.id in matching]
            if documents or removed or len(found) < MAX_DOCUMENTS:
                return documents, removed, end
        return [], [], end

    def add_submission_deliveries(self, now: datetime) -> None:
        """Create the deliveries of submissions whose URLs all have an outcome.

        Each round looks at some submissions and the next one at those behind them, so that no number of open ones hides a finished one.
        """
        found = self.webhooks.list_unnotified(self._last_looked_at)
        for submission in found:
            self.add_submission_delivery(submission.id, submission.webhook, now)
        self._last_looked_at = found[-1] if len(found) == MAX_UNNOTIFIED else None

    def add_submission_delivery(self, submission_id: str, webhook_id: str, now: datetime) -> None:
        """Create one delivery when every URL of a submission has an outcome."""
        submissions = Submissions(self.context.engine)
        if not submissions.done(submission_id) or (submission := submissions.get(submission_id)) is None:
            return
        outcomes = Counter(str(row.outcome) for row in submissions.rows(submission_id, limit=MAX_COUNTED_URLS))
        data = {"submission": submission_id, "urls": submission.urls, "outcomes": dict(outcomes)}
        self.webhooks.notify_submission(submission_id, webhook_id, build_message(WebhookEvent.SUBMISSION, data, now), now=now)

    def deliver(self, leased: tuple[Delivery, Webhook]) -> None:
        """Send one delivery and store its result. Raises ServiceError."""
        delivery, webhook = leased
        body = json.dumps(delivery.payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        try:
            status = post(webhook.url, body, build_headers(delivery.id, webhook.secret, body, self.context.now()), self.guard)
        except DeliveryError as error:
            self.webhooks.mark_failed(delivery, None, str(error), now=self.context.now())
            return
        if 200 <= status < 300:
            self.webhooks.mark_delivered(delivery, status, now=self.context.now())
        else:
            self.webhooks.mark_failed(delivery, status, f"the receiver answered {status}", now=self.context.now())


def build_message(event: WebhookEvent, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A message in the envelope of Standard Webhooks (standardwebhooks.com)."""
    return {"type": event.value, "timestamp": now.isoformat(), "data": data}

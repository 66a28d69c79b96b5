"""Webhooks: URLs that Newsmill calls when documents are stored or changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import find_target_refusal
from newsmill.notifications.webhooks import build_message
from newsmill.storage.tokens import Scope
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.web.auth import Caller, require_scope
from newsmill.web.parameters import Context, Cursor, Id, ItemList, Limit, QueryText, Url, complete_list
from newsmill.web.problem_details import error_responses

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
    if webhook.source is not None and context.ledger.sources.get(webhook.source) is None:
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
    payload = build_message(WebhookEvent.PING, {}, context.now())
    delivery = Webhooks(context.engine).ping(id, payload, now=context.now())
    if delivery is None:
        raise webhook_not_found(id)
    return QueuedDelivery(delivery=delivery)


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

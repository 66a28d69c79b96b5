"""Web hooks: whom we tell by ourselves. Signed as Standard Webhooks says; docs/reference/http-api.md shows how to check a message."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.address_guard import Guard
from newsmill.redaction import redact
from newsmill.storage.tokens import Scope
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from newsmill.web import submitted_urls
from newsmill.web.api.responses import Context, Cursor, Id, ItemList, Limit, QueryText, Url, complete_list, error_responses
from newsmill.web.auth import Caller, require_scope

router = APIRouter(
    prefix="/webhooks", tags=["webhooks"], dependencies=[Depends(require_scope(Scope.ADMIN))], responses=error_responses(401, 403)
)

Admin = Annotated[Caller, Depends(require_scope(Scope.ADMIN))]


class WebhookRequest(BaseModel):
    """Whom to tell of documents that are stored or changed."""

    url: Url
    source: QueryText | None = Field(default=None, description="Only of this source.")


class WebhookResponse(BaseModel):
    """A hook, without its secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    url: str
    event: WebhookEvent
    source: str | None
    created_at: datetime
    enabled: bool
    seen_at: datetime = Field(description="Documents stored until then are told, or on their way.")


class NewWebhookResponse(WebhookResponse):
    """A hook that was just made."""

    secret: str = Field(description="Verifies what is sent; shown once.")


class DeliveryResponse(BaseModel):
    """One message, and what came of it."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    created_at: datetime
    state: Literal["due", "delivered", "failed"]
    attempts: int
    next_at: datetime
    ended_at: datetime | None
    status: int | None = Field(description="Of the last answer.")
    detail: str | None = Field(description="Why the last try failed.")
    payload: Any


class QueuedDelivery(BaseModel):
    delivery: str


@router.get("")
def list_webhooks(context: Context) -> ItemList[WebhookResponse]:
    """Every hook, oldest first."""
    return complete_list(WebhookResponse.model_validate(hook) for hook in Webhooks(context.engine).list_all())


@router.post("", status_code=201)
def add_webhook(request: Request, response: Response, context: Context, caller: Admin, hook: WebhookRequest) -> NewWebhookResponse:
    """Have an address told, from now on. It is judged again each time it is connected to: only public ones, on port 80 or 443."""
    if redact(hook.url) != hook.url:  # it would be stored and shown
        raise HTTPException(422, "url: expected a URL without user, password or password parameter; the signature shows who sent a message")
    if said := submitted_urls.refusal_reason(hook.url, Guard.from_networks(request.app.state.config.allow_nets)):
        raise HTTPException(422, f"url: {said}")
    made = Webhooks(context.engine).add(hook.url, WebhookEvent.DOCUMENTS, now=context.now(), source=hook.source, token=caller.name)
    response.headers["Location"] = f"/api/v1/webhooks/{made.id}"
    return NewWebhookResponse.model_validate(made, from_attributes=True)


@router.get("/{id}", responses=error_responses(404))
def get_webhook(context: Context, id: Id) -> WebhookResponse:
    """One hook."""
    found = Webhooks(context.engine).get(id)
    if found is None:
        raise webhook_not_found()
    return WebhookResponse.model_validate(found)


@router.delete("/{id}", status_code=204, responses=error_responses(404))
def delete_webhook(context: Context, id: Id) -> None:
    """Tell it no more, and forget its deliveries."""
    if not Webhooks(context.engine).remove(id):
        raise webhook_not_found()


@router.post("/{id}/enable", responses=error_responses(404))
def enable_webhook(context: Context, id: Id) -> WebhookResponse:
    """Tell it again; it goes on where it stopped."""
    return set_enabled(context, id, True)


@router.post("/{id}/disable", responses=error_responses(404))
def disable_webhook(context: Context, id: Id) -> WebhookResponse:
    """Tell it nothing for now."""
    return set_enabled(context, id, False)


@router.post("/{id}/ping", status_code=202, responses=error_responses(404))
def ping_webhook(context: Context, id: Id) -> QueuedDelivery:
    """Send it a message of type `ping`, to try it out."""
    if Webhooks(context.engine).get(id) is None:
        raise webhook_not_found()
    payload = {"type": WebhookEvent.PING.value, "timestamp": context.now().isoformat(), "data": {}}
    return QueuedDelivery(delivery=Webhooks(context.engine).ping(id, payload, now=context.now()))


@router.get("/{id}/deliveries", responses=error_responses(404))
def list_deliveries(context: Context, id: Id, limit: Limit = 50, cursor: Cursor = None) -> ItemList[DeliveryResponse]:
    """The newest messages to it, each with what came of it; those that ended are kept for 30 days."""
    if Webhooks(context.engine).get(id) is None:
        raise webhook_not_found()
    found = Webhooks(context.engine).list_deliveries(id, limit=limit + 1, after=cursor)
    items = tuple(DeliveryResponse.model_validate(one) for one in found[:limit])
    return ItemList(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("/deliveries/{id}/retry", status_code=202, responses=error_responses(404))
def retry_delivery(context: Context, id: Id) -> QueuedDelivery:
    """Try a message again that had failed for good."""
    if not Webhooks(context.engine).retry(id, now=context.now()):
        raise HTTPException(404, "no such delivery has failed")
    return QueuedDelivery(delivery=id)


def set_enabled(context: Context, hook_id: Id, enabled: bool) -> WebhookResponse:
    if not Webhooks(context.engine).set_enabled(hook_id, enabled):
        raise webhook_not_found()
    return get_webhook(context, hook_id)


def webhook_not_found() -> HTTPException:
    return HTTPException(404, "there is no such web hook")

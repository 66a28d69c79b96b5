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
from newsmill.web.api.responses import Address, Context, Cursor, Id, Limit, Listed, QueryText, refusals, whole_list
from newsmill.web.auth import Caller, authorised

router = APIRouter(prefix="/webhooks", tags=["webhooks"], dependencies=[Depends(authorised(Scope.ADMIN))], responses=refusals(401, 403))

Admin = Annotated[Caller, Depends(authorised(Scope.ADMIN))]


class HookIn(BaseModel):
    """Whom to tell of documents that are stored or changed."""

    url: Address
    source: QueryText | None = Field(default=None, description="Only of this source.")


class HookOut(BaseModel):
    """A hook, without its secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    url: str
    event: WebhookEvent
    source: str | None
    created_at: datetime
    enabled: bool
    seen_at: datetime = Field(description="Documents stored until then are told, or on their way.")


class NewHook(HookOut):
    """A hook that was just made."""

    secret: str = Field(description="Verifies what is sent; shown once.")


class DeliveryOut(BaseModel):
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


class Sent(BaseModel):
    delivery: str


@router.get("")
def webhooks(context: Context) -> Listed[HookOut]:
    """Every hook, oldest first."""
    return whole_list(HookOut.model_validate(hook) for hook in Webhooks(context.engine).list_all())


@router.post("", status_code=201)
def add(request: Request, response: Response, context: Context, caller: Admin, hook: HookIn) -> NewHook:
    """Have an address told, from now on. It is judged again each time it is connected to: only public ones, on port 80 or 443."""
    if redact(hook.url) != hook.url:  # it would be stored and shown
        raise HTTPException(422, "url: expected a URL without user, password or password parameter; the signature shows who sent a message")
    if said := submitted_urls.refusal(hook.url, Guard.of(request.app.state.config.allow_nets)):
        raise HTTPException(422, f"url: {said}")
    made = Webhooks(context.engine).add(hook.url, WebhookEvent.DOCUMENTS, now=context.now(), source=hook.source, token=caller.name)
    response.headers["Location"] = f"/api/v1/webhooks/{made.id}"
    return NewHook.model_validate(made, from_attributes=True)


@router.get("/{id}", responses=refusals(404))
def webhook(context: Context, id: Id) -> HookOut:
    """One hook."""
    found = Webhooks(context.engine).get(id)
    if found is None:
        raise missing()
    return HookOut.model_validate(found)


@router.delete("/{id}", status_code=204, responses=refusals(404))
def remove(context: Context, id: Id) -> None:
    """Tell it no more, and forget its deliveries."""
    if not Webhooks(context.engine).remove(id):
        raise missing()


@router.post("/{id}/enable", responses=refusals(404))
def enable(context: Context, id: Id) -> HookOut:
    """Tell it again; it goes on where it stopped."""
    return switched(context, id, True)


@router.post("/{id}/disable", responses=refusals(404))
def disable(context: Context, id: Id) -> HookOut:
    """Tell it nothing for now."""
    return switched(context, id, False)


@router.post("/{id}/ping", status_code=202, responses=refusals(404))
def ping(context: Context, id: Id) -> Sent:
    """Send it a message of type `ping`, to try it out."""
    if Webhooks(context.engine).get(id) is None:
        raise missing()
    payload = {"type": WebhookEvent.PING.value, "timestamp": context.now().isoformat(), "data": {}}
    return Sent(delivery=Webhooks(context.engine).ping(id, payload, now=context.now()))


@router.get("/{id}/deliveries", responses=refusals(404))
def deliveries(context: Context, id: Id, limit: Limit = 50, cursor: Cursor = None) -> Listed[DeliveryOut]:
    """The newest messages to it, each with what came of it; those that ended are kept for 30 days."""
    if Webhooks(context.engine).get(id) is None:
        raise missing()
    found = Webhooks(context.engine).list_deliveries(id, limit=limit + 1, after=cursor)
    items = tuple(DeliveryOut.model_validate(one) for one in found[:limit])
    return Listed(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("/deliveries/{id}/retry", status_code=202, responses=refusals(404))
def retry(context: Context, id: Id) -> Sent:
    """Try a message again that had failed for good."""
    if not Webhooks(context.engine).retry(id, now=context.now()):
        raise HTTPException(404, "no such delivery has failed")
    return Sent(delivery=id)


def switched(context: Context, hook_id: Id, enabled: bool) -> HookOut:
    if not Webhooks(context.engine).set_enabled(hook_id, enabled):
        raise missing()
    return webhook(context, hook_id)


def missing() -> HTTPException:
    return HTTPException(404, "there is no such web hook")

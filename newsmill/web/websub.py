"""The callback of WebSub hubs (W3C WebSub, sections 5 to 7).

The path of a callback ends with an id that only its hub knows. A pushed body is stored and not parsed here: the crawler reads it in the
child process that reads every listing.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from newsmill.context import AppContext
from newsmill.storage.websub import Subscription
from newsmill.storage.websub_requests import PushResult, WebSubRequests
from newsmill.text.sentences import Sentence
from newsmill.web.config import WEBSUB_PATH

MAX_CHALLENGE_CHARACTERS = 1_000
MAX_LEASE_DIGITS = 12

router = APIRouter(include_in_schema=False)


@router.get(WEBSUB_PATH + "{callback_id}")
def answer_hub(request: Request, callback_id: str) -> Response:
    """Echo the challenge of a hub that verifies Newsmill's request, or note that it denies one."""
    context, query = request.app.state.context, request.query_params
    mode, topic = query.get("hub.mode", ""), query.get("hub.topic", "")
    requests = WebSubRequests(context.engine)
    if requests.find(callback_id) is None:  # a stranger must not get as far as the write lock of the database
        raise HTTPException(404, Sentence("no such request was sent"))
    if mode == "denied":
        if requests.deny(callback_id, topic, query.get("hub.reason", ""), now=context.now()):
            return Response(status_code=204)
        raise HTTPException(404, Sentence("no subscription to this topic exists"))
    challenge, lease = query.get("hub.challenge", ""), query.get("hub.lease_seconds", "")
    seconds = int(lease) if lease.isascii() and lease.isdigit() and len(lease) <= MAX_LEASE_DIGITS else None
    is_complete = mode in ("subscribe", "unsubscribe") and 0 < len(challenge) <= MAX_CHALLENGE_CHARACTERS
    if not is_complete or not requests.verify(callback_id, mode, topic, seconds, now=context.now()):
        raise HTTPException(404, Sentence("no such request was sent"))
    return PlainTextResponse(challenge)


@router.post(WEBSUB_PATH + "{callback_id}")
async def receive_push(request: Request, callback_id: str) -> Response:
    """Store a push. One without a right signature is answered like any other, so that its sender learns nothing.

    An unknown callback is answered with 410, which ends the subscription at the hub. The body is read only for one that is known.
    """
    context: AppContext = request.app.state.context
    requests = WebSubRequests(context.engine)

    def find_active() -> Subscription | None:
        subscription = requests.find(callback_id)
        return subscription if subscription is not None and subscription.is_active(context.now()) else None

    subscription = await run_in_threadpool(find_active)
    if subscription is None:
        raise HTTPException(410, Sentence("no subscription is in force"))
    body = await request.body()
    content_type, signature = request.headers.get("content-type"), request.headers.get("x-hub-signature")
    result = await run_in_threadpool(lambda: requests.receive(subscription, body, content_type, signature, now=context.now()))
    if result is PushResult.GONE:
        raise HTTPException(410, Sentence("no subscription is in force"))
    return Response(status_code=202)

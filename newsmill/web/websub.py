"""The subscriber side of WebSub (W3C WebSub, sections 5 to 7): requests to the hubs that feeds announce, and the callback of hubs.

The path of a callback ends with an id that only its hub knows. A pushed body is stored and not parsed here: the crawler reads it in the
child process that reads every listing.

Each round of the subscriber sends at most MAX_CONCURRENT requests. Several web processes share the work by compare-and-set on each row.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.storage.websub import LEASE_SECONDS, HubRequest, PushResult, Subscription, WebSubRequests
from newsmill.text import urls
from newsmill.web.config import WEBSUB_PATH
from newsmill.web.http_client import DeliveryError, post
from newsmill.web.round_thread import RoundThread

MAX_CHALLENGE_CHARACTERS = 1_000
MAX_LEASE_DIGITS = 12
MAX_CONCURRENT = 4  # requests at once
SOURCES_INTERVAL_SECONDS = 10.0  # between two looks for sources that were paused, resumed or removed

router = APIRouter(include_in_schema=False)


@router.get(WEBSUB_PATH + "{callback_id}")
def answer_hub(request: Request, callback_id: str) -> Response:
    """Echo the challenge of a hub that verifies Newsmill's request, or note that it denies one."""
    context, query = request.app.state.context, request.query_params
    mode, topic = query.get("hub.mode", ""), query.get("hub.topic", "")
    requests = WebSubRequests(context.engine)
    if requests.find(callback_id) is None:  # a stranger must not get as far as the write lock of the database
        raise HTTPException(404, "no such request was sent")
    if mode == "denied":
        if requests.deny(callback_id, topic, query.get("hub.reason", ""), now=context.now()):
            return Response(status_code=204)
        raise HTTPException(404, "no subscription to this topic exists")
    challenge, lease = query.get("hub.challenge", ""), query.get("hub.lease_seconds", "")
    seconds = int(lease) if lease.isascii() and lease.isdigit() and len(lease) <= MAX_LEASE_DIGITS else None
    is_complete = mode in ("subscribe", "unsubscribe") and 0 < len(challenge) <= MAX_CHALLENGE_CHARACTERS
    if not is_complete or not requests.verify(callback_id, mode, topic, seconds, now=context.now()):
        raise HTTPException(404, "no such request was sent")
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
        raise HTTPException(410, "no subscription is in force")
    body = await request.body()
    content_type, signature = request.headers.get("content-type"), request.headers.get("x-hub-signature")
    result = await run_in_threadpool(lambda: requests.receive(subscription, body, content_type, signature, now=context.now()))
    if result is PushResult.GONE:
        raise HTTPException(410, "no subscription is in force")
    return Response(status_code=202)


class WebSubSubscriber(RoundThread):
    """The thread of the web process that sends requests to hubs. Tests call `make_round` instead of `start`."""

    def __init__(self, context: AppContext, public_url: str, allow_nets: tuple[str, ...]) -> None:
        super().__init__("websub-subscriber", MAX_CONCURRENT)
        self.context = context
        self.public_url = public_url.rstrip("/")
        self.requests = WebSubRequests(context.engine)
        self.guard = Guard.from_networks(allow_nets)
        self._next_look = time.monotonic()

    def make_round(self, pool: ThreadPoolExecutor) -> bool:
        """Send the requests that are due; whether more may be."""
        if time.monotonic() >= self._next_look:
            self.requests.follow_sources(self.public_url, now=self.context.now())
            self._next_look = time.monotonic() + SOURCES_INTERVAL_SECONDS
        due = self.requests.claim_due(self.public_url, limit=MAX_CONCURRENT, now=self.context.now())
        list(pool.map(self.send, due))
        return len(due) == MAX_CONCURRENT

    def send(self, request: HubRequest) -> None:
        """Send one request and store its result. Nothing is sent to a hub whose owner has stopped the crawler. Raises ServiceError."""
        one = request.subscription
        order = self.context.ledger.publisher_order(urls.get_host(one.hub))
        if order is not None and order.is_stopped:
            self.requests.mark_failed(request, "the owner of the hub has stopped the crawler", now=self.context.now())
            return
        form = {
            "hub.callback": f"{one.public_url}{WEBSUB_PATH}{one.callback_id}",
            "hub.mode": request.mode,
            "hub.topic": one.topic,
        }
        if request.mode == "subscribe":
            form |= {"hub.lease_seconds": str(LEASE_SECONDS), "hub.secret": one.secret}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": self.context.settings.agent}
        try:
            status = post(one.hub, urlencode(form).encode(), headers, self.guard)
        except DeliveryError as error:
            self.requests.mark_failed(request, str(error), now=self.context.now())
            return
        if 200 <= status < 300:
            self.requests.mark_accepted(request, now=self.context.now())
        else:
            self.requests.mark_failed(request, f"the hub answered {status}", now=self.context.now())

"""The requests to the hubs that feeds announce (W3C WebSub, section 5). Each round sends at most MAX_CONCURRENT."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.notifications.channels.http_post import DeliveryError, post
from newsmill.notifications.round_thread import RoundThread
from newsmill.storage.websub_requests import LEASE_SECONDS, HubRequest, WebSubRequests
from newsmill.text import urls

MAX_CONCURRENT = 4  # requests at once
SOURCES_INTERVAL_SECONDS = 10.0  # between two looks for sources that were paused, resumed or removed


class WebSubSubscriber(RoundThread):
    """The thread of the web process that sends requests to hubs. Tests call `make_round` instead of `start`."""

    def __init__(self, context: AppContext, public_url: str, callback_path: str, allow_nets: tuple[str, ...]) -> None:
        super().__init__("websub-subscriber", MAX_CONCURRENT)
        self.context = context
        self.public_url, self.callback_path = public_url.rstrip("/"), callback_path
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
            "hub.callback": f"{one.public_url}{self.callback_path}{one.callback_id}",
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

"""Sends the requests to the hubs that feeds announce (W3C WebSub, section 5)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from newsmill.context import AppContext
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import DeliveryError, check_status, post
from newsmill.notifications.loop import Sender
from newsmill.storage.websub_requests import LEASE_SECONDS, HubRequest, WebSubRequests
from newsmill.text import urls
from newsmill.text.sentences import Sentence

SOURCES_INTERVAL_SECONDS = 10.0  # between two looks for sources that were paused, resumed or removed


class WebSubSubscriber(Sender[HubRequest]):
    """Requests are no messages of the outbox: they follow from the state of their subscription, a hub must still verify one that arrived,
    and a renewal is due after days. A row of the outbox would repeat that state and follow another law."""

    name = "websub-subscriber"

    def __init__(self, context: AppContext, public_url: str, callback_path: str, allow_nets: tuple[str, ...]) -> None:
        self.context = context
        self.public_url, self.callback_path = public_url.rstrip("/"), callback_path
        self.requests = WebSubRequests(context.engine)
        self.guard = Guard.from_networks(allow_nets)
        self._next_look = time.monotonic()

    def prepare(self, now: datetime) -> None:
        if time.monotonic() >= self._next_look:
            self.requests.follow_sources(self.public_url, now=now)
            self._next_look = time.monotonic() + SOURCES_INTERVAL_SECONDS

    def claim(self, now: datetime, limit: int) -> Mapping[str, HubRequest]:
        return {request.id: request for request in self.requests.claim_due(self.public_url, limit=limit, now=now)}

    def send(self, job: HubRequest) -> int:
        """Send a request, unless the hub's owner has stopped the crawler."""
        one = job.subscription
        order = self.context.ledger.publishers.order(urls.get_host(one.hub))
        if order is not None and order.is_stopped:
            raise DeliveryError(Sentence("the owner of the hub has stopped the crawler"))
        form = {
            "hub.callback": f"{one.public_url}{self.callback_path}{one.callback_id}",
            "hub.mode": job.mode,
            "hub.topic": one.topic,
        }
        if job.mode == "subscribe":
            form |= {"hub.lease_seconds": str(LEASE_SECONDS), "hub.secret": one.secret}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": self.context.settings.agent}
        return check_status(post(one.hub, urlencode(form).encode(), headers, self.guard))

    def mark_sent(self, job: HubRequest, status: int | None, now: datetime) -> None:
        self.requests.mark_accepted(job, now=now)

    def mark_failed(self, job: HubRequest, error: DeliveryError, now: datetime) -> None:
        self.requests.mark_failed(job, str(error), now=now)

"""Sends webhooks: a thread of the web process that creates deliveries of new documents and sends the deliveries that are due.

It runs in the web process and not in the scheduler, because a slow receiver must not delay the checks of sources. Several web processes
share the work by compare-and-set on each row. Deliveries are stored, so a crash loses none; a receiver may get one twice, with the same ID.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from newsmill import urls
from newsmill.address_guard import Guard, make_guarded_getaddrinfo
from newsmill.context import AppContext
from newsmill.exceptions import ServiceError, UrlError
from newsmill.storage.documents import ChangePosition, Changes
from newsmill.storage.submissions import Submissions
from newsmill.storage.webhooks import Delivery, Webhook, WebhookEvent, Webhooks
from newsmill.version import __version__
from newsmill.web.api.stream import summarize

ROUND_SECONDS = 2.0  # between two rounds without deliveries
STOP_SECONDS = 15.0  # for running deliveries to end
CLEANUP_SECONDS = 3600.0  # between two deletions of old deliveries and submissions
MAX_CONCURRENT = 4  # deliveries at once, each of another webhook
MAX_DOCUMENTS = 50  # in one message
MAX_COUNTED_URLS = 10_000  # of a submission
MAX_POST_SECONDS = 10.0  # for connection, request and status line
MAX_STATUS_LINE_BYTES = 8_192
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]")

log = logging.getLogger(__name__)


class WebhookSender:
    """The thread. Tests call `round` instead of `start`."""

    def __init__(self, context: AppContext, allow_nets: tuple[str, ...]) -> None:
        self.context = context
        self.webhooks = Webhooks(context.engine)
        self.guard = Guard.from_networks(allow_nets)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook-sender", daemon=True)
        self._next_cleanup = time.monotonic()
        self._error: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the running deliveries and end."""
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="delivery") as pool:
            while not self._stop.is_set():
                if not self._try_round(pool):
                    self._stop.wait(ROUND_SECONDS)

    def _try_round(self, pool: ThreadPoolExecutor) -> int:
        """One round. When the database is not available, one line is logged and the next round does the work."""
        try:
            sent, error = self.round(pool), None
        except ServiceError as problem:
            sent, error = 0, str(problem)
        if error != self._error:
            log.warning("%s", error or "the database is available again")
        self._error = error
        return sent

    def round(self, pool: ThreadPoolExecutor) -> int:
        """Create the deliveries of new documents and send those that are due; the number sent. Raises ServiceError."""
        now = self.context.now()
        for webhook in self.webhooks.list_idle():
            self.add_document_delivery(webhook, now)
        for submission, webhook_id in self.webhooks.list_unnotified():
            self.add_submission_delivery(submission, webhook_id, now)
        if time.monotonic() >= self._next_cleanup:
            self.webhooks.delete_old(now=now)
            Submissions(self.context.engine).delete_old(now=now)
            self._next_cleanup = time.monotonic() + CLEANUP_SECONDS
        return len(list(pool.map(self.deliver, self.webhooks.claim_due(now=now, limit=MAX_CONCURRENT))))

    def add_document_delivery(self, webhook: Webhook, now: datetime) -> None:
        """Create one delivery of up to MAX_DOCUMENTS documents that follow the webhook's position."""
        position = ChangePosition(webhook.seen_at, webhook.seen_id)
        documents = Changes(self.context.engine).after(position, limit=MAX_DOCUMENTS, source=webhook.source)
        if documents:
            last = documents[-1]
            data = {"documents": [summarize(document) for document in documents], "cursor": last.cursor}
            self.webhooks.notify(webhook, build_message(WebhookEvent.DOCUMENTS, data, now), until=last.stored_at, last=last.id, now=now)

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
        body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":")).encode()
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


def build_headers(delivery_id: str, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of a delivery, with the symmetric signature v1 of Standard Webhooks."""
    timestamp = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256)).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Newsmill/{__version__}",
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


# ---- one POST request ----------------------------------------------------------------------------------------------------------
#
# Written on a socket: http.client restarts its timeout with each received byte, but one deadline must cover the whole exchange.


class DeliveryError(Exception):
    """Raised when a message was not delivered; its text is the reason."""


@dataclass(frozen=True, slots=True)
class TargetHost:
    """Where to connect."""

    parts: SplitResult
    name: str
    port: int
    uses_tls: bool


def post(url: str, body: bytes, headers: Mapping[str, str], guard: Guard, seconds: float = MAX_POST_SECONDS) -> int:
    """Send a POST request to an IP address that the guard allows; the status. Follows no redirect. Raises DeliveryError."""
    target, deadline = parse_target(url), time.monotonic() + seconds
    try:
        with connect(target, guard, deadline) as connection:
            connection.sendall(build_request(target, body, headers))  # the timeout covers the whole call
            return read_status(connection, deadline)
    except TimeoutError:
        raise DeliveryError(f"no answer within {seconds:.0f} s") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"the certificate is not valid: {error.verify_message}") from None
    except OSError as error:
        raise DeliveryError(f"the connection failed ({type(error).__name__})") from None


def parse_target(url: str) -> TargetHost:
    """The parts of a URL. Raises DeliveryError."""
    try:
        parts = urlsplit(urls.normalize(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        raise DeliveryError(f"the URL is invalid: {error}") from None
    return TargetHost(parts, str(parts.hostname), port, parts.scheme == "https")


def build_request(target: TargetHost, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of the request. The URL is normalised to ASCII, so nothing in it can end a line."""
    path = (target.parts.path or "/") + (f"?{target.parts.query}" if target.parts.query else "")
    headers = {"Host": target.parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def connect(target: TargetHost, guard: Guard, deadline: float) -> socket.socket:
    """A connection to the first allowed IP address of the host that answers. Raises DeliveryError and OSError."""
    try:
        candidates = make_guarded_getaddrinfo(guard)(target.name, target.port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        raise DeliveryError(f"the host {target.name} is unknown") from None
    if not candidates:
        raise DeliveryError("the URL leads into a private network, or its port is not 80 or 443; see NEWSMILL_ALLOW_NETS")
    problem: OSError | None = None
    for family, kind, protocol, _, socket_address in candidates:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds_left(deadline))
            connection.connect(socket_address)
            return ssl.create_default_context().wrap_socket(connection, server_hostname=target.name) if target.uses_tls else connection
        except OSError as error:
            connection.close()
            problem = error
    raise problem or OSError


def read_status(connection: socket.socket, deadline: float) -> int:
    """The status in the first line of the response; the rest is not read. Raises DeliveryError and OSError."""
    line = b""
    while b"\n" not in line and len(line) < MAX_STATUS_LINE_BYTES:
        connection.settimeout(seconds_left(deadline))
        part = connection.recv(MAX_STATUS_LINE_BYTES)
        if not part:
            break
        line += part
    match = STATUS_LINE.match(line)
    if match is None:
        raise DeliveryError("the answer was not HTTP")
    return int(match[1])


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds

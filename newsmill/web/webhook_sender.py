"""One POST to a stranger, under the crawler's guard: the address that was judged is the one that is connected to; no redirect, no proxy.

Written on a socket, because only the status line is of interest and all of it must fit into one deadline: http.client waits anew for each
byte that a receiver drips.
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

from newsmill import __version__, urls
from newsmill.address_guard import Guard, make_guarded_getaddrinfo
from newsmill.context import AppContext
from newsmill.exceptions import ServiceError, UrlError
from newsmill.storage.documents import ChangePosition, Changes
from newsmill.storage.submissions import Submissions
from newsmill.storage.webhooks import Delivery, Webhook, WebhookEvent, Webhooks
from newsmill.web.api.stream import summarize

MAX_POST_SECONDS = 10.0  # for connection, sending and the answer's first line
MAX_STATUS_LINE_BYTES = 8_192  # bytes of that line

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]")


class DeliveryError(Exception):
    """Raised when a message did not get through; its text says why."""


@dataclass(frozen=True, slots=True)
class TargetHost:
    """Where to connect."""

    parts: SplitResult
    name: str
    port: int
    tls: bool


def post(url: str, body: bytes, headers: Mapping[str, str], guard: Guard, seconds: float = MAX_POST_SECONDS) -> int:
    """The status of the answer. Raises PostError."""
    place, deadline = parse_target(url), time.monotonic() + seconds
    try:
        with connect(place, guard, deadline) as door:
            door.sendall(build_request(place, body, headers))  # its timeout is for all of it, since Python 3.5
            return read_status(door, deadline)
    except TimeoutError:
        raise DeliveryError(f"no answer within {seconds:.0f} s") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"the certificate is not valid: {error.verify_message}") from None
    except OSError as error:
        raise DeliveryError(f"the connection broke ({type(error).__name__})") from None


def parse_target(url: str) -> TargetHost:
    """The parts of an address. Raises PostError."""
    try:
        parts = urlsplit(urls.normalize(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        raise DeliveryError(f"not an address: {error}") from None
    return TargetHost(parts, str(parts.hostname), port, parts.scheme == "https")


def build_request(place: TargetHost, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of the request. The address is in normal form, all ASCII, so nothing in it can end a line."""
    path = (place.parts.path or "/") + (f"?{place.parts.query}" if place.parts.query else "")
    said = {"Host": place.parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def connect(place: TargetHost, guard: Guard, deadline: float) -> socket.socket:
    """A connection to the first address of the name that the guard allows and that answers. Raises PostError and OSError."""
    try:
        found = make_guarded_getaddrinfo(guard)(place.name, place.port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        raise DeliveryError(f"the host {place.name} is unknown") from None
    if not found:
        raise DeliveryError("the address leads into a private network, or to a port that is none of the web's; see NEWSMILL_ALLOW_NETS")
    problem: OSError | None = None
    for family, kind, protocol, _, address in found:
        door = socket.socket(family, kind, protocol)
        try:
            door.settimeout(seconds_left(deadline))
            door.connect(address)
            return ssl.create_default_context().wrap_socket(door, server_hostname=place.name) if place.tls else door
        except OSError as error:
            door.close()
            problem = error
    raise problem or OSError


def read_status(door: socket.socket, deadline: float) -> int:
    """The status in the first line of the answer; the rest is not read. Raises PostError and OSError."""
    line = b""
    while b"\n" not in line and len(line) < MAX_STATUS_LINE_BYTES:
        door.settimeout(seconds_left(deadline))
        part = door.recv(MAX_STATUS_LINE_BYTES)
        if not part:
            break
        line += part
    match = STATUS_LINE.match(line)
    if match is None:
        raise DeliveryError("the answer was not HTTP")
    return int(match[1])


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


# Tells web hooks: one thread of the web process, which makes deliveries of what is new and sends those that are due.
#
# In the web process and not in the scheduler, because it waits for strangers' servers: a slow receiver must not hold up the ticks of sources.
# Several web processes share the work by compare-and-set on each row. What is owed stands in SQL, so a crash loses nothing; a receiver may
# get a message twice and knows it by its id.

log = logging.getLogger(__name__)

ROUND_SECONDS = 2.0  # seconds between two rounds when there is nothing to do
MAX_CONCURRENT = 4  # deliveries in flight: of four hooks, for each hook waits for its own
MAX_DOCUMENTS = 50  # of one message
CLEANUP_SECONDS = 3600.0  # seconds
MAX_COUNTED_URLS = 10_000  # addresses of a submission that are counted for its message


class WebhookSender:
    """A thread with a beginning and an end. `round` is one pass, for tests."""

    def __init__(self, context: AppContext, allow_nets: tuple[str, ...]) -> None:
        self.context = context
        self.hooks = Webhooks(context.engine)
        self.guard = Guard.from_networks(allow_nets)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postman", daemon=True)
        self._forget_at = time.monotonic()
        self._trouble: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in flight (ten seconds at the most) and end."""
        self._stop.set()
        self._thread.join(15)

    def _run(self) -> None:
        with ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="delivery") as pool:
            while not self._stop.is_set():
                if not self._attempt(pool):
                    self._stop.wait(ROUND_SECONDS)

    def _attempt(self, pool: ThreadPoolExecutor) -> int:
        """One round; the database being away is one line in the log, and the next round makes up for it."""
        try:
            done, trouble = self.round(pool), None
        except ServiceError as error:
            done, trouble = 0, str(error)
        if trouble != self._trouble:
            log.warning("%s", trouble or "everything answers again")
        self._trouble = trouble
        return done

    def round(self, pool: ThreadPoolExecutor) -> int:
        """Make deliveries of what is new and send what is due; how many were sent. Raises ServiceError."""
        now = self.context.now()
        for hook in self.hooks.list_idle():
            self.tell_documents(hook, now)
        for submission, hook_id in self.hooks.list_unnotified():
            self.tell_submission(submission, hook_id, now)
        if time.monotonic() >= self._forget_at:
            self.hooks.delete_old(now=now)
            Submissions(self.context.engine).delete_old(now=now)
            self._forget_at = time.monotonic() + CLEANUP_SECONDS
        return len(list(pool.map(self.deliver, self.hooks.claim_due(now=now, limit=MAX_CONCURRENT))))

    def tell_documents(self, hook: Webhook, now: datetime) -> None:
        """One delivery of up to 50 documents that came after the hook's place."""
        place = ChangePosition(hook.seen_at, hook.seen_id)
        found = Changes(self.context.engine).after(place, limit=MAX_DOCUMENTS, source=hook.source)
        if found:
            last = found[-1]
            data = {"documents": [summarize(document) for document in found], "cursor": last.cursor}
            self.hooks.notify(hook, build_message(WebhookEvent.DOCUMENTS, data, now), until=last.stored_at, last=last.id, now=now)

    def tell_submission(self, submission: str, hook_id: str, now: datetime) -> None:
        """One delivery when every address of a submission has ended."""
        held = Submissions(self.context.engine)
        if not held.done(submission) or (found := held.get(submission)) is None:
            return
        outcomes = Counter(str(row.outcome) for row in held.rows(submission, limit=MAX_COUNTED_URLS))
        data = {"submission": submission, "urls": found.urls, "outcomes": dict(outcomes)}
        self.hooks.notify_submission(submission, hook_id, build_message(WebhookEvent.SUBMISSION, data, now), now=now)

    def deliver(self, taken: tuple[Delivery, Webhook]) -> None:
        """Send one, and write down what came of it. Raises ServiceError."""
        delivery, hook = taken
        body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            status = post(hook.url, body, build_headers(delivery.id, hook.secret, body, self.context.now()), self.guard)
        except DeliveryError as error:
            self.hooks.mark_failed(delivery, None, str(error), now=self.context.now())
            return
        if 200 <= status < 300:
            self.hooks.mark_delivered(delivery, status, now=self.context.now())
        else:
            self.hooks.mark_failed(delivery, status, f"the receiver answered {status}", now=self.context.now())


def build_message(event: WebhookEvent, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What is sent: Standard Webhooks' envelope."""
    return {"type": event.value, "timestamp": now.isoformat(), "data": data}


def build_headers(delivery_id: str, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of a delivery: standardwebhooks.com, symmetric signature v1."""
    at = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{delivery_id}.{at}.".encode() + body, hashlib.sha256)).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Newsmill/{__version__}",
        "webhook-id": delivery_id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{signature}",
    }

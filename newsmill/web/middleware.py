"""The ASGI middlewares, outermost first: request guard, rate limits, entity tags."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsmill.exceptions import NewsmillError
from newsmill.web.auth import get_caller
from newsmill.web.config import OWNER_PATH, WEBSUB_PATH, WebConfig
from newsmill.web.responses import problem_response

SECURITY_HEADERS = {  # of every response that does not set its own
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with `no-referrer`, browsers hide the Origin of the forms of these pages
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",  # cached, but revalidated with the ETag each time
}
WINDOW_SECONDS = 60
MAX_CALLERS = 10_000  # whose requests are counted, 150 bytes each; beyond that the oldest window is dropped
SECRET_PATHS = (WEBSUB_PATH, OWNER_PATH)  # what follows is known to one hub or one owner only
UNLIMITED_PATHS = ("/static/", "/api/v1/live")  # cheap, and /live must work without the database
TAGGED_PATHS = ("/api/", "/feeds/")
PAGES_PATH = "/api/v1/pages"

log = logging.getLogger(__name__)


class RequestGuardMiddleware:
    """Refuses a request with an unknown Host header or a large body; adds security headers; logs each request."""

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self.app = app
        self.config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and scope["path"] != "/api/v1/stream":  # routes exist for GET only; the server omits the body
            scope = {**scope, "method": "GET"}
        started_at = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        max_bytes = self._max_bytes(scope["path"])
        if refusal := self._refusal(headers, scope["path"], max_bytes):
            await problem_response(*refusal)(scope, receive, send_with_headers)
        else:
            await self.app(scope, LimitedBody(receive, max_bytes, self.config.max_body_seconds), send_with_headers)
        # Without the query, which holds the secret of a sign-in link. Percent-encoded, so that a path cannot forge log lines.
        path = scope.get("raw_path", b"?").decode("ascii", "replace")
        path = next((secret for secret in SECRET_PATHS if path.startswith(secret)), path)
        log.info("%s %s %d %.0f ms", scope["method"], path, status, (time.perf_counter() - started_at) * 1000)

    def _max_bytes(self, path: str) -> int:
        """The limit of a request's body. The larger ones are for bodies that are read only after their sender is checked."""
        if path == PAGES_PATH:
            return self.config.max_pages_body_bytes
        return self.config.max_push_bytes if path.startswith(WEBSUB_PATH) else self.config.max_body_bytes

    def _refusal(self, headers: Headers, path: str, max_bytes: int) -> tuple[int, str] | None:
        """Status and detail if the headers alone suffice to refuse the request."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not (self.config.is_own_host(hosts[0]) or self.config.is_public_request(hosts[0], path)):
            return 421, "unknown Host header: add the host name to NEWSMILL_WEB_HOSTS, or set NEWSMILL_WEB_URL"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > max_bytes:
            return 413, f"the request body is too large: send at most {max_bytes:,} bytes"
        return None


class LimitedBody:
    """The body of a request, with limits on its size and duration."""

    def __init__(self, receive: Receive, max_bytes: int, max_seconds: float) -> None:
        self.receive = receive
        self.max_bytes, self.max_seconds = max_bytes, max_seconds
        self.bytes_left = max_bytes
        self.deadline = time.monotonic() + max_seconds
        self.is_complete = False

    async def __call__(self) -> Message:
        """The next message. Raises HTTPException 413 and 408."""
        if self.is_complete:  # only the end of the connection follows, for which a stream waits without a limit
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), self.deadline - time.monotonic())
        except TimeoutError:
            raise HTTPException(408, f"the request body did not arrive within {self.max_seconds:g} s: send it again") from None
        self.bytes_left -= len(message.get("body", b""))
        self.is_complete = not message.get("more_body", False)
        if self.bytes_left < 0:
            raise HTTPException(413, f"the request body is too large: send at most {self.max_bytes:,} bytes")
        return message


# ---- rate limits ---------------------------------------------------------------------------------------------------------------


@dataclass
class RequestWindow:
    """The requests of one caller in the current window."""

    ends_at: float  # monotonic seconds
    count: int = 0


class RequestCounter:
    """Counts requests per caller and window of `seconds`. Tests pass their own clock."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic, *, seconds: float = WINDOW_SECONDS) -> None:
        self.rate = rate
        self.seconds = seconds
        self._clock = clock
        self._windows: OrderedDict[str, RequestWindow] = OrderedDict()

    def count(self, key: str) -> tuple[int, int]:
        """Count a request. Returns the remaining requests (negative above the limit) and the seconds until the window ends."""
        now = self._clock()
        window = self._windows.get(key)
        if window is None or window.ends_at <= now:
            self._windows.pop(key, None)
            window = self._windows[key] = RequestWindow(now + self.seconds)
            if len(self._windows) > MAX_CALLERS:
                self._windows.popitem(last=False)
        window.count += 1
        return self.rate - window.count, max(1, round(window.ends_at - now))


class RateLimitMiddleware:
    """Limits the requests a minute of each token, or of each IP address without one (draft-ietf-httpapi-ratelimit-headers).

    Each process counts for itself: several web processes multiply the limit.
    """

    def __init__(self, app: ASGIApp, rate: int) -> None:
        self.app = app
        self.counter = RequestCounter(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNLIMITED_PATHS):
            await self.app(scope, receive, send)
            return
        remaining, seconds = self.counter.count(await run_in_threadpool(caller_key, scope))
        headers = {
            "RateLimit-Policy": f'"minute";q={self.counter.rate};w={WINDOW_SECONDS}',
            "RateLimit": f'"minute";r={max(0, remaining)};t={seconds}',
        }
        if remaining < 0:
            detail = f"more than {self.counter.rate} requests in a minute: retry in {seconds} s"
            await problem_response(429, detail, headers=headers | {"Retry-After": str(seconds)})(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self.app(scope, receive, send_with_limits)


def caller_key(scope: Any) -> str:
    """The token's ID, or the client's IP address for a request without a valid token."""
    with suppress(HTTPException, NewsmillError):  # the route raises both again and answers them
        caller = get_caller(Request(scope))
        if caller is not None and caller.token is not None:
            return caller.token.id
    return scope["client"][0] if scope.get("client") else "unknown"


# ---- entity tags ---------------------------------------------------------------------------------------------------------------


class ETagMiddleware:
    """Adds an ETag to the responses of the API and the feeds, and answers 304. A streamed response gets none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not scope["path"].startswith(TAGGED_PATHS):
            await self.app(scope, receive, send)
            return
        if_none_match = Headers(scope=scope).get("if-none-match", "")
        start: Message | None = None

        async def send_with_etag(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message  # held back until the body is known
                return
            if start is not None:
                first, start = start, None
                if not message.get("more_body", False):
                    first, message = add_etag(first, message, if_none_match)
                await send(first)
            await send(message)

        await self.app(scope, receive, send_with_etag)


def add_etag(start: Message, body: Message, if_none_match: str) -> tuple[Message, Message]:
    """The response with its ETag, or 304 if the client has it. The tag is weak, because the body is compressed afterwards."""
    tag = f'W/"{blake2b(body.get("body", b""), digest_size=12).hexdigest()}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers.setdefault("ETag", tag)
    if not matches_etag(if_none_match, tag):
        return {**start, "headers": headers.raw}, body
    for name in ("content-length", "content-type"):
        if name in headers:
            del headers[name]
    return {**start, "status": 304, "headers": headers.raw}, {"type": "http.response.body", "body": b""}


def matches_etag(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match header names the tag (RFC 9110, 13.1.2: weak comparison)."""
    tags = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return if_none_match.strip() == "*" or tag.removeprefix("W/") in tags

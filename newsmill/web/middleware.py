"""How often one caller may ask: so many requests a minute for each token, or for each address without one.

Said in every answer as draft-ietf-httpapi-ratelimit-headers asks for. Counted in this process only: with several web processes behind one
address the limit is that many times as high.
"""

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
from newsmill.web.config import WebConfig
from newsmill.web.problem_details import problem_response

WINDOW_SECONDS = 60  # seconds
MAX_CALLERS = 10_000  # callers remembered, 150 bytes each; beyond that the one seen first is forgotten
UNLIMITED_PATHS = ("/static/", "/api/v1/live")  # they cost us nothing, and must answer without the database


@dataclass
class RequestWindow:
    """One caller's window."""

    until: float  # monotonic seconds
    count: int = 0


class RequestCounter:
    """Counts; the clock is an argument for tests."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._spent: OrderedDict[str, RequestWindow] = OrderedDict()

    def spend(self, key: str) -> tuple[int, int]:
        """One request: (how many are left, below zero when this one is too many; seconds until the window ends)."""
        now = self._clock()
        spent = self._spent.get(key)
        if spent is None or spent.until <= now:
            self._spent.pop(key, None)
            spent = self._spent[key] = RequestWindow(now + WINDOW_SECONDS)
            if len(self._spent) > MAX_CALLERS:
                self._spent.popitem(last=False)
        spent.count += 1
        return self.rate - spent.count, max(1, round(spent.until - now))


class RateLimitMiddleware:
    """ASGI middleware: looks up the caller, once for the whole request, and counts."""

    def __init__(self, app: ASGIApp, rate: int) -> None:
        self.app = app
        self.meter = RequestCounter(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNLIMITED_PATHS):
            await self.app(scope, receive, send)
            return
        left, seconds = self.meter.spend(await run_in_threadpool(caller_key, scope))
        said = {
            "RateLimit-Policy": f'"minute";q={self.meter.rate};w={WINDOW_SECONDS}',
            "RateLimit": f'"minute";r={max(0, left)};t={seconds}',
        }
        if left < 0:
            words = f"more than {self.meter.rate} requests in a minute; the next ones are answered in {seconds} s"
            await problem_response(429, words, headers=said | {"Retry-After": str(seconds)})(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(said)
            await send(message)

        await self.app(scope, receive, telling)


def caller_key(scope: Any) -> str:
    """Whose window a request belongs to. A token that is none counts for its sender's address."""
    with suppress(HTTPException, NewsmillError):  # both are raised again, and answered, where the caller is asked for
        found = get_caller(Request(scope))
        if found is not None and found.token is not None:
            return found.token.id
    return scope["client"][0] if scope.get("client") else "nobody"


# ETag and 304 for what programs ask for again and again: the API's and the feeds' answers.

TAGGED_PATHS = ("/api/", "/feeds/")


class ETagMiddleware:
    """ASGI middleware. Only whole answers of one piece get a tag; a stream passes through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not scope["path"].startswith(TAGGED_PATHS):
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("if-none-match", "")
        start: Message | None = None

        async def tagging(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message  # held back until the body is known
                return
            if start is not None:
                held, start = start, None
                if not message.get("more_body", False):
                    held, message = add_etag(held, message, asked)
                await send(held)
            await send(message)

        await self.app(scope, receive, tagging)


def add_etag(start: Message, body: Message, asked: str) -> tuple[Message, Message]:
    """The answer with its tag, or without its body where the client has it. Weak, because it is compressed afterwards."""
    tag = f'W/"{blake2b(body.get("body", b""), digest_size=12).hexdigest()}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers.setdefault("ETag", tag)
    if not matches_etag(asked, tag):
        return {**start, "headers": headers.raw}, body
    for name in ("content-length", "content-type"):
        if name in headers:
            del headers[name]
    return {**start, "status": 304, "headers": headers.raw}, {"type": "http.response.body", "body": b""}


def matches_etag(asked: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag (RFC 9110 section 13.1.2: weak comparison)."""
    return asked.strip() == "*" or tag.removeprefix("W/") in {one.strip().removeprefix("W/") for one in asked.split(",")}


# The outermost layer: whose name a request calls, how large it may be, how long its body may take, and what every answer must say.

log = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
# On every answer, unless the answer says otherwise itself. `same-origin`: with `no-referrer` browsers hide the Origin of our own forms.
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",  # kept, but asked about each time: an ETag answers that
}


class RequestGuardMiddleware:
    """ASGI middleware. Refuses with problem+json before anything of ours has run."""

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self.app = app
        self.config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and scope["path"] != "/api/v1/stream":  # FastAPI knows only GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        began = time.perf_counter()
        status = 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if refusal := self._refusal(headers):
            await problem_response(*refusal)(scope, receive, dressed)
        else:
            await self.app(scope, LimitedBody(receive, self.config), dressed)
        # The query is left out: a link that opens a session carries its secret there.
        # As it came, still percent-encoded, so that no line break in it can begin a line of its own.
        path = scope.get("raw_path", b"?").decode("ascii", "replace")
        log.info("%s %s %d %.0f ms", scope["method"], path, status, (time.perf_counter() - began) * 1000)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence, where a request is refused by its headers alone."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.config.is_own_host(hosts[0]):
            return 421, "this is not a name we answer to: name it in NEWSMILL_WEB_HOSTS, or in NEWSMILL_WEB_URL"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > self.config.largest:
            return 413, f"a request may have {self.config.largest:,} bytes"
        return None


class LimitedBody:
    """A request's body, counted and timed as it comes."""

    def __init__(self, receive: Receive, config: WebConfig) -> None:
        self.receive = receive
        self.left = config.largest
        self.until = time.monotonic() + config.max_body_seconds
        self.whole = False

    async def __call__(self) -> Message:
        """The next message. Raises HTTPException 413 and 408."""
        if self.whole:  # what comes now is only the end of the connection, and a stream waits for that as long as it likes
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), self.until - time.monotonic())
        except TimeoutError:
            raise HTTPException(408, "the request's body took too long") from None
        self.left -= len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.left < 0:
            raise HTTPException(413, "the request's body is too large")
        return message

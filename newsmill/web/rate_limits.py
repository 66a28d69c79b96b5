"""The middleware that limits how often a caller may ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsmill.exceptions import NewsmillError
from newsmill.web.auth import get_caller
from newsmill.web.problem_details import problem_response

WINDOW_SECONDS = 60
MAX_CALLERS = 10_000  # whose requests are counted, 150 bytes each; beyond that the oldest window is dropped
UNLIMITED_PATHS = ("/static/", "/api/v1/live")  # cheap, and /live must work without the database


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
        if caller is not None:
            return caller.token.id
    return scope["client"][0] if scope.get("client") else "unknown"

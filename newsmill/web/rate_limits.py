"""How often one caller may ask: so many requests a minute for each token, or for each address without one.

Said in every answer as draft-ietf-httpapi-ratelimit-headers asks for. Counted in this process only: with several web processes behind one
address the limit is that many times as high.
"""

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
from newsmill.web.auth import caller
from newsmill.web.problem_details import problem

WINDOW = 60  # seconds
MOST_KEYS = 10_000  # callers remembered, 150 bytes each; beyond that the one seen first is forgotten
FREE = ("/static/", "/api/v1/live")  # they cost us nothing, and must answer without the database


@dataclass
class Spent:
    """One caller's window."""

    until: float  # monotonic seconds
    count: int = 0


class Meter:
    """Counts; the clock is an argument for tests."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._spent: OrderedDict[str, Spent] = OrderedDict()

    def spend(self, key: str) -> tuple[int, int]:
        """One request: (how many are left, below zero when this one is too many; seconds until the window ends)."""
        now = self._clock()
        spent = self._spent.get(key)
        if spent is None or spent.until <= now:
            self._spent.pop(key, None)
            spent = self._spent[key] = Spent(now + WINDOW)
            if len(self._spent) > MOST_KEYS:
                self._spent.popitem(last=False)
        spent.count += 1
        return self.rate - spent.count, max(1, round(spent.until - now))


class Limits:
    """ASGI middleware: looks up the caller, once for the whole request, and counts."""

    def __init__(self, app: ASGIApp, rate: int) -> None:
        self.app = app
        self.meter = Meter(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(FREE):
            await self.app(scope, receive, send)
            return
        left, seconds = self.meter.spend(await run_in_threadpool(key_of, scope))
        said = {
            "RateLimit-Policy": f'"minute";q={self.meter.rate};w={WINDOW}',
            "RateLimit": f'"minute";r={max(0, left)};t={seconds}',
        }
        if left < 0:
            words = f"more than {self.meter.rate} requests in a minute; the next ones are answered in {seconds} s"
            await problem(429, words, headers=said | {"Retry-After": str(seconds)})(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(said)
            await send(message)

        await self.app(scope, receive, telling)


def key_of(scope: Any) -> str:
    """Whose window a request belongs to. A token that is none counts for its sender's address."""
    with suppress(HTTPException, NewsmillError):  # both are raised again, and answered, where the caller is asked for
        found = caller(Request(scope))
        if found is not None and found.token is not None:
            return found.token.id
    return scope["client"][0] if scope.get("client") else "nobody"

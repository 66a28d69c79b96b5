"""The outermost layer: whose name a request calls, how large it may be, how long its body may take, and what every answer must say."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsmill.web.problem_details import problem
from newsmill.web.web_settings import WebConfig

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
# On every answer, unless the answer says otherwise itself. `same-origin`: with `no-referrer` browsers hide the Origin of our own forms.
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",  # kept, but asked about each time: an ETag answers that
}


class Shield:
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
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if refusal := self._refusal(headers):
            await problem(*refusal)(scope, receive, dressed)
        else:
            await self.app(scope, Metered(receive, self.config), dressed)
        # The query is left out: a link that opens a session carries its secret there.
        # As it came, still percent-encoded, so that no line break in it can begin a line of its own.
        path = scope.get("raw_path", b"?").decode("ascii", "replace")
        log.info("%s %s %d %.0f ms", scope["method"], path, status, (time.perf_counter() - began) * 1000)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence, where a request is refused by its headers alone."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.config.answers_to(hosts[0]):
            return 421, "this is not a name we answer to: name it in NEWSMILL_WEB_HOSTS, or in NEWSMILL_WEB_URL"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > self.config.largest:
            return 413, f"a request may have {self.config.largest:,} bytes"
        return None


class Metered:
    """A request's body, counted and timed as it comes."""

    def __init__(self, receive: Receive, config: WebConfig) -> None:
        self.receive = receive
        self.left = config.largest
        self.until = time.monotonic() + config.body_seconds
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

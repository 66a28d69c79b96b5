"""The outermost middleware: what it refuses before any route."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsmill.text.sentences import Sentence
from newsmill.web.config import OWNER_PATH, WEBSUB_PATH, WebConfig
from newsmill.web.problem_details import problem_response

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
SECURITY_HEADERS = {  # of every response that does not set its own
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with `no-referrer`, browsers hide the Origin of the forms of these pages
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",  # cached, but revalidated with the ETag each time
}
SECRET_PATHS = (WEBSUB_PATH, OWNER_PATH)  # what follows is known to one hub or one owner only
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
            return 413, Sentence("the request body is too large: send at most {n:,} bytes", n=max_bytes)
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
            raise HTTPException(
                408, Sentence("the request body did not arrive within {n:g} s: send it again", n=self.max_seconds)
            ) from None
        self.bytes_left -= len(message.get("body", b""))
        self.is_complete = not message.get("more_body", False)
        if self.bytes_left < 0:
            raise HTTPException(413, Sentence("the request body is too large: send at most {n:,} bytes", n=self.max_bytes))
        return message

"""The middleware that answers a conditional request with 304 Not Modified."""

from __future__ import annotations

from hashlib import blake2b

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TAGGED_PATHS = ("/api/", "/feeds/")


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

"""ETag and 304 for what programs ask for again and again: the API's and the feeds' answers."""

from __future__ import annotations

from hashlib import blake2b

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TAGGED = ("/api/", "/feeds/")


class Tags:
    """ASGI middleware. Only whole answers of one piece get a tag; a stream passes through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not scope["path"].startswith(TAGGED):
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
                    held, message = tagged(held, message, asked)
                await send(held)
            await send(message)

        await self.app(scope, receive, tagging)


def tagged(start: Message, body: Message, asked: str) -> tuple[Message, Message]:
    """The answer with its tag, or without its body where the client has it. Weak, because it is compressed afterwards."""
    tag = f'W/"{blake2b(body.get("body", b""), digest_size=12).hexdigest()}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers.setdefault("ETag", tag)
    if not matches(asked, tag):
        return {**start, "headers": headers.raw}, body
    for name in ("content-length", "content-type"):
        if name in headers:
            del headers[name]
    return {**start, "status": 304, "headers": headers.raw}, {"type": "http.response.body", "body": b""}


def matches(asked: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag (RFC 9110 section 13.1.2: weak comparison)."""
    return asked.strip() == "*" or tag.removeprefix("W/") in {one.strip().removeprefix("W/") for one in asked.split(",")}

"""The web door: one ASGI application for programs (/api/v1) and people (everything else)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from newsmill import __version__
from newsmill.context import AppContext
from newsmill.web import api, auth, feeds, pages, problem_details
from newsmill.web.api.responses import problem_schemas
from newsmill.web.config import WebConfig
from newsmill.web.extraction_executor import ExtractionExecutor
from newsmill.web.middleware import ETagMiddleware, RateLimitMiddleware, RequestGuardMiddleware
from newsmill.web.webhook_sender import WebhookSender

MAX_THREADS = 12  # requests at work at once; an engine has 15 connections, and the streams and webhooks need some
MIN_GZIP_BYTES = 1000  # bytes; below, the saving is less than one packet


class WebApplication(FastAPI):
    """FastAPI with our shield around everything, Starlette's own handling of bugs included: no answer leaves without its headers."""

    def build_middleware_stack(self) -> ASGIApp:
        return RequestGuardMiddleware(super().build_middleware_stack(), self.state.config)

    def openapi(self) -> dict[str, Any]:
        """The schema, with the form of our refusals."""
        schema = super().openapi()
        schema["components"]["schemas"] |= problem_schemas()
        return schema


def create_app(context: AppContext, config: WebConfig | None = None) -> FastAPI:
    """The application over an open house. Routers find `house`, `config` and `rereader` in `request.app.state`."""
    config = config or WebConfig()
    app = WebApplication(
        title="Newsmill",
        version=__version__,
        description="News documents with where every field came from. docs/reference/http-api.md explains with examples.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context, app.state.config = context, config
    app.state.streams = set[object]()
    problem_details.install_handlers(app)
    # The one added last is the outermost.
    app.add_middleware(ETagMiddleware)
    app.add_middleware(GZipMiddleware, minimum_size=MIN_GZIP_BYTES, compresslevel=5)
    app.add_middleware(RateLimitMiddleware, rate=config.rate)
    app.include_router(auth.router)
    app.include_router(api.router, prefix="/api/v1")
    app.include_router(feeds.router)
    pages.install(app)
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """What runs as long as the application does: the thread that reads archived pages again, and the one that tells web hooks."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
    stopping = app.state.stopping = asyncio.Event()
    rereader = app.state.rereader = ExtractionExecutor()
    postman = WebhookSender(app.state.context, app.state.config.allow_nets)
    if app.state.config.hooks:
        postman.start()
    try:
        yield
    finally:
        stopping.set()
        if app.state.config.hooks:
            await anyio.to_thread.run_sync(postman.stop)
        rereader.close()

"""The web application: the API for programs under /api/v1, feeds under /feeds, and pages for people."""

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

from newsmill.context import AppContext
from newsmill.version import __version__
from newsmill.web import api, auth, feeds, pages, problem_details
from newsmill.web.api.responses import problem_schemas
from newsmill.web.api.submitted_pages import request_schemas
from newsmill.web.config import WebConfig
from newsmill.web.extraction_executor import ExtractionExecutor
from newsmill.web.middleware import ETagMiddleware, RateLimitMiddleware, RequestGuardMiddleware
from newsmill.web.webhook_sender import WebhookSender

MAX_THREADS = 12  # requests served at once; the engine has 15 connections, of which streams and webhooks need some
MIN_GZIP_BYTES = 1000  # a smaller response fits into one packet anyway


class WebApplication(FastAPI):
    """FastAPI with RequestGuardMiddleware outermost, so that even the response to a bug has the security headers."""

    def build_middleware_stack(self) -> ASGIApp:
        return RequestGuardMiddleware(super().build_middleware_stack(), self.state.config)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI schema, with the schemas of problem details and of bodies that a route reads itself."""
        schema = super().openapi()
        schema["components"]["schemas"] |= problem_schemas() | request_schemas()
        return schema


def create_app(context: AppContext, config: WebConfig | None = None) -> FastAPI:
    """The application. Its routes use `context`, `config` and `extraction_executor` of `request.app.state`."""
    config = config or WebConfig()
    app = WebApplication(
        title="Newsmill",
        version=__version__,
        description="News documents, with the origin of every field. docs/reference/http-api.md has examples.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context, app.state.config = context, config
    app.state.streams = set[object]()
    problem_details.install_handlers(app)
    # The middleware added last is outermost.
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
    """Run the threads for extraction and webhooks as long as the application runs."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
    stopping = app.state.stopping = asyncio.Event()
    executor = app.state.extraction_executor = ExtractionExecutor()
    webhook_sender = WebhookSender(app.state.context, app.state.config.allow_nets)
    if app.state.config.sends_webhooks:
        webhook_sender.start()
    try:
        yield
    finally:
        stopping.set()
        if app.state.config.sends_webhooks:
            await anyio.to_thread.run_sync(webhook_sender.stop)
        executor.close()

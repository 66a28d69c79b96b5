"""The web application: the API for programs under /api/v1, feeds under /feeds, and pages for people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from newsmill.address_guard import Guard
from newsmill.context import AppContext, data_folder
from newsmill.version import __version__
from newsmill.web import api, auth, feeds, lead_images, pages, problem_details, websub
from newsmill.web.alarm_sender import AlarmSender
from newsmill.web.alert_sender import AlertSender, TestSender
from newsmill.web.api.responses import problem_schemas
from newsmill.web.api.submissions import request_schemas
from newsmill.web.api.webhooks import WebhookSender
from newsmill.web.config import WebConfig
from newsmill.web.lead_images import LeadImages
from newsmill.web.middleware import ETagMiddleware, RateLimitMiddleware, RequestGuardMiddleware
from newsmill.web.pages.bot import HostProofs
from newsmill.web.pages.sources import Inspections
from newsmill.web.round_thread import RoundThread
from newsmill.web.websub import WebSubSubscriber

MAX_WAITING = 4  # extractions: at most two minutes of waiting
MAX_THREADS = 12  # requests served at once; the engine has 15 connections, of which streams and webhooks need some
MIN_GZIP_BYTES = 1000  # a smaller response fits into one packet anyway

P = ParamSpec("P")
R = TypeVar("R")


class ExtractionExecutor:
    """Extracts archived pages while a request waits: one page at a time, a few waiting, outside the event loop.

    A hostile page may take 30 s. The extraction has a thread of its own, because the kernel kills the child processes of a sandbox when the
    thread that started them ends. A route calls `await request.app.state.extraction_executor.run(function, …)`.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="extraction")
        self._waiting = 0

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in the thread, where it may use a Sandbox. Raises HTTPException 503 when too many calls wait."""
        if self._waiting >= MAX_WAITING:
            raise HTTPException(503, "other pages are being extracted: try again in a few seconds", headers={"Retry-After": "10"})
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))
        future.add_done_callback(self._mark_done)  # not in a `finally`: when a client disconnects, its call still runs or waits
        return await asyncio.shield(future)

    def _mark_done(self, future: asyncio.Future[R]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # retrieved, because asyncio logs exceptions that are not retrieved

    def close(self) -> None:
        """Wait for the running call, and end the thread."""
        self._executor.shutdown(cancel_futures=True)


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
    app.state.test_sender = TestSender(context, config.url)
    app.state.streams = set[object]()
    app.state.lead_images = None  # where they are off
    problem_details.install_handlers(app)
    # The middleware added last is outermost.
    app.add_middleware(ETagMiddleware)
    app.add_middleware(GZipMiddleware, minimum_size=MIN_GZIP_BYTES, compresslevel=5)
    app.add_middleware(RateLimitMiddleware, rate=config.rate)
    app.include_router(auth.router)
    app.include_router(api.router, prefix="/api/v1")
    app.include_router(feeds.router)
    app.include_router(websub.router)
    app.include_router(lead_images.router)
    pages.install(app)
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the threads for extraction, webhooks, alerts, alarms and WebSub as long as the application runs."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
    stopping = app.state.stopping = asyncio.Event()
    executor = app.state.extraction_executor = ExtractionExecutor()
    inspections = app.state.inspections = Inspections()
    config: WebConfig = app.state.config
    context: AppContext = app.state.context
    settings = context.settings
    app.state.host_proofs = HostProofs(Guard.from_networks(config.allow_nets), settings.agent)
    if config.shows_images:
        folder = data_folder(settings) / "images"
        app.state.lead_images = LeadImages(folder, config.allow_nets, settings.agent, context.ledger.publisher_order)
    senders: list[RoundThread] = []
    if config.sends_webhooks:
        senders += [WebhookSender(context, config.allow_nets), AlertSender(context, config.url), AlarmSender(context, config.url)]
    if config.public_url is not None:
        senders.append(WebSubSubscriber(context, config.public_url, config.allow_nets))
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        stopping.set()
        for sender in senders:
            await anyio.to_thread.run_sync(sender.stop)
        executor.close()
        await anyio.to_thread.run_sync(inspections.close)
        if app.state.lead_images is not None:
            app.state.lead_images.close()

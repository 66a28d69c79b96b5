"""The web application: the API for programs under /api/v1, feeds under /feeds, and pages for people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from newsmill.context import AppContext, images_folder
from newsmill.network.address_guard import Guard
from newsmill.notifications.alerts import TestSender
from newsmill.notifications.loop import SenderLoop
from newsmill.version import __version__
from newsmill.web import auth, feeds, sessions, websub
from newsmill.web.alert_messages import AlertMessages
from newsmill.web.api import alerts as alerts_api
from newsmill.web.api import (
    change_stream,
    health,
    ledger,
    metrics,
    quarantine,
    search_counts,
    search_export,
    source_schedule,
    stories,
    submissions,
    submitted_pages,
    webhooks,
)
from newsmill.web.api import documents as documents_api
from newsmill.web.api import marks as marks_api
from newsmill.web.api import search as search_api
from newsmill.web.api import searches as searches_api
from newsmill.web.api import sources as sources_api
from newsmill.web.config import WebConfig
from newsmill.web.entity_tags import ETagMiddleware
from newsmill.web.extraction_executor import ExtractionExecutor
from newsmill.web.inspections import Inspections
from newsmill.web.lead_images import LeadImages
from newsmill.web.pages import (
    api_reference,
    archived_page,
    bot,
    document,
    error_pages,
    explore,
    home,
    inspection_pages,
    lead_image,
    mark_forms,
    operations,
    preferences,
    reextraction,
    revisions,
    rule_editor,
    saved_searches,
    search,
    source,
    sources,
    static_files,
)
from newsmill.web.pages import stories as story_pages
from newsmill.web.pages.host_proofs import HostProofs
from newsmill.web.past_stores import PastStores
from newsmill.web.problem_details import check_query_parameters, error_responses, install_error_handlers, problem_schemas
from newsmill.web.rate_limits import RateLimitMiddleware
from newsmill.web.request_guard import RequestGuardMiddleware
from newsmill.web.senders import make_senders

MAX_THREADS = 12  # requests served at once; the engine has 15 connections, of which streams and webhooks need some
MIN_GZIP_BYTES = 1000  # a smaller response fits into one packet anyway

API_ROUTERS = (
    documents_api.router,
    search_api.router,
    search_counts.router,
    search_export.router,
    searches_api.router,
    stories.router,
    alerts_api.router,
    marks_api.marks_router,
    sources_api.router,
    source_schedule.router,
    ledger.ledger_router,
    submissions.router,
    submitted_pages.router,
    quarantine.quarantine_router,
    change_stream.stream_router,
    webhooks.router,
    health.health_router,
)
PAGE_ROUTERS = (
    *(home.router, bot.router, search.router, explore.router, saved_searches.router, document.router, revisions.router, lead_image.router),
    story_pages.router,
    *(sources.router, inspection_pages.router, source.router, rule_editor.router),  # the fixed paths under /sources before /sources/{name}
    *(operations.router, reextraction.router, preferences.router, static_files.router),
    archived_page.router,
    mark_forms.marks_router,
    api_reference.router,
)


class WebApplication(FastAPI):
    """FastAPI with RequestGuardMiddleware outermost, so that even the response to a bug has the security headers."""

    def build_middleware_stack(self) -> ASGIApp:
        return RequestGuardMiddleware(super().build_middleware_stack(), self.state.config)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI schema, with the schemas of problem details and of bodies that a route reads itself."""
        schema = super().openapi()
        schema["components"]["schemas"] |= problem_schemas() | submitted_pages.request_schemas()
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
        generate_unique_id_function=lambda route: route.name,  # generated clients name their functions after it
    )
    app.state.context, app.state.config = context, config
    app.state.test_sender = TestSender(context, AlertMessages(context, config.url))
    app.state.streams = set[object]()
    app.state.lead_images = None  # where they are off
    install_error_handlers(app)
    # The middleware added last is outermost.
    app.add_middleware(ETagMiddleware)
    app.add_middleware(GZipMiddleware, minimum_size=MIN_GZIP_BYTES, compresslevel=5)
    app.add_middleware(RateLimitMiddleware, rate=config.rate)
    app.include_router(sessions.router)
    app.include_router(build_api_router(), prefix="/api/v1")
    app.include_router(feeds.router)
    app.include_router(metrics.metrics_router)
    app.include_router(websub.router)
    for router in PAGE_ROUTERS:
        app.include_router(router)
    app.state.error_page, app.state.sign_in_page = error_pages.render_error_page, error_pages.render_sign_in_page
    return app


def build_api_router() -> APIRouter:
    """The routes of the API, in the order of its schema."""
    api = APIRouter(dependencies=[Depends(auth.bearer), Depends(check_query_parameters)], responses=error_responses(401, 422, 429, 503))
    for router in API_ROUTERS:
        api.include_router(router)
    return api


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the threads for extraction, webhooks, alerts, alarms and WebSub as long as the application runs."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
    stopping = app.state.stopping = asyncio.Event()
    executor = app.state.extraction_executor = ExtractionExecutor()
    inspections = app.state.inspections = Inspections()
    past_stores = app.state.past_stores = PastStores()
    config: WebConfig = app.state.config
    context: AppContext = app.state.context
    settings = context.settings
    app.state.host_proofs = HostProofs(Guard.from_networks(config.allow_nets), settings.agent)
    if config.shows_images:
        app.state.lead_images = LeadImages(images_folder(settings), config.allow_nets, settings.agent, context.ledger.publishers.order)
    senders = SenderLoop(make_senders(context, config), context.now)
    senders.start()
    try:
        yield
    finally:
        stopping.set()
        await anyio.to_thread.run_sync(senders.stop)
        executor.close()
        await anyio.to_thread.run_sync(past_stores.close)
        await anyio.to_thread.run_sync(inspections.close)
        if app.state.lead_images is not None:
            app.state.lead_images.close()

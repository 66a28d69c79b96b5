"""The web server: the application (the API for programs under /api/v1, feeds under /feeds, and pages for people), and uvicorn, which runs
it until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import h11
import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from newsmill.address_guard import Guard
from newsmill.context import AppContext, images_folder
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.notifications.alerts import TestSender
from newsmill.notifications.loop import SenderLoop
from newsmill.storage.processes import BEAT_INTERVAL, Heartbeat
from newsmill.storage.tokens import Tokens
from newsmill.version import __version__
from newsmill.web import auth, feeds, lead_images, websub
from newsmill.web.alert_messages import AlertMessages
from newsmill.web.api import alerts as alerts_api
from newsmill.web.api import change_stream
from newsmill.web.api import documents as documents_api
from newsmill.web.api import marks as marks_api
from newsmill.web.api import operations as operations_api
from newsmill.web.api import search as search_api
from newsmill.web.api import searches as searches_api
from newsmill.web.api import sources as sources_api
from newsmill.web.api import submissions as submissions_api
from newsmill.web.api import webhooks as webhooks_api
from newsmill.web.api.submissions import request_schemas
from newsmill.web.config import WebConfig
from newsmill.web.lead_images import LeadImages
from newsmill.web.middleware import ETagMiddleware, RateLimitMiddleware, RequestGuardMiddleware
from newsmill.web.pages import (
    api_reference,
    archived_page,
    bot,
    document,
    explore,
    home,
    mark_forms,
    operations,
    rendering,
    revisions,
    saved_searches,
    search,
    source,
    sources,
)
from newsmill.web.pages.bot import HostProofs
from newsmill.web.pages.sources import Inspections
from newsmill.web.responses import check_query_parameters, error_responses, install_error_handlers, problem_schemas
from newsmill.web.senders import make_senders

MAX_WAITING = 4  # extractions: at most two minutes of waiting
MAX_THREADS = 12  # requests served at once; the engine has 15 connections, of which streams and webhooks need some
MIN_GZIP_BYTES = 1000  # a smaller response fits into one packet anyway

API_ROUTERS = (
    documents_api.router,
    search_api.router,
    searches_api.router,
    alerts_api.router,
    marks_api.marks_router,
    sources_api.router,
    operations_api.ledger_router,
    submissions_api.router,
    operations_api.quarantine_router,
    change_stream.stream_router,
    webhooks_api.router,
    operations_api.health_router,
)
PAGE_ROUTERS = (
    *(home.router, bot.router, search.router, explore.router, saved_searches.router, document.router, revisions.router),
    *(sources.router, source.router, operations.router, rendering.router),  # the fixed paths under /sources before /sources/{name}
    archived_page.router,
    mark_forms.marks_router,
    api_reference.router,
)

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
    app.include_router(auth.router)
    app.include_router(build_api_router(), prefix="/api/v1")
    app.include_router(feeds.router)
    app.include_router(operations_api.metrics_router)
    app.include_router(websub.router)
    app.include_router(lead_images.router)
    for router in PAGE_ROUTERS:
        app.include_router(router)
    app.state.error_page, app.state.sign_in_page = rendering.render_error_page, rendering.render_sign_in_page
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
        await anyio.to_thread.run_sync(inspections.close)
        if app.state.lead_images is not None:
            app.state.lead_images.close()


# ---- uvicorn with the application ----------------------------------------------------------------------------------------------

MAX_CONNECTIONS = 500  # at once; more get 503
MAX_HEADER_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the end of the request header
SHUTDOWN_SECONDS = 5  # that running responses have to end; a change stream never ends on its own

log = logging.getLogger(__name__)


def run(context: AppContext, config: WebConfig, listener: socket.socket) -> int:
    """Serve on the socket of `listen` until a signal; the exit code. Raises NewsmillError as `require_token` does."""
    require_token(context.tokens, config, context.now())
    server = build_server(create_app(context, config))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal again at its end, and the default handler would kill the process then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=load_language_data, args=(context,), name="language-data", daemon=True).start()
    with sending_heartbeats(context):
        server.run(sockets=[listener])
    return 0


def load_language_data(context: AppContext) -> None:
    """Load what the first search needs. A search page has a tenth of a second, so the first one would have neither counts nor chart."""
    with suppress(ServiceError):  # a database that cannot be read is named by the pages
        context.search.load_language_data()


def listen(config: WebConfig) -> socket.socket:
    """The socket to serve on; port 0 lets the system choose. Raises NewsmillError when the host or port is not available."""
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise listen_error(config, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket_address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise listen_error(config, error) from None
    return listener


def listen_error(config: WebConfig, error: OSError) -> NewsmillError:
    reason = f"the web server cannot listen on {config.host}:{config.port} ({error.strerror})"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):  # EACCES: a port below 1024
        port = max(config.port + 1, 8470)
        return NewsmillError(f"{reason}: set another port, with --port {port} or NEWSMILL_WEB={config.host}:{port}")
    return NewsmillError(f"{reason}: set an IP address of this machine, such as NEWSMILL_WEB=127.0.0.1:{config.port or 8470}")


def require_token(tokens: Tokens, config: WebConfig, now: datetime) -> None:
    """Raises NewsmillError when other machines can reach the server and no token exists."""
    if config.is_exposed and not tokens.has_program_token(now=now):
        raise NewsmillError(
            f"other machines can reach {config.url or config.host}, but no token exists: "
            "make one with `newsmill token add NAME --scope admin`"
        )


def build_server(app: ASGIApp, shutdown_seconds: int = SHUTDOWN_SECONDS) -> uvicorn.Server:
    """The configured server."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=TimedProtocol,
            access_log=False,  # RequestGuardMiddleware logs requests without the query, which holds the secret of a sign-in link
            log_config=None,
            server_header=False,
            proxy_headers=False,  # a client could forge them
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=shutdown_seconds,
            ws="none",
        )
    )


@contextmanager
def sending_heartbeats(context: AppContext) -> Iterator[None]:
    """Send heartbeats from a thread. It continues when the database is not available."""
    heartbeat, stop = Heartbeat(context.engine, role="web"), threading.Event()
    outage = OutageLog(log, "the database answers again")

    def beat() -> None:
        while True:
            try:
                heartbeat.beat(context.now())
                outage.report_success()
            except ServiceError as error:
                outage.report_failure(error)
            if stop.wait(BEAT_INTERVAL.total_seconds()):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
        with suppress(ServiceError):
            heartbeat.stop()


class TimedProtocol(H11Protocol):
    """uvicorn's protocol with a time limit for the request header, which uvicorn does not have."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(MAX_HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the header is complete; LimitedBody limits the body
            self._cancel_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(MAX_HEADER_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

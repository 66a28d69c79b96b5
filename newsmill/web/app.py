"""The web door: one ASGI application for programs (/api/v1) and people (everything else)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from newsmill import __version__
from newsmill.web import api, problems, signin
from newsmill.web.config import WebConfig
from newsmill.web.house import House
from newsmill.web.limits import Limits
from newsmill.web.rereading import Rereader
from newsmill.web.shield import Shield

THREADS = 12  # requests at work at once; an engine has 15 connections, and the streams and webhooks need some
LEAST_GZIP = 1000  # bytes; below, the saving is less than one packet


class Web(FastAPI):
    """FastAPI with our shield around everything, Starlette's own handling of bugs included: no answer leaves without its headers."""

    def build_middleware_stack(self) -> ASGIApp:
        return Shield(super().build_middleware_stack(), self.state.config)


def create_app(house: House, config: WebConfig | None = None) -> FastAPI:
    """The application over an open house. Routers find `house`, `config` and `rereader` in `request.app.state`."""
    config = config or WebConfig()
    app = Web(
        title="Newsmill",
        version=__version__,
        description="News documents with where every field came from. docs/api.md explains with examples.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.house, app.state.config, app.state.rereader = house, config, Rereader()
    problems.install(app)
    # The one added last is the outermost.
    app.add_middleware(GZipMiddleware, minimum_size=LEAST_GZIP, compresslevel=5)
    app.add_middleware(Limits, rate=config.rate)
    app.include_router(signin.router)
    app.include_router(api.router, prefix="/api/v1")
    # The pages: app.include_router(pages.router)
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """What runs as long as the application does."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    try:
        yield
    finally:
        app.state.rereader.close()

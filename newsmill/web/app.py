"""The web door: one ASGI application for programs (/api/v1) and people (everything else)."""

from __future__ import annotations

from fastapi import FastAPI

from newsmill import __version__
from newsmill.web.house import House


def create_app(house: House) -> FastAPI:
    """The application over an open house. Routers find the house as `request.app.state.house`."""
    app = FastAPI(title="Newsmill", version=__version__, openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None)
    app.state.house = house
    return app

"""The web pages: rendered on the server, complete without scripts, in English and German. Start reading at rendering.py.

Each page is a module with its routes and the values of its template. Markup is in templates/, style in static/, texts in catalogues/.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from newsmill.web.pages import (
    bot,
    document,
    explore,
    home,
    operations,
    rendering,
    saved_searches,
    search,
    source,
    sources,
)
from newsmill.web.pages.rendering import render_error_page, render_sign_in_page

router = APIRouter()
PARTS = (
    *(home, bot, search, explore, saved_searches, document),
    *(sources, source, operations, rendering),  # the fixed paths under /sources before /sources/{name}
)
for part in PARTS:
    router.include_router(part.router)
router.include_router(document.marks_router)


def install(app: FastAPI) -> None:
    """Add the pages to the application, and register the pages for errors and signing in."""
    app.include_router(router)
    app.state.error_page = render_error_page
    app.state.sign_in_page = render_sign_in_page

"""The pages people use: server-rendered, complete without script, in the reader's language. Read them from `view.py`.

home  search  document  sources  source (plans, learnt, rules)  ops     a module each, with its routes and what its template is given
templates/  static/  catalogues/                                        markup, style, words
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from newsmill.web.pages import document, home, operations, rules, search, source, sources, static
from newsmill.web.pages.errors import render_error_page, render_sign_in_page

router = APIRouter()
for part in (home, search, document, sources, source, rules, operations, static):
    router.include_router(part.router)


def install(app: FastAPI) -> None:
    """Put the pages, and the pages for errors and signing in, into the application."""
    app.include_router(router)
    app.state.error_page = render_error_page
    app.state.sign_in_page = render_sign_in_page

"""Errors and the sign-in as pages; who asks for JSON gets problem details instead (web/problems.py)."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request, Response
from markupsafe import Markup

from newsmill.web.pages.rendering import PageView

TITLED_STATUSES = (400, 401, 403, 404, 405, 409, 413, 421, 422, 429, 500, 503)


def render_error_page(request: Request, status: int, detail: str) -> Response:
    """One sentence that says what is wrong, in the frame of every page."""
    view = PageView(request, sure=False)
    title = view.words(f"error.{status}") if status in TITLED_STATUSES else view.words("error.other")
    back = request.url.path if request.method == "GET" else "/"
    return view.page(
        "error.html", status, title=title, detail=detail[:1].upper() + detail[1:], number=status, sign_in=f"/login?next={quote(back)}"
    )


def render_sign_in_page(request: Request, said: str, status: int) -> Response:
    """The form for a token. `said` is HTML of web/signin.py, which holds nothing from outside."""
    view = PageView(request, sure=False)
    target = request.query_params.get("next", "/")
    return view.page("login.html", status, said=Markup(said), target=target)  # noqa: S704 (our own constants)

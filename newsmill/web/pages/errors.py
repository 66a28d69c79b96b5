"""The pages for errors and for signing in. Programs get problem details instead (web/problem_details.py)."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request, Response

from newsmill.web.pages.rendering import PageView

TITLED_STATUSES = (400, 401, 403, 404, 405, 409, 413, 421, 422, 429, 500, 503)


def render_error_page(request: Request, status: int, detail: str) -> Response:
    """The page for an error; `detail` is an English sentence."""
    view = PageView(request, is_caller_known=False)
    title = view.words(f"error.{status}") if status in TITLED_STATUSES else view.words("error.other")
    next_path = request.url.path if request.method == "GET" else "/"
    return view.page(
        "error.html", status, title=title, detail=detail[:1].upper() + detail[1:], number=status, sign_in=f"/login?next={quote(next_path)}"
    )


def render_sign_in_page(request: Request, message: str, status: int) -> Response:
    """The form for a token. `message` is a key of `login.message` in the catalogues."""
    view = PageView(request, is_caller_known=False)
    return view.page("login.html", status, message=message, target=request.query_params.get("next", "/"))

"""The pages of errors."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response

from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.sentence_translations import translate_sentence

TITLED_STATUSES = (400, 401, 403, 404, 405, 409, 413, 421, 422, 429, 500, 503)


def render_error_page(request: Request, status: int, detail: str) -> Response:
    """The page for an error; `detail` is an English sentence."""
    path = None if request.method == "GET" else "/"  # the path of a form may be no page
    view = PageView(request, is_caller_known=False, path=path)
    translated = translate_sentence(detail, view.words.language)
    text = translated or detail
    title = view.words(f"error.{status}") if status in TITLED_STATUSES else view.words("error.other")
    target = view.here_url if view.path != "/login" else "/"
    return view.page(
        "error.html",
        status,
        title=title,
        detail=text[:1].upper() + text[1:],
        is_english=translated is None,
        number=status,
        sign_in=f"/login?next={quote(target)}",
    )


def render_sign_in_page(request: Request, message: str, status: int) -> Response:
    """The form for a token. `message` is a key of `login.message` in the catalogues."""
    view = PageView(request, is_caller_known=False)
    return view.page("login.html", status, message=message, target=request.query_params.get("next", "/"))

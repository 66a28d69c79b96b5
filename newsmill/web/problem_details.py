"""What went wrong, as RFC 9457 problem details for programs; people get a page where one is set. No answer ever carries a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from newsmill.exceptions import ConfigError, CursorError, NewsmillError, ServiceError, UrlError
from newsmill.storage.columns import make_storable_json

log = logging.getLogger(__name__)

ErrorPage = Callable[[Request, int, str], Response]
MAX_ERRORS = 20  # of a request that is wrong in many places


class RequestErrors(HTTPException):
    """Raised for a request that is wrong in several places; `errors` has one {where, detail} for each."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        super().__init__(status, detail)
        self.errors = errors


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem_response(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> ProblemResponse:
    """The answer that says what went wrong: `title` is the status in words, `detail` one sentence, `more` further members.
    A refusal may quote what was sent, so what no UTF-8 can say (a lone surrogate) is replaced."""
    body = {"type": "about:blank", "title": status_title(status), "status": status, "detail": detail, **more}
    return ProblemResponse(make_storable_json(body), status, headers=dict(headers or {}))


def status_title(status: int) -> str:
    """The status in words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def install_handlers(app: FastAPI) -> None:
    """Have every error of the application answered by this file. `app.state.error_page` answers people, where it is set."""
    app.add_exception_handler(HTTPException, handle_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, handle_invalid_request)  # type: ignore[arg-type]
    app.add_exception_handler(NewsmillError, handle_newsmill_error)  # type: ignore[arg-type]
    app.add_exception_handler(UrlError, handle_url_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, handle_bug)


def error_response(request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """As a page for people, as a problem for programs."""
    page: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if page is None or request.url.path.startswith(("/api/", "/feeds/")) or "text/html" not in request.headers.get("accept", ""):
        return problem_response(status, detail, headers=headers, **more)
    response = page(request, status, detail)
    response.headers.update(headers or {})
    return response


async def handle_http_error(request: Request, error: HTTPException) -> Response:
    detail = error.detail if isinstance(error.detail, str) else status_title(error.status_code)
    if detail == status_title(404):
        detail = "there is nothing at this address"
    more = {"errors": error.errors} if isinstance(error, RequestErrors) else {}
    return error_response(request, error.status_code, detail, headers=error.headers, **more)


async def handle_invalid_request(request: Request, error: RequestValidationError) -> Response:
    """422 with each wrong place as a JSON pointer or a parameter's name; what was sent is not repeated."""
    found = [{"where": format_location(one["loc"]), "detail": str(one["msg"])} for one in error.errors()[:MAX_ERRORS]]
    said = f"{found[0]['where']}: {found[0]['detail']}" if found else "the request is not what is expected"
    return error_response(request, 422, said[:500], errors=found)


def format_location(path: tuple[int | str, ...]) -> str:
    """`("body", "urls", 3)` → `#/urls/3`; `("query", "limit")` → `query limit`."""
    where, *rest = (str(part)[:100] for part in path)
    return "#" + "".join(f"/{part}" for part in rest) if where == "body" else " ".join((where, *rest))


async def handle_newsmill_error(request: Request, error: NewsmillError) -> Response:
    """Ours are sentences for people; those of a service that is away go to the log, because they name addresses inside."""
    if isinstance(error, ConfigError | CursorError):
        return error_response(request, 422, str(error))
    log.warning("%s", error)
    if isinstance(error, ServiceError):
        return error_response(request, 503, "the store cannot be reached at the moment; the log says why", headers={"Retry-After": "5"})
    return error_response(request, 500, "this could not be done; the log says why")


async def handle_url_error(request: Request, error: UrlError) -> Response:
    return error_response(request, 422, f"not an address: {error}")


async def handle_bug(request: Request, error: Exception) -> Response:
    """Starlette raises it again afterwards, so that the server logs it with its trace."""
    return error_response(request, 500, "something is wrong in Newsmill; the log says what")

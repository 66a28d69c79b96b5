"""The responses to errors: RFC 9457 problem details for programs, pages for people; none contains a traceback."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, get_origin

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from newsmill.exceptions import ConfigError, CursorError, MovedFileError, NewsmillError, ServiceError, UrlError
from newsmill.storage.columns import make_storable_json
from newsmill.text.sentences import Sentence, cut_sentence, keyed

log = logging.getLogger(__name__)

MAX_ERRORS = 20  # reported for one request
UNREADABLE_BODY = "There was an error parsing the body"  # FastAPI's detail for a body that its parser fails on
# Pydantic's sentences by its types; of two, the one with the plural that fits.
VALIDATION_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "missing": ("Field required",),
    "greater_than_equal": ("Input should be greater than or equal to {ge}",),
    "less_than_equal": ("Input should be less than or equal to {le}",),
    "less_than": ("Input should be less than {lt}",),
    "int_parsing": ("Input should be a valid integer, unable to parse string as an integer",),
    "int_type": ("Input should be a valid integer",),
    "int_parsing_size": ("Unable to parse input string as an integer, exceeded maximum size",),
    "string_type": ("Input should be a valid string",),
    "string_too_long": ("String should have at most {max_length} characters",),
    "string_too_short": ("String should have at least {min_length} character", "String should have at least {min_length} characters"),
    "bool_parsing": ("Input should be a valid boolean, unable to interpret input",),
    "literal_error": ("Input should be {expected}",),
    "enum": ("Input should be {expected}",),
}
ERROR_DESCRIPTIONS = {
    401: "The token is missing, unknown or expired.",
    403: "The scope of the token does not allow this.",
    404: "The object does not exist.",
    409: "The object exists already, or its archived page is not available.",
    422: "The request is invalid.",
    429: "Too many requests.",
    503: "The store is not available, or the server is busy.",
}


class ProblemError(BaseModel):
    """One error of a request."""

    where: str = Field(description="A JSON pointer into the body, or the location and name of a parameter.")
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details, the body of every error response."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[ProblemError, ...] | None = None


def problem_schemas() -> dict[str, Any]:
    """The OpenAPI schemas of problem details, by name."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The descriptions of error statuses in the OpenAPI schema."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": ERROR_DESCRIPTIONS[status], "content": content} for status in statuses}


class RequestErrors(HTTPException):
    """Raised for a request with several errors; each has `where` and `detail`."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        super().__init__(status, detail)
        self.errors = errors


async def check_query_parameters(request: Request) -> None:
    """Raises RequestErrors for a query parameter that the route does not take, or takes once only: with a misspelt or a lost filter, a list
    would show other things than the caller wants."""
    known = list_query_parameters(request.scope["route"].dependant)
    expected = f"expected {', '.join(sorted(known))}" if known else "expected none"
    errors = []
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            errors.append({"where": f"query {name[:100]}", "detail": f"this parameter is unknown; {expected}"})
        elif times > 1 and not known[name]:
            errors.append({"where": f"query {name}", "detail": f"expected one value, not {times}"})
    if errors:
        raise RequestErrors(422, "{where}: {detail}".format_map(errors[0]), errors[:MAX_ERRORS])


def list_query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The query parameters of a route and of what it depends on, and whether each takes several values."""
    own = {parameter.alias: get_origin(parameter.field_info.annotation) is list for parameter in dependant.query_params}
    return own | {name: many for part in dependant.dependencies for name, many in list_query_parameters(part).items()}


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem_response(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> ProblemResponse:
    """Problem details with one sentence in `detail` and further members in `more`.

    The text may quote the request, so characters that UTF-8 cannot encode (lone surrogates) are replaced.
    """
    body = {"type": "about:blank", "title": status_title(status), "status": status, "detail": detail, **more}
    return ProblemResponse(make_storable_json(body), status, headers=dict(headers or {}))


def status_title(status: int) -> str:
    """The reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def install_error_handlers(app: FastAPI) -> None:
    """Register the handlers for all errors of the application.

    None is a coroutine: a page asks the database who the reader is, so it is made in a thread.
    """
    app.add_exception_handler(HTTPException, handle_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, handle_invalid_request)  # type: ignore[arg-type]
    app.add_exception_handler(NewsmillError, handle_newsmill_error)  # type: ignore[arg-type]
    app.add_exception_handler(UrlError, handle_url_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, handle_bug)


def error_response(request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """A page for a browser, problem details for a program."""
    if request.url.path.startswith(("/api/", "/feeds/")) or "text/html" not in request.headers.get("accept", ""):
        return problem_response(status, detail, headers=headers, **more)
    response: Response = request.app.state.error_page(request, status, detail)
    response.headers.update(headers or {})
    return response


def handle_http_error(request: Request, error: HTTPException) -> Response:
    detail = error.detail if isinstance(error.detail, str) else status_title(error.status_code)
    if detail == status_title(404):
        detail = Sentence("{path} does not exist on this server", path=request.url.path[:200])
    elif error.status_code == 405:
        methods = list_methods(request)
        detail = Sentence(
            "{path} does not accept {method}; it accepts {methods}",
            path=request.url.path[:200],
            method=request.method[:20],
            methods=methods,
        )
        return error_response(request, 405, detail, headers={"Allow": methods})
    elif detail == UNREADABLE_BODY:
        detail = Sentence("the body cannot be read: it is not in UTF-8, or nested too deeply")
        return error_response(request, 422, keyed("#", detail), errors=[{"where": "#", "detail": detail}])
    more = {"errors": error.errors} if isinstance(error, RequestErrors) else {}
    return error_response(request, error.status_code, detail, headers=error.headers, **more)


def list_methods(request: Request) -> str:
    """The methods that the path accepts. Starlette names those of the first route of the path only."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


def handle_invalid_request(request: Request, error: RequestValidationError) -> Response:
    """422 with the location of each error, as a JSON pointer or a parameter name. Submitted values are not repeated."""
    errors = [describe_error(one) for one in error.errors()[:MAX_ERRORS]]
    detail = join_place(errors[0]) if errors else Sentence("the request is invalid")
    return error_response(request, 422, cut_sentence(detail, 500), errors=errors)


def join_place(error: Mapping[str, str]) -> Sentence:
    """The sentence of an error, with its place."""
    where, detail = error["where"], error["detail"]
    kind, _, name = where.partition(" ")
    if kind == "query":
        return Sentence("query {name}: {error}", name=name, error=detail)
    if kind == "path":
        return Sentence("path {name}: {error}", name=name, error=detail)
    return Sentence("#/{name}: {error}", name=where[2:], error=detail) if where.startswith("#/") else keyed(where, detail)


def describe_error(error: Mapping[str, Any]) -> dict[str, str]:
    """`where` and `detail` of one of pydantic's errors. Where its sentence speaks of Python, the sentence is replaced."""
    where, message = format_location(error["loc"]), describe_validation(error)
    if error["type"] == "json_invalid":
        position = f" at character {error['loc'][-1]}" if isinstance(error["loc"][-1], int) else ""
        return {"where": "#", "detail": f"the body is not JSON: {error.get('ctx', {}).get('error', message)}{position}"}
    if error["type"] == "extra_forbidden":
        message = "this key is unknown"
    elif error["type"] == "too_long" and error["ctx"]["field_type"] == "Value":  # a text whose characters were replaced first
        message = Sentence("String should have at most {max_length} characters", max_length=error["ctx"]["max_length"])
    elif where == "#" and error["type"] in ("model_attributes_type", "dict_type", "model_type"):
        message = "expected a JSON object, sent with Content-Type: application/json"
    return {"where": where, "detail": message}


def describe_validation(error: Mapping[str, Any]) -> str:
    """Pydantic's sentence by its type and its values; its own text for a type that VALIDATION_TEMPLATES does not have."""
    context, text = dict(error.get("ctx", {})), str(error["msg"])
    if error["type"] == "value_error":
        return str(context.get("error", text))
    if " or " in str(context.get("expected", "")):
        first, _, last = context["expected"].rpartition(" or ")
        context["expected"] = Sentence("{first} or {last}", first=first, last=last)
    for template in VALIDATION_TEMPLATES.get(error["type"], ()):
        if (sentence := Sentence(template, **context)) == text:
            return sentence
    return text


def format_location(path: tuple[int | str, ...]) -> str:
    """`("body", "urls", 3)` → `#/urls/3`; `("query", "limit")` → `query limit`."""
    where, *rest = (str(part)[:100] for part in path)
    return "#" + "".join(f"/{part}" for part in rest) if where == "body" else " ".join((where, *rest))


def handle_newsmill_error(request: Request, error: NewsmillError) -> Response:
    """Mistakes of the request are reported; other texts go to the log, because they may name internal hosts."""
    if isinstance(error, ConfigError | CursorError):
        return error_response(request, 422, str(error))
    log.warning("%s", error)
    if isinstance(error, ServiceError | MovedFileError):
        return error_response(
            request, 503, Sentence("the store is not available: retry later; the log has the reason"), headers={"Retry-After": "5"}
        )
    return error_response(request, 500, Sentence("the request failed; the log has the reason"))


def handle_url_error(request: Request, error: UrlError) -> Response:
    return error_response(request, 422, str(error))


def handle_bug(request: Request, error: Exception) -> Response:
    """500. Starlette raises the error again afterwards, so that the server logs its traceback."""
    return error_response(request, 500, Sentence("internal error in Newsmill; the log has the traceback"))

"""Requests to the HTTP API of a Newsmill server, with the HTTP client of the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import TypeAdapter, ValidationError

from newsmill.exceptions import AuthenticationError, ConfigError, CursorError, ServiceError
from newsmill.text.redaction import redact
from newsmill.version import __version__

T = TypeVar("T")
TIMEOUT_SECONDS = 60.0  # without a byte; a stream sends a comment every 15 s
MAX_RESPONSE_BYTES = 64_000_000  # a page of 50 documents has about 250 kB
MAX_TRIES = 5  # of a request that the server defers or whose connection breaks
MAX_RETRY_SECONDS = 60.0  # that a server may defer a request
RETRY_STATUSES = (429, 502, 503, 504)
UNHANDLED_STATUSES = (429, 503)  # the server has done nothing
_make_adapter = cache(TypeAdapter)


class ApiConnection:
    """The API of one server. Each request has its own connection, so the object may be shared between threads."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`url`: the server's URL, with or without /api/v1. Sends no request. Raises ConfigError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigError(f"{redact(url)[:200]!r}: expected https://host of a Newsmill server, and its token apart from the URL")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api/v1')}"
        self._headers = {"User-Agent": f"Newsmill/{__version__}", "Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {_check_token(token)}"
        self._opener = build_opener(_NoRedirect)

    def get(self, path: str, query: dict[str, Any], *, may_be_missing: bool = False) -> Any:
        """The answer to a GET request, read as JSON; None where something `may_be_missing`: for a 404, and for a 422, because what is
        no ID and no URL names nothing. Raises ServiceError."""
        return self._send(path, query, None, may_be_missing=may_be_missing)

    def post(self, path: str, content: bytes, *, repeat: bool = True, timeout: float = TIMEOUT_SECONDS) -> Any:
        """The answer to JSON, read as JSON. Raises ServiceError.

        `repeat`: after a broken connection, which only an idempotent request allows. `timeout`: seconds without a byte.
        """
        return self._send(path, {}, content, may_be_missing=False, repeat=repeat, timeout=timeout)

    def _send(
        self,
        path: str,
        query: dict[str, Any],
        content: bytes | None,
        *,
        may_be_missing: bool,
        repeat: bool = True,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Any:
        for again in range(MAX_TRIES):
            try:
                with self.open(path, query, timeout, content) as answer:
                    body = answer.read(MAX_RESPONSE_BYTES + 1)
                if len(body) > MAX_RESPONSE_BYTES:
                    raise ServiceError(f"{self._base}: the answer is larger than {MAX_RESPONSE_BYTES // 1_000_000} MB")
                return parse_json(body)
            except ErrorResponse as refusal:
                if refusal.status in (404, 422) and may_be_missing:
                    return None
                statuses = RETRY_STATUSES if repeat else UNHANDLED_STATUSES
                if refusal.status not in statuses or again == MAX_TRIES - 1 or refusal.after > MAX_RETRY_SECONDS:
                    raise
                time.sleep(refusal.after or 2.0**again)
            except (OSError, HTTPException) as error:
                if not repeat or again == MAX_TRIES - 1:
                    raise self.connection_error(error) from error
                time.sleep(0.2 * 2**again)
        raise AssertionError("the last try returns or raises")

    def open(self, path: str, query: dict[str, Any], timeout: float, content: bytes | None = None) -> AbstractContextManager[HTTPResponse]:
        """Send a request: a POST of JSON if there is `content`. `timeout`: seconds without a byte. Raises ErrorResponse, OSError."""
        given = {key: value for key, value in query.items() if value is not None}
        parameters = urlencode(given, doseq=True, errors="replace")  # a lone surrogate is in no document and no URL
        url = f"{self._base}/api/v1/{path}{f'?{parameters}' if parameters else ''}"
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        request = Request(url, data=content, headers=headers)  # noqa: S310  # http(s) only
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=timeout)
            return answer
        except HTTPError as error:
            with error:
                raise _make_error(self._base, error, query) from None

    def connection_error(self, error: Exception) -> ServiceError:
        """The error for a server that does not answer."""
        reason = error.reason if isinstance(error, URLError) else error
        message = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        return ServiceError(f"{self._base}: {message}; check that a Newsmill server runs there")

    def read(self, kind: type[T], item: Any) -> T:
        """A part of an answer as this type. Raises ServiceError."""
        try:
            adapter: TypeAdapter[T] = _make_adapter(kind)  # type: ignore[arg-type]  # mypy does not see that a class is hashable
            return adapter.validate_python(item)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ServiceError(f"{self._base}: the response cannot be read ({where}: {first['msg']})") from None


class ErrorResponse(ServiceError):
    """Raised when the server answers with an error. `after`: seconds that it asks to wait."""

    def __init__(self, message: str, status: int, after: float = 0.0) -> None:
        super().__init__(message, status, after)  # pickle calls the class with these
        self.status = status
        self.after = after

    def __str__(self) -> str:
        return str(self.args[0])


class RefusedToken(ErrorResponse, AuthenticationError):
    """Raised when the server needs a token, or one with another scope."""

    def __str__(self) -> str:
        return f"{super().__str__()}; newsmill.open takes a token of the server as token="


class InvalidRequest(ErrorResponse, ConfigError):
    """Raised when the server does not accept an argument."""


class InvalidCursor(InvalidRequest, CursorError):
    """Raised when the server does not accept a cursor."""


def _make_error(base: str, error: HTTPError, query: dict[str, Any]) -> ErrorResponse:
    waits = error.headers.get("Retry-After", "")
    after = float(waits) if waits.isascii() and waits.isdigit() else 0.0
    return _find_error(error.code, query)(f"{base}: {error.code}: {_error_detail(error)}", error.code, after)


def _find_error(status: int, query: dict[str, Any]) -> type[ErrorResponse]:
    if status in (401, 403):
        return RefusedToken
    if status in (409, 422):
        return InvalidCursor if query.get("cursor") is not None else InvalidRequest
    return ErrorResponse


class _NoRedirect(HTTPRedirectHandler):
    """A redirect could send the token to another host, so it is an error that names the target."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _error_detail(error: HTTPError) -> str:
    """The detail of an RFC 9457 problem, else the reason phrase; for a redirect its target."""
    if location := error.headers.get("Location"):
        return f"it redirects to {location[:200]!r}; open that URL if you trust it"
    try:
        problem = json.loads(error.read(100_000))
    except (OSError, ValueError, HTTPException):
        hint = "; check that this is the URL of a Newsmill server" if error.code == 404 else ""
        return f"{error.reason}{hint}"
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return detail[:500] if isinstance(detail, str) else str(error.reason)


def parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise ServiceError("the response is not JSON; check that a Newsmill server answers, and not a proxy") from None


def _check_token(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("the token of the server is not one that `newsmill token add` has printed; check token= or NEWSMILL_TOKEN")
    return token


@dataclass(frozen=True, slots=True)
class Event:
    """An event or a comment of a stream."""

    cursor: str | None
    data: bytes | None  # None: a comment
    is_caught_up: bool  # everything that was stored has been sent
    name: bytes = b"message"


def read_events(answer: HTTPResponse) -> Iterator[Event]:
    """The server-sent events and comments of a stream."""
    cursor: str | None = None
    data: bytes | None = None
    event = b"message"
    is_caught_up = False
    while line := answer.readline(MAX_RESPONSE_BYTES):
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            cursor = value.decode("utf-8", "replace")
        elif name == b"data":
            data = value
        elif name == b"event":
            event = value
        elif not name and value:  # a comment
            is_caught_up = is_caught_up or value == b"caught-up"
        elif not line.strip():
            yield Event(cursor, data, is_caught_up, event)
            data, event = None, b"message"

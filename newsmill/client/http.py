"""A corpus behind the HTTP API of a Newsmill server, with the HTTP client of the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import TypeAdapter, ValidationError

from newsmill.client.corpus import Change, Corpus, Order, SearchHit, SourceSummary
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.model import Document, NearDuplicate
from newsmill.version import __version__

T = TypeVar("T")
TIMEOUT_SECONDS = 60.0  # without a byte; a stream sends a comment every 15 s
MAX_RESPONSE_BYTES = 64_000_000  # a page of 50 documents has about 250 kB
PAGE_DOCUMENTS = 50
MAX_TRIES = 5  # of a request that the server defers or whose connection breaks
MAX_RETRY_SECONDS = 60.0  # that a server may defer a request
RETRY_STATUSES = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class _ItemPage:
    items: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class _SourceCount:
    source: str
    n: int


_ITEM_PAGE = TypeAdapter(_ItemPage)
_SOURCE_COUNT = TypeAdapter(_SourceCount)
_DOCUMENT = TypeAdapter(Document)
_HIT = TypeAdapter(SearchHit)
_NEAR = TypeAdapter(NearDuplicate)
_SOURCE = TypeAdapter(SourceSummary)
_TIME = TypeAdapter(datetime)


class HttpCorpus(Corpus):
    """`newsmill.open("https://news.example.org", token="nm_…")`"""

    min_wait_seconds = 2.0  # until the server first reads its stream on a busy machine

    def __init__(self, url: str, token: str | None = None) -> None:
        """`url`: the server's URL, with or without /api/v1. Sends no request. Raises ConfigError."""
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None:
            raise ConfigError("newsmill.open: expected https://host, with the token in token=")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api/v1')}"
        self._headers = {"User-Agent": f"Newsmill/{__version__}", "Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {_check_token(token)}"
        self._opener = build_opener(_NoRedirect)

    def __repr__(self) -> str:
        return f"<corpus {self._base}>"

    def documents(self, query: str = "", *, since: datetime | str | None = None) -> Iterator[Document]:
        if query:
            return self._matching(query, since)
        place = {"cursor": since} if isinstance(since, str) else {"stored_since": _format_time(since)}
        return (self._read(_DOCUMENT, item) for item in self._pages("documents", {"order": "stored", **place}, PAGE_DOCUMENTS))

    def _matching(self, query: str, since: datetime | str | None) -> Iterator[Document]:
        if isinstance(since, str):
            raise ConfigError("over an API, since= beside a query is a time; a cursor belongs to all documents")
        found = self._pages("search/documents", {"q": query, "order": "newest"}, PAGE_DOCUMENTS)
        return (self._read(_DOCUMENT, item) for item in found if since is None or self._read(_TIME, item.get("stored_at")) >= since)

    def search(self, query: str = "", *, limit: int = 20, order: Order = "relevance") -> list[SearchHit]:
        found: list[SearchHit] = []
        for item in self._pages("search", {"q": query, "order": order}, min(limit, 200)):
            if len(found) >= limit:
                break
            found.append(self._read(_HIT, item | {"snippet": _join_snippet(item.get("snippet"))}))
        return found

    def stream(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change]:
        place = {"cursor": since} if isinstance(since, str) else {"since": _format_time(since)}
        last_event_at, connected = time.monotonic(), False
        while True:
            try:
                with self._open(
                    "stream", {"full": "true", **place}, TIMEOUT_SECONDS if wait is None else min(TIMEOUT_SECONDS, max(wait, 1.0))
                ) as answer:
                    connected = True
                    for cursor, data in _read_events(answer):
                        place = {"cursor": cursor} if cursor else place
                        if data is not None:
                            last_event_at = time.monotonic()
                            yield Change(self._read(_DOCUMENT, _parse_json(data)), cursor or "")
                        elif wait is not None and time.monotonic() - last_event_at >= wait:
                            return
            except _ErrorResponse as refusal:
                if refusal.status not in RETRY_STATUSES or not connected:
                    raise
            except (OSError, HTTPException) as error:  # silent for too long, or broken: the place is known
                if not connected:
                    raise self._connection_error(error) from error
            if wait is not None and time.monotonic() - last_event_at >= wait:
                return
            time.sleep(1)

    def document(self, id_or_url: str) -> Document | None:
        by_url = "://" in id_or_url
        path, query = ("documents/by-url", {"url": id_or_url}) if by_url else (f"documents/{quote(id_or_url, safe='')}", {})
        found = self._get(path, query, may_be_missing=True)
        return None if found is None else self._read(_DOCUMENT, found)

    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        document = self.document(id_or_url) if "://" in id_or_url else None
        path = f"documents/{quote(document.id if document else id_or_url, safe='')}/near-duplicates"
        found = self._get(path, {"least": least, "limit": max(1, min(limit, 100))}, may_be_missing=True)
        return [] if found is None else [self._read(_NEAR, item) for item in self._read(_ITEM_PAGE, found).items][:limit]

    def sources(self) -> list[SourceSummary]:
        plans = {str(item.get("name")): item for item in self._pages("sources", {}, 200)}
        found = (self._read(_SOURCE_COUNT, item) for item in self._pages("search/by-source", {}, 200))
        counts = {count.source: count.n for count in found}
        return [
            self._read(_SOURCE, {"homepage": None, "enabled": None, **plans.get(name, {}), "name": name, "documents": counts.get(name, 0)})
            for name in sorted({*plans, *counts} - {""})
        ]

    def close(self) -> None:
        """Each request has its own connection."""

    # ---- HTTP --------------------------------------------------------------------------------------------------------------

    def _pages(self, path: str, query: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        while True:
            page = self._read(_ITEM_PAGE, self._get(path, {**query, "limit": limit}))
            yield from page.items
            if page.next is None:
                return
            query = {**{key: value for key, value in query.items() if key != "stored_since"}, "cursor": page.next}

    def _get(self, path: str, query: dict[str, Any], *, may_be_missing: bool = False) -> Any:
        """The answer, read as JSON; None for a 404 where something `may_be_missing`. Raises ServiceError."""
        for again in range(MAX_TRIES):
            try:
                with self._open(path, query, TIMEOUT_SECONDS) as answer:
                    body = answer.read(MAX_RESPONSE_BYTES + 1)
                if len(body) > MAX_RESPONSE_BYTES:
                    raise ServiceError(f"{self._base}: the answer is larger than {MAX_RESPONSE_BYTES // 1_000_000} MB")
                return _parse_json(body)
            except _ErrorResponse as refusal:
                if refusal.status == 404 and may_be_missing:
                    return None
                if refusal.status not in RETRY_STATUSES or again == MAX_TRIES - 1 or refusal.after > MAX_RETRY_SECONDS:
                    raise
                time.sleep(refusal.after or 2.0**again)
            except (OSError, HTTPException) as error:
                if again == MAX_TRIES - 1:
                    raise self._connection_error(error) from error
                time.sleep(0.2 * 2**again)
        raise AssertionError("the last try returns or raises")

    def _open(self, path: str, query: dict[str, Any], timeout: float) -> AbstractContextManager[HTTPResponse]:
        parameters = urlencode({key: value for key, value in query.items() if value is not None})
        request = Request(f"{self._base}/api/v1/{path}{f'?{parameters}' if parameters else ''}", headers=self._headers)  # noqa: S310  # http(s) only
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=timeout)
            return answer
        except HTTPError as error:
            with error:
                raise _ErrorResponse(self._base, error) from None

    def _connection_error(self, error: Exception) -> ServiceError:
        return ServiceError(f"{self._base}: {error}; check that a Newsmill server runs there")

    def _read(self, kind: TypeAdapter[T], item: Any) -> T:
        try:
            return kind.validate_python(item)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ServiceError(f"{self._base}: the response cannot be read ({where}: {first['msg']})") from None


class _ErrorResponse(ServiceError):
    """Raised when the server answers with an error."""

    def __init__(self, base: str, error: HTTPError) -> None:
        self.status = error.code
        waits = error.headers.get("Retry-After", "")
        self.after = float(waits) if waits.isascii() and waits.isdigit() else 0.0
        super().__init__(f"{base}: {error.code}: {_error_detail(error)}")


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
        return str(error.reason)
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return detail[:500] if isinstance(detail, str) else str(error.reason)


def _read_events(answer: HTTPResponse) -> Iterator[tuple[str | None, bytes | None]]:
    """The (id, data) of each server-sent event. A comment has no data."""
    cursor: str | None = None
    data: bytes | None = None
    while line := answer.readline(MAX_RESPONSE_BYTES):
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            cursor = value.decode("utf-8", "replace")
        elif name == b"data":
            data = value
        elif not line.strip():
            yield cursor, data
            data = None


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise ServiceError("the response is not JSON; check that a Newsmill server answers, and not a proxy") from None


def _join_snippet(snippet: Any) -> str:
    """The text of a snippet."""
    return "".join(piece[0] for piece in snippet) if isinstance(snippet, list) else ""


def _format_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _check_token(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("token=: expected the token that `newsmill token add` printed")
    return token

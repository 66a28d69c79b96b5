"""A corpus behind the HTTP API of a Newsmill. The standard library's client: a notebook needs nothing more for it."""

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

from newsmill import __version__
from newsmill.client.corpus import Change, Corpus, Order, SearchHit, SourceSummary
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.model import Document, NearDuplicate

T = TypeVar("T")
TIMEOUT_SECONDS = 60.0  # seconds without a byte; a stream says every 15 that it is still there
MAX_RESPONSE_BYTES = 64_000_000  # bytes of one answer: a page of 50 documents has about 250 kB
PAGE_DOCUMENTS = 50
MAX_TRIES = 5  # of a request that the server puts off, or whose connection breaks
MAX_RETRY_SECONDS = 60.0  # seconds a server may put us off
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

    min_wait_seconds = 2.0  # the first look of the server's stream, on a slow day

    def __init__(self, url: str, token: str | None = None) -> None:
        """`url`: where the Newsmill is, with or without /api/v1. Asks nothing yet. Raises ConfigError."""
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
        heard, connected = time.monotonic(), False
        while True:
            try:
                with self._open(
                    "stream", {"full": "true", **place}, TIMEOUT_SECONDS if wait is None else min(TIMEOUT_SECONDS, max(wait, 1.0))
                ) as answer:
                    connected = True
                    for cursor, data in _read_events(answer):
                        place = {"cursor": cursor} if cursor else place
                        if data is not None:
                            heard = time.monotonic()
                            yield Change(self._read(_DOCUMENT, _parse_json(data)), cursor or "")
                        elif wait is not None and time.monotonic() - heard >= wait:
                            return
            except _ErrorResponse as refusal:
                if refusal.status not in RETRY_STATUSES or not connected:
                    raise
            except (OSError, HTTPException) as error:  # silent for too long, or broken: the place is known
                if not connected:
                    raise self._away(error) from error
            if wait is not None and time.monotonic() - heard >= wait:
                return
            time.sleep(1)

    def document(self, id_or_url: str) -> Document | None:
        by_url = "://" in id_or_url
        path, query = ("documents/by-url", {"url": id_or_url}) if by_url else (f"documents/{quote(id_or_url, safe='')}", {})
        found = self._ask(path, query, missing=True)
        return None if found is None else self._read(_DOCUMENT, found)

    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        document = self.document(id_or_url) if "://" in id_or_url else None
        asked = f"documents/{quote(document.id if document else id_or_url, safe='')}/near-duplicates"
        found = self._ask(asked, {"least": least, "limit": max(1, min(limit, 100))}, missing=True)
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
            page = self._read(_ITEM_PAGE, self._ask(path, {**query, "limit": limit}))
            yield from page.items
            if page.next is None:
                return
            query = {**{key: value for key, value in query.items() if key != "stored_since"}, "cursor": page.next}

    def _ask(self, path: str, query: dict[str, Any], *, missing: bool = False) -> Any:
        """The answer, read as JSON; None for a 404 where something may be `missing`. Raises ServiceError."""
        for again in range(MAX_TRIES):
            try:
                with self._open(path, query, TIMEOUT_SECONDS) as answer:
                    body = answer.read(MAX_RESPONSE_BYTES + 1)
                if len(body) > MAX_RESPONSE_BYTES:
                    raise ServiceError(f"{self._base}: the answer is larger than {MAX_RESPONSE_BYTES // 1_000_000} MB")
                return _parse_json(body)
            except _ErrorResponse as refusal:
                if refusal.status == 404 and missing:
                    return None
                if refusal.status not in RETRY_STATUSES or again == MAX_TRIES - 1 or refusal.after > MAX_RETRY_SECONDS:
                    raise
                time.sleep(refusal.after or 2.0**again)
            except (OSError, HTTPException) as error:
                if again == MAX_TRIES - 1:
                    raise self._away(error) from error
                time.sleep(0.2 * 2**again)
        raise AssertionError("the last try returns or raises")

    def _open(self, path: str, query: dict[str, Any], timeout: float) -> AbstractContextManager[HTTPResponse]:
        asked = urlencode({key: value for key, value in query.items() if value is not None})
        request = Request(f"{self._base}/api/v1/{path}{f'?{asked}' if asked else ''}", headers=self._headers)  # noqa: S310  # http(s) only
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=timeout)
            return answer
        except HTTPError as error:
            with error:
                raise _ErrorResponse(self._base, error) from None

    def _away(self, error: Exception) -> ServiceError:
        return ServiceError(f"{self._base}: {error}; check that a Newsmill answers there")

    def _read(self, kind: TypeAdapter[T], item: Any) -> T:
        try:
            return kind.validate_python(item)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ServiceError(f"{self._base}: the answer is none this program understands ({where}: {first['msg']})") from None


class _ErrorResponse(ServiceError):
    """Raised when the server answers with an error."""

    def __init__(self, base: str, error: HTTPError) -> None:
        self.status = error.code
        waits = error.headers.get("Retry-After", "")
        self.after = float(waits) if waits.isascii() and waits.isdigit() else 0.0
        super().__init__(f"{base}: {error.code}: {_error_detail(error)}")


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the token to another host; it is an error, and its text says where to."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _error_detail(error: HTTPError) -> str:
    """The sentence of an RFC 9457 answer, else the status in words; for a redirect its target."""
    if location := error.headers.get("Location"):
        return f"it redirects to {location[:200]!r}; open that address, if it is yours"
    try:
        said = json.loads(error.read(100_000))
    except (OSError, ValueError, HTTPException):
        return str(error.reason)
    detail = said.get("detail") if isinstance(said, dict) else None
    return detail[:500] if isinstance(detail, str) else str(error.reason)


def _read_events(answer: HTTPResponse) -> Iterator[tuple[str | None, bytes | None]]:
    """Server-sent events: (id, data) of each; comments too, as (None, None), so that time passes."""
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
        raise ServiceError("the answer is no JSON; check that a Newsmill answers there, and not a proxy's page") from None


def _join_snippet(snippet: Any) -> str:
    """The pieces of a snippet without their marks."""
    return "".join(piece[0] for piece in snippet) if isinstance(snippet, list) else ""


def _format_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _check_token(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("token=: expected the one word that `newsmill token add` printed")
    return token

"""The HTTP API of a Newsmill server: requests to it, and a corpus behind it. Uses the HTTP client of the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import TypeAdapter, ValidationError

from newsmill.client.arguments import check_choice, check_range, check_table, check_text, check_time, list_ids, list_strings
from newsmill.client.corpus import (
    Change,
    Corpus,
    FacetCount,
    FacetCounts,
    Order,
    QueryCheck,
    Removal,
    SearchHit,
    SourceSummary,
    TimelineBar,
    TimelineStep,
    UnusualTerm,
    UrlOutcome,
)
from newsmill.exceptions import AuthenticationError, ConfigError, CursorError, ServiceError
from newsmill.model import CopyGroup, Document, DocumentMarks, NearDuplicate, Revision, RevisionSummary
from newsmill.text.redaction import redact
from newsmill.version import __version__

if TYPE_CHECKING:
    from newsmill.site_inspection import SiteInspection

T = TypeVar("T")
TIMEOUT_SECONDS = 60.0  # without a byte; a stream sends a comment every 15 s
MAX_RESPONSE_BYTES = 64_000_000  # a page of 50 documents has about 250 kB
MAX_TRIES = 5  # of a request that the server defers or whose connection breaks
MAX_RETRY_SECONDS = 60.0  # that a server may defer a request
RETRY_STATUSES = (429, 502, 503, 504)
UNHANDLED_STATUSES = (429, 503)  # the server has done nothing


# ---- requests ----------------------------------------------------------------------------------------------------------------


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

    def read(self, kind: TypeAdapter[T], item: Any) -> T:
        """A part of an answer as this type. Raises ServiceError."""
        try:
            return kind.validate_python(item)
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


# ---- a corpus ----------------------------------------------------------------------------------------------------------------


PAGE_DOCUMENTS = 50
MAX_REVISIONS = 200  # of one request; a document keeps fewer
INSPECTION_SECONDS = 600.0  # without a byte: two inspections at a time, of at most four minutes


@dataclass(frozen=True, slots=True)
class _ItemPage:
    items: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Removed:
    id: str
    source: str | None
    removed_at: datetime


@dataclass(frozen=True, slots=True)
class _SourceCount:
    source: str
    n: int


@dataclass(frozen=True, slots=True)
class _Changed:
    documents: int


@dataclass(frozen=True, slots=True)
class _Note:
    message: str


@dataclass(frozen=True, slots=True)
class _CheckedPage:
    notes: list[_Note]
    suggestion: str | None


@dataclass(frozen=True, slots=True)
class _FacetPage:
    items: tuple[FacetCount, ...]
    counted: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _TimelinePage:
    items: list[TimelineBar]


@dataclass(frozen=True, slots=True)
class _TermPage:
    items: list[UnusualTerm]


_ITEM_PAGE = TypeAdapter(_ItemPage)
_MARKS = TypeAdapter(DocumentMarks)
_CHANGED = TypeAdapter(_Changed)
_SOURCE_COUNT = TypeAdapter(_SourceCount)
_DOCUMENT = TypeAdapter(Document)
_REMOVED = TypeAdapter(_Removed)
_HIT = TypeAdapter(SearchHit)
_OUTCOME = TypeAdapter(UrlOutcome)
_NEAR = TypeAdapter(NearDuplicate)
_COPIES = TypeAdapter(CopyGroup)
_REVISION = TypeAdapter(Revision)
_SUMMARY = TypeAdapter(RevisionSummary)
_SOURCE = TypeAdapter(SourceSummary)
_TIME = TypeAdapter(datetime)
_CHECK = TypeAdapter(_CheckedPage)
_FACETS = TypeAdapter(_FacetPage)
_TIMELINE = TypeAdapter(_TimelinePage)
_TERMS = TypeAdapter(_TermPage)


class HttpCorpus(ApiConnection, Corpus):
    """`newsmill.open("https://news.example.org", token="nm_…")`"""

    def __repr__(self) -> str:
        return f"<corpus {self._base}>"

    def documents(self, query: str = "", *, since: datetime | str | None = None, fold: bool = False) -> Iterator[Document]:
        check_text("query", query)
        check_time("since", since, may_be_cursor=True)
        if query or fold:
            return self._matching(query, since, fold)
        place = {"cursor": since} if isinstance(since, str) else {"stored_since": _format_time(since)}
        return (self.read(_DOCUMENT, item) for item in self._pages("documents", {"order": "stored", **place}, PAGE_DOCUMENTS))

    def _matching(self, query: str, since: datetime | str | None, fold: bool) -> Iterator[Document]:
        if isinstance(since, str):
            raise ConfigError("over an API, since= beside a query or fold= is a time; a cursor belongs to all documents")
        found = self._pages("search/documents", {"q": query, "order": "newest", "fold": _format_flag(fold)}, PAGE_DOCUMENTS)
        return (self.read(_DOCUMENT, item) for item in found if since is None or self.read(_TIME, item.get("stored_at")) >= since)

    def search(self, query: str = "", *, limit: int = 20, order: Order = "relevance", fold: bool = False) -> list[SearchHit]:
        check_text("query", query)
        check_choice("order", order, get_args(Order))
        check_range("limit", limit, 1)
        found: list[SearchHit] = []
        for item in self._pages("search", {"q": query, "order": order, "fold": _format_flag(fold)}, min(limit, 200)):
            if len(found) >= limit:
                break
            found.append(self.read(_HIT, item | {"snippet": _join_snippet(item.get("snippet"))}))
        return found

    def check_query(self, query: str) -> QueryCheck:
        check_text("query", query)
        found = self.read(_CHECK, self.get("search", {"q": query, "limit": 1}))
        return QueryCheck(tuple(note.message for note in found.notes), found.suggestion)

    def facets(self, query: str = "", *, limit: int = 10, fold: bool = False) -> FacetCounts:
        check_text("query", query)
        check_range("limit", limit, 1)
        found = self.read(_FACETS, self.get("search/facets", {"q": query, "limit": min(limit, 100), "fold": _format_flag(fold)}))
        return FacetCounts(found.items, found.counted, found.is_complete)

    def timeline(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step: TimelineStep | None = None,
        fold: bool = False,
    ) -> list[TimelineBar]:
        check_text("query", query)
        check_choice("step", step, get_args(TimelineStep))
        check_time("since", since)
        check_time("until", until)
        bounds = {"since": _format_time(since), "until": _format_time(until), "fold": _format_flag(fold)}
        return self.read(_TIMELINE, self.get("search/timeline", {"q": query, "step": step, **bounds})).items

    def unusual_terms(self, language: str | None = None) -> list[UnusualTerm]:
        if language is not None:
            check_text("language=", language)
        return self.read(_TERMS, self.get("search/unusual-terms", {"lang": language})).items

    def changes(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change | Removal]:
        check_time("since", since, may_be_cursor=True)
        if wait is not None:
            check_range("wait", wait, 0, is_whole=False)
        place = {"cursor": since} if isinstance(since, str) else {"since": _format_time(since)}
        last_event_at, connected, caught_up = time.monotonic(), False, False
        while True:
            # `wait` counts from when everything stored is read: the server's first query may take longer
            silence = TIMEOUT_SECONDS if wait is None else wait if caught_up else max(wait, TIMEOUT_SECONDS)
            try:
                with self.open("stream", {"full": "true", **place}, min(TIMEOUT_SECONDS, max(silence, 1.0))) as answer:
                    connected = True
                    for event in read_events(answer):
                        place = {"cursor": event.cursor} if event.cursor else place
                        if event.data is not None:
                            if (change := self._read_change(event)) is not None:
                                yield change
                            last_event_at = time.monotonic()
                        elif wait is not None and time.monotonic() - last_event_at >= silence:
                            return
                        elif wait is not None and event.is_caught_up and not caught_up:
                            caught_up, last_event_at = True, time.monotonic()
                            break  # and connect again with the shorter time limit
            except ErrorResponse as refusal:
                if refusal.status not in RETRY_STATUSES or not connected:
                    raise
            except (OSError, HTTPException) as error:  # silent for too long, or broken: the place is known
                if not connected:
                    raise self.connection_error(error) from error
            if wait is not None and time.monotonic() - last_event_at >= (wait if caught_up else silence):
                return
            time.sleep(min(1, wait) if wait is not None and caught_up else 1)

    def _read_change(self, event: Event) -> Change | Removal | None:
        """The change in an event; None for a kind of event that only a newer server has."""
        if event.name == b"removed":
            removed = self.read(_REMOVED, parse_json(event.data or b""))
            return Removal(removed.id, removed.source, removed.removed_at, event.cursor or "")
        if event.name != b"document":
            return None
        return Change(self.read(_DOCUMENT, parse_json(event.data or b"")), event.cursor or "")

    def document(self, id_or_url: str) -> Document | None:
        check_text("id_or_url", id_or_url)
        if not id_or_url:
            return None
        by_url = "://" in id_or_url
        path, query = ("documents/by-url", {"url": id_or_url}) if by_url else (f"documents/{_quote(id_or_url)}", {})
        found = self.get(path, query, may_be_missing=True)
        return None if found is None else self.read(_DOCUMENT, found)

    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        check_text("id_or_url", id_or_url)
        check_range("least", least, 0, 1, is_whole=False)
        check_range("limit", limit, 1)
        found = self.get(
            f"{self._document_path(id_or_url)}/near-duplicates", {"least": least, "limit": min(limit, 100)}, may_be_missing=True
        )
        return [] if found is None else [self.read(_NEAR, item) for item in self.read(_ITEM_PAGE, found).items][:limit]

    def copies(self, id_or_url: str) -> CopyGroup | None:
        check_text("id_or_url", id_or_url)
        found = self.get(f"{self._document_path(id_or_url)}/copies", {}, may_be_missing=True)
        return None if found is None else self.read(_COPIES, found)

    def _document_path(self, id_or_url: str) -> str:
        """The path of a document, which may not exist."""
        document = self.document(id_or_url) if "://" in id_or_url else None
        return f"documents/{_quote(document.id if document else id_or_url)}"

    def revisions(self, id_or_url: str) -> list[RevisionSummary]:
        check_text("id_or_url", id_or_url)
        found = self.get(f"{self._document_path(id_or_url)}/revisions", {"limit": MAX_REVISIONS}, may_be_missing=True)
        return [] if found is None else [self.read(_SUMMARY, item) for item in self.read(_ITEM_PAGE, found).items]

    def revision(self, id_or_url: str, number: int) -> Revision | None:
        check_text("id_or_url", id_or_url)
        check_range("number", number, 1)
        found = self.get(f"{self._document_path(id_or_url)}/revisions/{number}", {}, may_be_missing=True)
        return None if found is None else self.read(_REVISION, found)

    def marks(self, ids: Iterable[str]) -> dict[str, DocumentMarks]:
        wanted = list_ids(ids)
        items = self.read(_ITEM_PAGE, self.get("marks", {"id": wanted})).items if wanted else []
        return {str(item.get("id")): self.read(_MARKS, item) for item in items}

    def mark(
        self,
        ids: Iterable[str],
        *,
        starred: bool | None = None,
        read: bool | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        note: str | None = None,
    ) -> int:
        if note is not None:
            check_text("note=", note)
        wanted, added, removed = list_ids(ids), list_strings("add_tags=", add_tags), list_strings("remove_tags=", remove_tags)
        change = {"starred": starred, "read": read, "add_tags": added, "remove_tags": removed, "note": note}
        if not wanted:
            return 0
        found = self.post("marks", json.dumps({"ids": wanted, **change}).encode())
        return self.read(_CHANGED, found).documents

    def tags(self) -> dict[str, int]:
        return {str(item.get("tag")): int(item.get("documents", 0)) for item in self._pages("tags", {}, None)}

    def outcome(self, url: str) -> UrlOutcome | None:
        check_text("url", url)
        found = self.get("ledger/trace", {"url": url}, may_be_missing=True)
        if found is None:
            return None
        row = self.read(_OUTCOME, found)
        return UrlOutcome.of(row.url, row.state, row.outcome, row.detail, row.document_id)

    def sources(self) -> list[SourceSummary]:
        plans = {str(item.get("name")): item for item in self._pages("sources", {}, 200)}
        found = (self.read(_SOURCE_COUNT, item) for item in self._pages("search/by-source", {"fold": "false"}, None))
        counts = {count.source: count.n for count in found}
        return [
            self.read(_SOURCE, {"homepage": None, "enabled": None, **plans.get(name, {}), "name": name, "documents": counts.get(name, 0)})
            for name in sorted({*plans, *counts} - {""})
        ]

    def inspect_site(self, url: str) -> SiteInspection:
        check_text("url", url)
        from newsmill.site_inspection import SiteInspection  # loads the public suffix list, which only sources need

        found = self.post("sources/inspections", json.dumps({"url": url}).encode(), repeat=False, timeout=INSPECTION_SECONDS)
        return self.read(TypeAdapter(SiteInspection), found)

    def add_source(self, table: Mapping[str, Any], *, name: str | None = None) -> SourceSummary:
        check_table(table, name)
        named = {} if name is None else {"name": name}
        found = self.post("sources", json.dumps({**table, **named}, default=str).encode(), repeat=False)  # a date becomes a string
        return self.read(_SOURCE, {**found, "documents": 0} if isinstance(found, dict) else found)

    def close(self) -> None:
        """Each request has its own connection."""

    # ---- HTTP --------------------------------------------------------------------------------------------------------------

    def _pages(self, path: str, query: dict[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page. `limit` is None for a list that has one page."""
        while True:
            page = self.read(_ITEM_PAGE, self.get(path, {**query, "limit": limit}))
            yield from page.items
            if page.next is None:
                return
            query = {**{key: value for key, value in query.items() if key != "stored_since"}, "cursor": page.next}


def _quote(text: str) -> str:
    """The text as one segment of a path."""
    return quote(text, safe="", errors="replace")


def _join_snippet(snippet: Any) -> str:
    """The text of a snippet."""
    return "".join(piece[0] for piece in snippet) if isinstance(snippet, list) else ""


def _format_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _format_flag(flag: bool) -> str:
    return "true" if flag else "false"

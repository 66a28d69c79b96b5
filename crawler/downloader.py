"""Scrapy's HTTP/1.1 handler with a cap on the head of a response: Twisted would read header lines for ever, one by one, in the event loop.

It leans on names private to Scrapy 2.19 and Twisted: pyproject pins Scrapy to a minor version, and a test sends 100,000 headers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as SSLError
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _LenientHTTP11ClientFactory, _LenientHTTP11ClientProtocol
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from scrapy.http import Response
from service_identity import VerificationError
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.python.failure import Failure
from twisted.web._newclient import HEADER, STATUS

from crawler.settings import DEADLINE_SECONDS, MAX_BODY_BYTES
from newsmill import urls
from newsmill.address_guard import REFUSED_HOSTS, Guard
from newsmill.exceptions import UrlError
from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.redaction import redact

MAX_HEAD_BYTES = 256 * 1024  # bytes; browsers stop at 256 KB (Chrome) or earlier, and one read of 64 KB may hold the start of the body too


class HeadTooLongError(Exception):
    """Raised when the status line and headers of a response are longer than any honest server sends."""


class CappedProtocol(_LenientHTTP11ClientProtocol):
    """Counts the bytes that come while a head is still being read, over all interim (1xx) heads of one request."""

    head = 0

    def request(self, request: Any) -> Any:
        self.head = 0
        return super().request(request)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        if self._parser is not None and self._parser.state in (STATUS, HEADER):
            self.head += len(data)
            if self.head > MAX_HEAD_BYTES:
                self._giveUp(Failure(HeadTooLongError(f"more than {MAX_HEAD_BYTES} bytes of headers")))  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class CappedFactory(_LenientHTTP11ClientFactory):
    def buildProtocol(self, addr: Any) -> CappedProtocol:  # noqa: N802 (Twisted's name)
        return CappedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]


class CappedHandler(HTTP11DownloadHandler):
    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._pool._factory = CappedFactory


# One URL → its page as it came, or the ending that says why there is none. Redirects are followed here, hop by hop; nothing is decoded.

MAX_REDIRECTS = 5  # redirects; RFC 9309 wants five for robots.txt, and no honest article needs more
MAX_HEADER_LINES = 500  # lines; a page with all its cookies and policies has some 60
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5"

# What the downloader raises when a fetch fails; anything else is a bug of ours and is not caught.
DOWNLOAD_ERRORS = (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
    ConnectError,  # no route, network unreachable
    ConnectionClosed,
    ValueError,  # an address that Scrapy or Twisted refuses to build a request from
)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One URL to fetch, and how: validators for a conditional request, what to accept, the cap in bytes on the wire."""

    url: str
    accept: str = PAGE_ACCEPT
    etag: str | None = None
    last_modified: str | None = None
    max_body: int = MAX_BODY_BYTES


CheckRedirect = Callable[[str, str], Awaitable[OutcomeRecord | None]]  # (from, to) → None: go on; an ending: stop there


class Downloader:
    """Downloads with an honest name, within the deadline, from addresses the guard allows."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]], guard: Guard, user_agent: str) -> None:
        self.download = download
        self.guard = guard
        self.user_agent = user_agent

    async def fetch(self, ask: FetchRequest, hop: CheckRedirect) -> Page | OutcomeRecord:
        """The final answer, whatever its status, or how the attempt ended. `hop` is asked before each redirect is followed."""
        left = DEADLINE_SECONDS  # of network time: waiting one's turn between hops does not count
        way: list[str] = []
        url = ask.url
        while True:
            started = time.monotonic()
            answer = await self._get(url, ask, left)
            left -= time.monotonic() - started
            if isinstance(answer, OutcomeRecord):
                return answer if not way else OutcomeRecord(answer.outcome, f"{answer.detail} (redirected to {url})")
            if answer.status not in REDIRECT_STATUSES:
                return self._page(ask, url, tuple(way), answer)
            way.append(url)
            target = redirect_target(url, answer)
            stop = target if isinstance(target, OutcomeRecord) else await _may_hop(way, target, hop)
            if stop is not None or isinstance(target, OutcomeRecord):
                return stop or target  # type: ignore[return-value]
            url = target
            if left <= 0:
                return OutcomeRecord(Outcome.TIMEOUT, f"the deadline passed before {url} was asked for")

    async def _get(self, url: str, ask: FetchRequest, seconds: float) -> Response | OutcomeRecord:
        meta = {"download_timeout": max(seconds, 0.1), "download_maxsize": ask.max_body, "dont_log": True}
        try:
            response = await self.download(Request(url, headers=self.headers(ask), meta=meta))
        except DOWNLOAD_ERRORS as e:
            return failure_outcome(e, url)
        return self._refuse(response) or response

    def _refuse(self, response: Response) -> OutcomeRecord | None:
        """The guard once more, on the address that did answer; and the count of headers, which Twisted does not limit."""
        refusal = self.guard.find_refusal(str(response.ip_address))
        if refusal is not None:
            return OutcomeRecord(Outcome.SSRF_BLOCKED, refusal)
        count = sum(1 for _ in _header_lines(response))
        if count > MAX_HEADER_LINES:
            return OutcomeRecord(Outcome.TOO_MANY_HEADERS, f"{count} header lines")
        return None

    def headers(self, ask: FetchRequest) -> dict[str, str]:
        """Only gzip is asked for: every reader of WARC files unpacks it, and few read br or zstd."""
        conditional = {"If-None-Match": ask.etag, "If-Modified-Since": ask.last_modified}
        plain = {"User-Agent": self.user_agent, "Accept": ask.accept, "Accept-Encoding": "gzip"}
        return plain | {name: value for name, value in conditional.items() if value is not None}

    def _page(self, ask: FetchRequest, url: str, way: tuple[str, ...], response: Response) -> Page:
        return Page(
            requested_url=ask.url,
            url=url,
            fetched_at=datetime.now(UTC),
            status=response.status,
            headers=tuple(_header_lines(response)),
            body=response.body,
            ip=str(response.ip_address),
            redirects=way,
            request_headers=tuple(self.headers(ask).items()),
        )


async def _may_hop(way: list[str], target: str, hop: CheckRedirect) -> OutcomeRecord | None:
    if target in way:
        return OutcomeRecord(Outcome.REDIRECT_LOOP, f"{way[-1]} leads back to {target}")
    if len(way) > MAX_REDIRECTS:
        return OutcomeRecord(Outcome.REDIRECT_LOOP, f"more than {MAX_REDIRECTS} redirects")
    return await hop(way[-1], target)


def redirect_target(url: str, response: Response) -> str | OutcomeRecord:
    """The absolute address a redirect names, or the ending when it names none that may be fetched."""
    location = response.headers.get(b"Location")
    if location is None:
        return OutcomeRecord(Outcome.BAD_REDIRECT, f"status {response.status} without Location")
    try:
        return urls.normalize(_text(location), url)
    except UrlError as e:
        return OutcomeRecord(Outcome.BAD_REDIRECT, f"{redact(_text(location))[:200]}: {e}")


def failure_outcome(error: Exception, url: str) -> OutcomeRecord:
    """The ending of what the downloader raised for `url` (ARCHITECTURE-FACTS section 1, "Outcome of each failure")."""
    text = str(error)[:300]
    match error:
        case DownloadConnectionRefusedError():
            return OutcomeRecord(Outcome.REFUSED, text)
        case CannotResolveHostError():
            refusal = REFUSED_HOSTS.get(urlsplit(urls.normalize(url)).hostname or "")
            return OutcomeRecord(Outcome.DNS, text) if refusal is None else OutcomeRecord(Outcome.SSRF_BLOCKED, refusal)
        case DownloadTimeoutError():
            return OutcomeRecord(Outcome.TIMEOUT, f"no complete answer within {DEADLINE_SECONDS:.0f} seconds")
        case ResponseDataLossError():
            return OutcomeRecord(Outcome.DATA_LOSS, "the body was shorter than announced")
        case DownloadCancelledError():
            return OutcomeRecord(Outcome.TOO_LARGE, text or "the body is larger than the cap")
        case NotSupported() | UnsupportedURLSchemeError() | ValueError():
            return OutcomeRecord(Outcome.BAD_URL, text)
        case _:
            return _broken(error)


def _broken(error: Exception) -> OutcomeRecord:
    """A connection that broke: Scrapy keeps Twisted's reasons two levels down."""
    for reason in iterate_causes(error):
        match reason:
            case HeadTooLongError():
                return OutcomeRecord(Outcome.TOO_MANY_HEADERS, str(reason))
            case SSLError() | VerificationError():
                return OutcomeRecord(Outcome.TLS, _tls_detail(reason))
    return OutcomeRecord(Outcome.CONNECTION, f"{type(error).__name__}: {str(error)[:300]}")


def iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what Twisted collected on the way, outermost first."""
    yield error
    for failed in getattr(error, "reasons", None) or ():
        yield from iterate_causes(failed.value)
    if error.__cause__ is not None:
        yield from iterate_causes(error.__cause__)


def _tls_detail(error: BaseException) -> str:
    if isinstance(error, VerificationError):
        return "the certificate is for another host"
    words = [entry[-1] for entry in (error.args[0] if error.args else ()) if entry[-1]]
    return ", ".join(words) or type(error).__name__


def _header_lines(response: Response) -> Iterator[tuple[str, str]]:
    for name in response.headers:
        for value in response.headers.getlist(name):
            yield _text(name), _text(value)


def _text(raw: bytes) -> str:
    """A header as text: UTF-8 where it is, else byte for byte (latin-1), as browsers do."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")

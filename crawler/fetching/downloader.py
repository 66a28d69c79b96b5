"""Downloads one URL: the page as the server sent it, or the outcome that says why there is none. Redirects are followed one by one.

Middlewares of the user may change a request or answer it; what they do becomes an outcome too. Where there is a key, requests are signed.

Scrapy's HTTP/1.1 handler gets a limit on response headers, because Twisted would read header lines without end in the event loop. The limit
uses names private to Scrapy 2.19 and Twisted: pyproject pins Scrapy to a minor version, and a test sends 100,000 headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as SSLError
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
    _LenientHTTPClientParser,
)
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from scrapy.http import Response
from scrapy.settings import BaseSettings
from twisted.internet.defer import fail
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HEADER, STATUS
from twisted.web.http_headers import InvalidHeaderName

from crawler.browser.renderer import PLAYWRIGHT, RENDER_JOB, RenderingError
from crawler.network.certificates import CertificateRefusedError, VerifyingContextFactory
from crawler.network.proxy import ProxyClient, ProxyError, make_refusal_outcome
from crawler.politeness.response_policy import RequestOutcomeError
from crawler.politeness.throttle import LEASE_CHECKS, STOPPED_BY_OWNER, LeaseLostError, StopRequestedError, is_stopped_by_owner
from crawler.settings import DEADLINE_SECONDS, MAX_BODY_BYTES
from newsmill import urls
from newsmill.address_guard import REFUSED_HOSTS, REMEDY, Guard, make_guarded_getaddrinfo
from newsmill.discovery.sitemaps import MAX_SITEMAP_BYTES
from newsmill.exceptions import ConfigError, UrlError
from newsmill.message_signatures import SigningKey, choose_key, read_keys, sign_request
from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.redaction import redact
from newsmill.version import install_hint

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5  # RFC 9309 wants five for robots.txt, and no honest article needs more
MAX_HEADER_LINES = 500  # a page with all its cookies and policies has about 60
MAX_HEAD_BYTES = 256 * 1024  # status line and headers: Chrome's limit; one read of 64 KB may hold the start of the body too
MAX_HEADER_LINE_BYTES = 64 * 1024  # Twisted's 16 KB are less than the longest policies; with more, slow bytes cost much CPU
MAX_ERROR_CHARACTERS = 300
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})  # never archived
PERMANENT_STATUSES = frozenset({301, 308})
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5"

# What Scrapy's downloader raises when a fetch fails. Any other exception is a bug and is not caught.
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
    ProxyError,
    ValueError,  # a URL that Scrapy or Twisted refuses to build a request from
)

CheckRedirect = Callable[[str, str], Awaitable[OutcomeRecord | None]]  # (from, to) → None to follow it, or the outcome to stop with


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One URL to fetch, the media types to accept, validators for a conditional request, and the body's limit in bytes on the wire.

    `cookiejar` names the cookies to use, where the user has enabled cookies. Requests of different sources never share them.
    """

    url: str
    accept: str = PAGE_ACCEPT
    etag: str | None = None
    last_modified: str | None = None
    max_body: int = MAX_BODY_BYTES
    cookiejar: str | None = None

    @property
    def is_conditional(self) -> bool:
        """Whether the response may be 304."""
        return self.etag is not None or self.last_modified is not None


class Downloader:
    """Downloads with the user's user agent, within the deadline, from IP addresses that the guard allows."""

    def __init__(
        self,
        download: Callable[[Request], Awaitable[Response]],
        guard: Guard,
        user_agent: str,
        *,
        max_body: int | None = None,
        max_seconds: float = DEADLINE_SECONDS,
        has_middlewares: bool = False,
        keeps_cookies: bool = False,
        render: Callable[[Request], Awaitable[Response]] | None = None,
    ) -> None:
        """`max_body` (bytes) and `max_seconds` lower the limits of a request. `has_middlewares`: `download` runs middlewares of the
        user, which may change headers and answer requests themselves; with `keeps_cookies`, one of them keeps cookies. `render` takes the
        requests of `crawler.browser.renderer`."""
        self.download = download
        self.render = render or download
        self.guard = guard
        self.user_agent = user_agent
        self.max_body = max_body
        self.max_seconds = max_seconds
        self.has_middlewares = has_middlewares
        self.keeps_cookies = keeps_cookies

    async def fetch(self, fetch_request: FetchRequest, check_redirect: CheckRedirect) -> Page | OutcomeRecord:
        """The final response, whatever its status, or the outcome. `check_redirect` is called before each redirect is followed."""
        seconds_left = min(DEADLINE_SECONDS, self.max_seconds)  # of network time: `check_redirect` may wait for the next host's throttle
        redirects: list[str] = []
        is_moved = True
        url = fetch_request.url
        while True:
            started_at = time.monotonic()
            response = await self._download(url, fetch_request, seconds_left)
            seconds_left -= time.monotonic() - started_at
            if isinstance(response, OutcomeRecord):
                return response if not redirects else OutcomeRecord(response.outcome, f"{response.detail} (redirected to {url})")
            if response.status not in REDIRECT_STATUSES:
                return replace(self._page(fetch_request, url, tuple(redirects), response), is_moved=is_moved and bool(redirects))
            redirects.append(url)
            is_moved = is_moved and response.status in PERMANENT_STATUSES
            target = redirect_target(url, response)
            if isinstance(target, OutcomeRecord):
                return target
            refusal = self._find_redirect_refusal(redirects, target, response) or await check_redirect(url, target)
            if refusal is not None:
                return refusal
            url = target
            if seconds_left <= 0:
                return OutcomeRecord(Outcome.TIMEOUT, f"the deadline passed before {url} was requested")

    def _find_redirect_refusal(self, redirects: list[str], target: str, response: Response) -> OutcomeRecord | None:
        """The outcome of a redirect that would not end. A site that has set a cookie may serve the page at the same URL."""
        sets_cookie = b"Set-Cookie" in response.headers
        if target in redirects and not (sets_cookie and self.keeps_cookies):
            remedy = "; it sets a cookie, which COOKIES_ENABLED = true in [scrapy] of sources.toml would keep" if sets_cookie else ""
            return OutcomeRecord(Outcome.REDIRECT_LOOP, f"{redirects[-1]} leads back to {target}{remedy}")
        if len(redirects) > MAX_REDIRECTS:
            return OutcomeRecord(Outcome.REDIRECT_LOOP, f"more than {MAX_REDIRECTS} redirects")
        return None

    async def _download(self, url: str, fetch_request: FetchRequest, seconds: float) -> Response | OutcomeRecord:
        max_body = fetch_request.max_body if self.max_body is None else min(self.max_body, fetch_request.max_body)
        meta = {
            "download_timeout": max(seconds, 0.1),
            "download_maxsize": max_body,
            "dont_log": True,
            "cookiejar": fetch_request.cookiejar,
        }
        try:
            response = await self.download(Request(url, headers=self.headers(fetch_request), meta=meta))
        except RequestOutcomeError as e:
            return e.record
        except DOWNLOAD_ERRORS as e:
            return failure_outcome(e, url)
        return self.find_response_refusal(response) or response

    def find_response_refusal(self, response: Response) -> OutcomeRecord | None:
        """Check the IP address that responded once more, and the status and the number of headers, which Twisted does not limit."""
        has_no_address = self.has_middlewares and response.ip_address is None  # of a middleware, or from a proxy that resolves names
        refusal = None if has_no_address else self.guard.find_refusal(str(response.ip_address))
        if refusal is not None:
            return OutcomeRecord(Outcome.SSRF_BLOCKED, refusal)
        if not 100 <= response.status <= 999:  # three digits (RFC 9112, section 4); no database takes an integer of any length
            return OutcomeRecord(Outcome.CONNECTION, f"the status {str(response.status)[:20]} has not three digits")
        count = sum(1 for _ in _header_lines(response))
        if count > MAX_HEADER_LINES:
            return OutcomeRecord(Outcome.TOO_MANY_HEADERS, f"{count} header lines")
        return None

    def headers(self, fetch_request: FetchRequest) -> dict[str, str]:
        """The request's headers. They accept only gzip: every WARC reader unpacks it, and few unpack br or zstd."""
        conditional = {"If-None-Match": fetch_request.etag, "If-Modified-Since": fetch_request.last_modified}
        unconditional = {"User-Agent": self.user_agent, "Accept": fetch_request.accept, "Accept-Encoding": "gzip"}
        return unconditional | {name: value for name, value in conditional.items() if value is not None}

    def _page(self, fetch_request: FetchRequest, url: str, redirects: tuple[str, ...], response: Response) -> Page:
        return Page(
            requested_url=fetch_request.url,
            url=url,
            fetched_at=datetime.now(UTC),
            status=response.status,
            headers=tuple(_header_lines(response)),
            body=response.body,
            ip=None if response.ip_address is None else str(response.ip_address),
            redirects=redirects,
            request_headers=self._sent_headers(fetch_request, response),
        )

    def _sent_headers(self, fetch_request: FetchRequest, response: Response) -> tuple[tuple[str, str], ...]:
        """The request's headers for the archive. Those that a middleware changed are archived as sent, without secrets."""
        if not self.has_middlewares or response.request is None:
            return tuple(self.headers(fetch_request).items())
        return tuple((name, value) for name, value in _header_lines(response.request) if name.lower() not in SECRET_HEADERS)


def redirect_target(url: str, response: Response) -> str | OutcomeRecord:
    """The absolute URL that a redirect names, or the outcome if it names none that may be fetched."""
    location = response.headers.get(b"Location")
    if location is None:
        return OutcomeRecord(Outcome.BAD_REDIRECT, f"HTTP {response.status} without Location")
    try:
        return urls.normalize(_decode(location), url)
    except UrlError as e:
        return OutcomeRecord(Outcome.BAD_REDIRECT, f"{redact(_decode(location))[:200]}: {e}")


def _header_lines(message: Request | Response) -> Iterator[tuple[str, str]]:
    for name in message.headers:
        for value in message.headers.getlist(name):
            yield _decode(name), _decode(value)


def _decode(header: bytes) -> str:
    """A header as text: UTF-8 if it is valid, otherwise latin-1, as in browsers."""
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


# ---- middlewares of the user

# Raised by the downloader itself. A ValueError could be a middleware's.
OWN_ERRORS = (StopRequestedError, RequestOutcomeError, RenderingError, *(error for error in DOWNLOAD_ERRORS if error is not ValueError))


class MiddlewareDownload:
    """A download through middlewares of the user: their refusals and failures become outcomes, and the crawl goes on."""

    def __init__(self, download: Callable[[Request], Awaitable[Response]]) -> None:
        self.download = download
        self.has_warned_of_agent = False

    async def __call__(self, request: Request) -> Response:
        """The response. Raises RequestOutcomeError for what a middleware did, and the errors of the downloader.

        A middleware can send a request again without end, so the deadline is one for all of them.
        """
        agent = request.headers.pop("User-Agent", None)  # as in Scrapy, where a middleware sets it if no other has
        seconds, max_body = request.meta.get("download_timeout"), request.meta.get("download_maxsize")
        try:
            async with asyncio.timeout(seconds):
                response = await self.download(request)
        except OWN_ERRORS:
            raise
        except TimeoutError as error:
            raise DownloadTimeoutError(f"longer than {seconds} seconds") from error
        except IgnoreRequest as error:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware refused it: {describe_error(error)}")) from error
        except Exception as error:  # code of the user: no error in it may end the crawl
            log.warning("a middleware failed on %s", request.url, exc_info=error)
            raise RequestOutcomeError(OutcomeRecord(Outcome.MIDDLEWARE_ERROR, describe_error(error))) from error
        if request.url.endswith("/robots.txt"):
            self._warn_of_changed_agent(agent, response.request or request)
        if PLAYWRIGHT in request.meta:
            return response  # of the browser, which has limits of its own
        if response.url != request.url:
            raise RequestOutcomeError(OutcomeRecord(Outcome.DENIED, f"a middleware fetched {response.url[:MAX_ERROR_CHARACTERS]} instead"))
        if max_body and len(response.body) > max_body:
            raise RequestOutcomeError(OutcomeRecord(Outcome.TOO_LARGE, f"a middleware returned {len(response.body):,} bytes"))
        return response

    def _warn_of_changed_agent(self, agent: list[bytes] | None, request: Request) -> None:
        """Log once that a middleware changed the User-Agent of a robots.txt, whose rules are chosen by Newsmill's."""
        sent = request.headers.getlist("User-Agent")
        if agent and sent != agent and not self.has_warned_of_agent:
            self.has_warned_of_agent = True
            log.warning(
                "a middleware sends the User-Agent %.200r for %s, but the rules for %r are obeyed; remove it, or set NEWSMILL_USER_AGENT",
                b", ".join(sent).decode("latin-1"),
                request.url,
                b", ".join(agent).decode("latin-1"),
            )


def make_downloader(download: Callable[..., Any], values: Mapping[str, Any], *, has_middlewares: bool) -> Downloader:
    """The downloader for an engine with the Scrapy settings `values`. `has_middlewares`: they load middlewares of the user."""
    max_body = int(values["DOWNLOAD_MAXSIZE"])
    return Downloader(
        MiddlewareDownload(download) if has_middlewares else download,
        Guard.from_networks(values["NEWSMILL_ALLOW_NETS"]),
        values["USER_AGENT"],
        max_body=max_body if max_body < MAX_BODY_BYTES else None,
        max_seconds=float(values["DOWNLOAD_TIMEOUT"]),
        has_middlewares=has_middlewares,
        keeps_cookies=bool(values["COOKIES_ENABLED"]),
        render=download,
    )


# ---- failures


def failure_outcome(error: Exception, url: str) -> OutcomeRecord:
    """The outcome of one of DOWNLOAD_ERRORS, raised for `url`."""
    text = str(error)[:MAX_ERROR_CHARACTERS]
    match error:
        case ProxyError():
            return OutcomeRecord(Outcome.PROXY_ERROR, text)
        case DownloadConnectionRefusedError():
            return OutcomeRecord(Outcome.REFUSED, text)
        case CannotResolveHostError():
            host = urlsplit(urls.normalize(url)).hostname or ""
            refusal = REFUSED_HOSTS.get(host)
            return OutcomeRecord(Outcome.DNS, text) if refusal is None else make_refusal_outcome(host, refusal)
        case DownloadTimeoutError():
            return OutcomeRecord(Outcome.TIMEOUT, f"no complete response within {DEADLINE_SECONDS:.0f} seconds")
        case ResponseDataLossError():
            return OutcomeRecord(Outcome.DATA_LOSS, "the body was shorter than announced")
        case DownloadCancelledError():
            return OutcomeRecord(Outcome.TOO_LARGE, text or "the body is larger than the limit")
        case NotSupported() | UnsupportedURLSchemeError() | ValueError():
            return OutcomeRecord(Outcome.BAD_URL, text)
        case _:
            return _connection_outcome(error)


def describe_error(error: BaseException) -> str:
    """The class and the beginning of the message of an error of code that is not ours."""
    text = str(error)[:MAX_ERROR_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _connection_outcome(error: Exception) -> OutcomeRecord:
    """The outcome of a broken connection. Scrapy keeps Twisted's reasons two levels down."""
    for cause in iterate_causes(error):
        match cause:
            case HeadTooLongError():
                return OutcomeRecord(Outcome.TOO_MANY_HEADERS, str(cause))
            case CertificateRefusedError():
                return OutcomeRecord(Outcome.TLS, str(cause))
            case SSLError():
                return OutcomeRecord(Outcome.TLS, _describe_tls_error(cause))
    return OutcomeRecord(Outcome.CONNECTION, _describe_broken_connection(error))


def _describe_broken_connection(error: Exception) -> str:
    """What the innermost reason means. Twisted's parser raises errors of any class for what is not HTTP."""
    match cause := list(iterate_causes(error))[-1]:
        case ConnectionDone():
            return "the server closed the connection without a complete response"
        case ConnectionClosed():
            return "the connection broke before the response was complete"
        case ConnectError():
            return f"no connection: {str(cause)[:MAX_ERROR_CHARACTERS]}"
        case _ if cause is error:
            return describe_error(error)
        case _:
            return f"the response is not valid HTTP: {describe_error(cause)}"


def iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, and the reasons that Twisted collected, outermost first."""
    yield error
    for twisted_failure in getattr(error, "reasons", None) or ():
        yield from iterate_causes(twisted_failure.value)
    if error.__cause__ is not None:
        yield from iterate_causes(error.__cause__)


def _describe_tls_error(error: BaseException) -> str:
    messages = [entry[-1] for entry in (error.args[0] if error.args else ()) if entry[-1]]
    return f"no TLS connection: {', '.join(messages) or type(error).__name__}"


# ---- the limit on headers


class HeadTooLongError(Exception):
    """Raised when the status line and headers of a response are longer than MAX_HEAD_BYTES."""


class TolerantParser(_LenientHTTPClientParser):
    """Reads header lines as browsers do: a name may end with spaces, and a line with an invalid name is skipped."""

    def headerReceived(self, name: bytes, value: bytes) -> None:  # noqa: N802 (Twisted's name)
        name = name.rstrip()
        if name.lower() == b"transfer-encoding" and value.strip().lower() == b"identity":
            return  # RFC 2616 had it for a body as it is; Twisted takes any other value than "chunked" as an error
        with contextlib.suppress(InvalidHeaderName):
            super().headerReceived(name, value)  # type: ignore[no-untyped-call]


class CappedProtocol(_LenientHTTP11ClientProtocol):
    """Counts the bytes of the head, over all interim (1xx) heads of one request. Sends no request to a host whose lease has ended."""

    head_bytes = 0
    crawler: Crawler | None = None

    def request(self, request: Any) -> Any:
        """The response, as a Deferred. The connection is open by now, so a freeze while it was made is noticed too."""
        is_held = None if self.crawler is None else LEASE_CHECKS.get(self.crawler)
        if is_held is not None and not is_held(host := urls.get_host(request.absoluteURI.decode("ascii"))):
            assert self.transport is not None
            self.transport.abortConnection()
            return fail(LeaseLostError(f"the lease of {host} has ended"))
        self.head_bytes = 0
        response = super().request(request)
        parser: Any = self._parser  # Twisted makes one of its own class for each request
        parser.__class__ = TolerantParser
        parser.MAX_LENGTH = MAX_HEADER_LINE_BYTES
        parser.lineLengthExceeded = self._refuse_line
        _flush(self.transport)
        return response

    def _refuse_line(self, _: bytes) -> None:
        error = HeadTooLongError(f"a header line of more than {MAX_HEADER_LINE_BYTES} bytes")
        self._giveUp(Failure(error))  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        if self._parser is not None and self._parser.state in (STATUS, HEADER):
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD_BYTES:
                self._giveUp(Failure(HeadTooLongError(f"more than {MAX_HEAD_BYTES} bytes of headers")))  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


def _flush(transport: Any) -> None:
    """Send what was written to a connection now, without a turn of the event loop, in which the process could be frozen.

    An error shows again when the event loop writes: the connection stays registered for it.
    """
    while not hasattr(transport, "doWrite"):  # TLS is a layer above TCP
        transport = transport.transport
    transport.doWrite()


class CappedFactory(_LenientHTTP11ClientFactory):
    """Builds CappedProtocol."""

    def __init__(self, *arguments: Any, crawler: Crawler) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self._crawler = crawler

    def buildProtocol(self, addr: Any) -> CappedProtocol:  # noqa: N802 (Twisted's name)
        protocol = CappedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]
        protocol.crawler = self._crawler
        return protocol


class CappedHandler(HTTP11DownloadHandler):
    """Scrapy's download handler with CappedFactory, a limit of bodies that no middleware raises, and checked proxies.

    Requests with `meta["playwright"]` go to the browser, which starts with the first.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        pool: Any = self._pool
        pool._factory = partial(CappedFactory, crawler=crawler)
        self._contextFactory: Any = VerifyingContextFactory.from_crawler(crawler)
        self._proxy_client = ProxyClient(crawler, self._pool, self._contextFactory)
        self._signer = RequestSigner(crawler.settings)

    async def download_request(self, request: Request) -> Response:
        """The response: directly, through the proxy that a middleware named in `request.meta`, or from the browser.

        Every request of every spider and middleware ends here, so the stop of a host's owner and the signature cannot be passed by.
        Raises RequestOutcomeError for a host that its owner has stopped.
        """
        if RENDER_JOB not in request.meta and await is_stopped_by_owner(self._crawler, request.url):  # a job's page was fetched already
            raise RequestOutcomeError(STOPPED_BY_OWNER)
        if request.meta.get(PLAYWRIGHT):
            return await _find_browser_handler(self._crawler).download_request(request)  # type: ignore[no-any-return]
        self._signer.sign(request)
        max_size = request.meta.get("download_maxsize")
        if max_size is not None and not 0 < max_size <= MAX_SITEMAP_BYTES:
            request.meta["download_maxsize"] = self._default_maxsize
        if request.meta.get("proxy"):
            return await self._proxy_client.download(request)
        try:
            return await super().download_request(request)
        except CannotResolveHostError:
            refusal = REFUSED_HOSTS.get(urlsplit(request.url).hostname or "")
            if refusal is None:
                raise
            raise CannotResolveHostError(f"{refusal}; {REMEDY}") from None

    async def close(self) -> None:
        await super().close()
        if (handler := _BROWSER_HANDLERS.pop(self._crawler, None)) is not None:
            await handler.close()


_BROWSER_HANDLERS: dict[Crawler, Any] = {}  # one browser for http and https, which have a CappedHandler each


def _find_browser_handler(crawler: Crawler) -> Any:
    """The crawler's BrowserHandler, made with its first request. Raises NotSupported without the extra `render`."""
    if crawler not in _BROWSER_HANDLERS:
        try:
            from crawler.browser.handler import BrowserHandler  # loads Playwright, which few crawlers need
        except ImportError as error:
            raise NotSupported(f"the extra is not installed ({error}): {install_hint('render')}") from error
        _BROWSER_HANDLERS[crawler] = BrowserHandler(crawler)
    return _BROWSER_HANDLERS[crawler]


# ---- signatures of requests

KEYS_INTERVAL_SECONDS = 60.0  # between two reads of the keys: a new one is published two days before it signs


class RequestSigner:
    """Signs requests (Web Bot Auth), where the operator has made a key and set a public URL.

    It uses the key that is current; without one it changes nothing. Redirects are requests of their own, so each is signed.
    """

    def __init__(self, settings: BaseSettings) -> None:
        folder, self._agent = (*settings.getlist("NEWSMILL_SIGNING"), "", "")[:2]
        self._folder = Path(folder) if self._agent else None
        self._key: SigningKey | None = None
        self._read_at = -KEYS_INTERVAL_SECONDS

    def sign(self, request: Request) -> None:
        """Add the headers of a signature, in place of those of an earlier try."""
        if self._folder is None:
            return
        if time.monotonic() - self._read_at >= KEYS_INTERVAL_SECONDS:
            self._read(self._folder)
        if self._key is not None:
            # Signed with this machine's clock: verifiers compare it with theirs, not with stored times.
            request.headers.update(sign_request(self._key, self._agent, request.method, request.url, time.time()))

    def _read(self, folder: Path) -> None:
        self._read_at = time.monotonic()
        try:
            self._key = choose_key(read_keys(folder), datetime.now(UTC))
        except ConfigError as error:
            log.error("requests are signed with the last key that could be read, if any: %s", error)


# ---- the IP addresses that are connected to


class GuardedResolver:
    """Scrapy's TWISTED_DNS_RESOLVER for IPv4 and IPv6 with the guard: Twisted connects only to the IP addresses that it returns.

    It lacks Scrapy's cache, which never forgets an IP address: the system's resolver is the cache. The download's deadline limits a lookup.
    """

    def __init__(self, reactor: Any, guard: Guard) -> None:
        self.reactor = reactor
        self.guard = guard

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        return cls(reactor, Guard.from_networks(crawler.settings.getlist("NEWSMILL_ALLOW_NETS")))

    def install_on_reactor(self) -> None:
        from twisted.internet._resolver import GAIResolver  # an earlier import would install a reactor

        self.reactor.installNameResolver(GAIResolver(self.reactor, getaddrinfo=make_guarded_getaddrinfo(self.guard)))

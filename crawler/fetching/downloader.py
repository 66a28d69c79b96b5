"""Downloads one URL: the page as the server sent it, or the outcome that says why there is none. Redirects are followed one by one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from scrapy import Request
from scrapy.http import Response

from crawler.fetching.failures import DOWNLOAD_ERRORS, failure_outcome
from crawler.fetching.middleware_download import MiddlewareDownload
from crawler.politeness.response_policy import RequestOutcomeError
from crawler.settings import DEADLINE_SECONDS, MAX_BODY_BYTES
from newsmill.exceptions import UrlError
from newsmill.model import Outcome, OutcomeRecord, Page
from newsmill.network.address_guard import Guard
from newsmill.text import urls
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence, join_sentences, keyed

MAX_REDIRECTS = 5  # RFC 9309 wants five for robots.txt, and no honest article needs more
MAX_HEADER_LINES = 500  # a page with all its cookies and policies has about 60
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})  # never archived
PERMANENT_STATUSES = frozenset({301, 308})
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5"

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
                if not redirects:
                    return response
                return OutcomeRecord(response.outcome, Sentence("{detail} (redirected to {url})", detail=response.detail, url=url))
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
                return OutcomeRecord(Outcome.TIMEOUT, Sentence("the deadline passed before {url} was requested", url=url))

    def _find_redirect_refusal(self, redirects: list[str], target: str, response: Response) -> OutcomeRecord | None:
        """The outcome of a redirect that would not end. A site that has set a cookie may serve the page at the same URL."""
        sets_cookie = b"Set-Cookie" in response.headers
        if target in redirects and not (sets_cookie and self.keeps_cookies):
            loop = Sentence("{url} leads back to {target}", url=redirects[-1], target=target)
            remedy = Sentence("it sets a cookie, which COOKIES_ENABLED = true in [scrapy] of sources.toml would keep")
            return OutcomeRecord(Outcome.REDIRECT_LOOP, join_sentences([loop, remedy] if sets_cookie else [loop]))
        if len(redirects) > MAX_REDIRECTS:
            return OutcomeRecord(Outcome.REDIRECT_LOOP, Sentence("more than {n} redirects", n=MAX_REDIRECTS))
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
            return OutcomeRecord(Outcome.CONNECTION, Sentence("the status {status} has not three digits", status=str(response.status)[:20]))
        count = sum(1 for _ in _header_lines(response))
        if count > MAX_HEADER_LINES:
            return OutcomeRecord(Outcome.TOO_MANY_HEADERS, Sentence("{n} header lines", n=count))
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
        return OutcomeRecord(Outcome.BAD_REDIRECT, Sentence("HTTP {status} without Location", status=response.status))
    try:
        return urls.normalize(_decode(location), url)
    except UrlError as e:
        return OutcomeRecord(Outcome.BAD_REDIRECT, keyed(redact(_decode(location))[:200], e))


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

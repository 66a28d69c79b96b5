"""The limit on the headers of a response: Twisted would read header lines without end in the event loop.

The limit uses names private to Scrapy 2.19 and Twisted: pyproject pins Scrapy to a minor version, and a test sends 100,000 headers.
"""

from __future__ import annotations

import contextlib
from typing import Any

from scrapy.core.downloader.handlers.http11 import _LenientHTTP11ClientFactory, _LenientHTTP11ClientProtocol, _LenientHTTPClientParser
from scrapy.crawler import Crawler
from twisted.internet.defer import fail
from twisted.python.failure import Failure
from twisted.web._newclient import HEADER, STATUS
from twisted.web.http_headers import InvalidHeaderName

from crawler.politeness.publisher_orders import LEASE_CHECKS
from crawler.politeness.throttle import LeaseLostError
from newsmill.text import urls
from newsmill.text.sentences import Sentence

MAX_HEAD_BYTES = 256 * 1024  # status line and headers: Chrome's limit; one read of 64 KB may hold the start of the body too
MAX_HEADER_LINE_BYTES = 64 * 1024  # Twisted's 16 KB are less than the longest policies; with more, slow bytes cost much CPU


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
        error = HeadTooLongError(Sentence("a header line of more than {n} bytes", n=MAX_HEADER_LINE_BYTES))
        self._giveUp(Failure(error))  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        if self._parser is not None and self._parser.state in (STATUS, HEADER):
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD_BYTES:
                self._giveUp(Failure(HeadTooLongError(Sentence("more than {n} bytes of headers", n=MAX_HEAD_BYTES))))  # type: ignore[no-untyped-call]
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

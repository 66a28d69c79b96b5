"""Scrapy's HTTP/1.1 handler with a cap on the head of a response: Twisted would read header lines for ever, one by one, in the event loop.

It leans on names private to Scrapy 2.19 and Twisted: pyproject pins Scrapy to a minor version, and a test sends 100,000 headers.
"""

from __future__ import annotations

from typing import Any

from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _LenientHTTP11ClientFactory, _LenientHTTP11ClientProtocol
from scrapy.crawler import Crawler
from twisted.python.failure import Failure
from twisted.web._newclient import HEADER, STATUS

MAX_HEAD = 256 * 1024  # bytes; browsers stop at 256 KB (Chrome) or earlier, and one read of 64 KB may hold the start of the body too


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
            if self.head > MAX_HEAD:
                self._giveUp(Failure(HeadTooLongError(f"more than {MAX_HEAD} bytes of headers")))  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class CappedFactory(_LenientHTTP11ClientFactory):
    def buildProtocol(self, addr: Any) -> CappedProtocol:  # noqa: N802 (Twisted's name)
        return CappedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]


class CappedHandler(HTTP11DownloadHandler):
    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._pool._factory = CappedFactory

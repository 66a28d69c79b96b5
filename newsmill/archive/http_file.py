"""A file at an http(s) URL, which is read in parts, each with a request of its own.

The URL is typed by the operator. A redirect is not, so every connection passes the IP address guard.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import base64
import io
import re
from contextlib import suppress
from ipaddress import ip_network
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

from newsmill import settings
from newsmill.network.address_guard import WEB_PORTS, Guard
from newsmill.network.guarded_connection import ConnectError, parse_target
from newsmill.network.http_get import FetchError, Hop, fetch_hop
from newsmill.text.redaction import redact
from newsmill.version import __version__

BLOCK_BYTES = 4 << 20  # that a request asks for; a request costs a connection
MAX_REDIRECTS = 5
MAX_REQUEST_SECONDS = 300.0
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


def open_http(url: str, block_bytes: int | None = None) -> BinaryIO:
    """The file at a URL. Raises OSError, also when it is read; FileNotFoundError if it does not exist."""
    return cast(BinaryIO, io.BufferedReader(HttpFile(url), block_bytes or BLOCK_BYTES))


class HttpFile(io.RawIOBase):
    """`version`: what changes with the contents of the file."""

    def __init__(self, url: str) -> None:
        """Sends a request for the first byte. Raises OSError."""
        self._url, self._guard, self._at = url, _make_guard(url), 0
        head = self._get(0, 0)
        found = _RANGE.fullmatch(head.headers.get("content-range", ""))
        if found is None:
            raise OSError(f"{redact(url)}: the server does not tell the size of the file; download the file first")
        self._length = int(found[1])
        self.version = " ".join(head.headers.get(name, "") for name in ("etag", "last-modified", "content-range"))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        size = min(len(buffer), self._length - self._at)
        if size <= 0:
            return 0
        body = self._get(self._at, self._at + size - 1).body
        if len(body) != size:
            raise OSError(f"{redact(self._url)}: the server sent {len(body):,} of {size:,} bytes")
        buffer[:size] = body
        self._at += size
        return size

    def _get(self, first: int, last: int) -> Hop:
        """These bytes of the file. Raises OSError."""
        url, others = self._url, {"Range": f"bytes={first}-{last}"} | _make_credentials(self._url)
        for _ in range(1 + MAX_REDIRECTS):
            try:
                hop = fetch_hop(
                    url,
                    self._guard,
                    f"Newsmill/{__version__}",
                    MAX_REQUEST_SECONDS,
                    accept="*/*",
                    max_bytes=last - first + 1,
                    others=others,
                )
            except FetchError as error:
                raise _translate(url, error) from error
            if hop.redirect is None:
                return hop
            url = hop.redirect
            others.pop("Authorization", None)  # it is for the host of the URL
        raise OSError(f"{redact(self._url)}: more than {MAX_REDIRECTS} redirects")


def _make_guard(url: str) -> Guard:
    """The guard for the connections of a URL: it allows the port of the URL, and its host if that is an IP address. Raises OSError."""
    try:
        target = parse_target(url)
    except ConnectError as error:
        raise OSError(str(error)) from error
    nets = settings.load().allow_nets
    with suppress(ValueError):
        nets = (*nets, ip_network(target.name))
    return Guard(nets, WEB_PORTS | {target.port})


def _make_credentials(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _translate(url: str, error: FetchError) -> OSError:
    if error.status in (404, 410):
        return FileNotFoundError(f"{redact(url)}: {error}")
    if error.status == 200:
        return OSError(f"{redact(url)}: the server does not send parts of files; download the file first")
    return OSError(f"{redact(url)}: {error}")

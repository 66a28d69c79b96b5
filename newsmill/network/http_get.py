"""One GET request to the host of somebody else, at an IP address that the guard allows.

It sends no cookies and no referrer, and follows no redirect: each hop is a request of its own, whose host is checked and throttled like the
first.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

import h11

from newsmill.exceptions import UrlError
from newsmill.network.address_guard import Guard
from newsmill.network.guarded_connection import ConnectError, TargetHost, connect, parse_target, seconds_left
from newsmill.text import urls
from newsmill.text.sentences import Sentence

RECEIVE_BYTES = 65_536


class FetchError(Exception):
    """Raised when a URL cannot be fetched; its text is the reason. `status`: of an answer."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Hop:
    """The answer to one request: the body, or the URL that it redirects to."""

    body: bytes = b""
    redirect: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


def fetch_hop(
    url: str, guard: Guard, agent: str, seconds: float, *, accept: str, max_bytes: int, others: Mapping[str, str] | None = None
) -> Hop:
    """Send a GET request with this Accept header and read the answer. Raises FetchError, also for a body of more than `max_bytes`.

    `others`: further headers. With a Range, only a part of the file is an answer.
    """
    deadline = time.monotonic() + seconds
    try:
        target = parse_target(url)
        with connect(target, guard, deadline) as connection:
            headers = {"User-Agent": agent, "Accept": accept, **(others or {})}
            return _exchange(connection, target, url, headers, deadline, max_bytes)
    except ConnectError as error:
        raise FetchError(error.args[0]) from None
    except TimeoutError:
        raise FetchError(Sentence("no answer within {n:.0f} s", n=seconds)) from None
    except ssl.SSLError as error:
        raise FetchError(f"the TLS connection failed ({error.reason})") from None
    except (OSError, h11.RemoteProtocolError) as error:
        raise FetchError(Sentence("the connection failed ({error})", error=type(error).__name__)) from None


def _exchange(connection: socket.socket, target: TargetHost, url: str, headers: Mapping[str, str], deadline: float, max_bytes: int) -> Hop:
    http = h11.Connection(h11.CLIENT)
    headers = {"Host": target.parts.netloc, **headers, "Accept-Encoding": "identity", "Connection": "close"}
    request = http.send(h11.Request(method="GET", target=target.path, headers=list(headers.items())))
    connection.sendall((request or b"") + (http.send(h11.EndOfMessage()) or b""))
    body, hop = bytearray(), Hop()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(seconds_left(deadline))
            http.receive_data(connection.recv(RECEIVE_BYTES))
        elif isinstance(event, h11.Response):
            hop = _read_head(event, url, 206 if "Range" in headers else 200)
            if hop.redirect is not None:
                return hop
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_bytes:
                raise FetchError(Sentence("the body is larger than {n:,} bytes", n=max_bytes))
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return replace(hop, body=bytes(body))


def _read_head(response: h11.Response, url: str, wanted: int) -> Hop:
    """The target of a redirect, or the headers of an answer with the wanted status. Raises FetchError."""
    headers = {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in response.headers}
    if response.status_code in (301, 302, 303, 307, 308) and "location" in headers:
        try:
            return Hop(redirect=urls.normalize(urljoin(url, headers["location"])))
        except (UrlError, ValueError):
            raise FetchError("it redirects to something that is not a URL") from None
    if response.status_code != wanted:
        raise FetchError(Sentence("HTTP {status}", status=response.status_code), response.status_code)
    return Hop(headers=headers)

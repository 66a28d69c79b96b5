"""One GET request to the host of somebody else, at an IP address that the guard allows.

It sends no cookies and no referrer, and follows no redirect: each hop is a request of its own, whose host is checked and throttled like the
first.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

import h11

from newsmill.exceptions import UrlError
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.http_post import DeliveryError, TargetHost, connect, parse_target, seconds_left
from newsmill.text import urls
from newsmill.text.sentences import Sentence

RECEIVE_BYTES = 65_536


class FetchError(Exception):
    """Raised when a URL cannot be fetched; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Hop:
    """The answer to one request: the body, or the URL that it redirects to."""

    body: bytes = b""
    redirect: str | None = None


def fetch_hop(url: str, guard: Guard, agent: str, seconds: float, *, accept: str, max_bytes: int) -> Hop:
    """Send a GET request with this Accept header and read the answer. Raises FetchError, also for a body of more than `max_bytes`."""
    deadline = time.monotonic() + seconds
    try:
        target = parse_target(url)
        with connect(target, guard, deadline) as connection:
            return _exchange(connection, target, url, {"User-Agent": agent, "Accept": accept}, deadline, max_bytes)
    except DeliveryError as error:
        raise FetchError(str(error)) from None
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
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(seconds_left(deadline))
            http.receive_data(connection.recv(RECEIVE_BYTES))
        elif isinstance(event, h11.Response):
            if redirect := _read_redirect(event, url):
                return Hop(redirect=redirect)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_bytes:
                raise FetchError(Sentence("the body is larger than {n:,} bytes", n=max_bytes))
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return Hop(bytes(body))


def _read_redirect(response: h11.Response, url: str) -> str | None:
    """The target of a redirect; None for an answer. Raises FetchError."""
    headers = {bytes(name): bytes(value) for name, value in response.headers}
    if response.status_code in (301, 302, 303, 307, 308) and b"location" in headers:
        try:
            return urls.normalize(urljoin(url, headers[b"location"].decode("latin-1")))
        except (UrlError, ValueError):
            raise FetchError("it redirects to something that is not a URL") from None
    if response.status_code != 200:
        raise FetchError(Sentence("HTTP {status}", status=response.status_code))
    return None

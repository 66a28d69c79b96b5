"""One GET request for an image, to an IP address that the guard allows: limits on bytes, time and redirects, no cookies, no referrer.

Redirects are not followed here: each hop is a request of its own, whose host is checked and throttled like the first.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urljoin

import h11

from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.exceptions import UrlError
from newsmill.web.http_post import DeliveryError, TargetHost, connect, parse_target, seconds_left

MAX_IMAGE_BYTES = 8_000_000
MAX_HOP_SECONDS = 10.0
RECEIVE_BYTES = 65_536
ACCEPT = "image/webp,image/jpeg,image/png,image/gif;q=0.9"


class ImageError(Exception):
    """Raised when an image cannot be fetched; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Hop:
    """The answer to one request: the body, or the URL that it redirects to."""

    body: bytes = b""
    redirect: str | None = None


def fetch_hop(url: str, guard: Guard, agent: str, seconds: float = MAX_HOP_SECONDS, *, max_bytes: int = MAX_IMAGE_BYTES) -> Hop:
    """Send the request and read the answer. Raises ImageError, also for a body of more than `max_bytes`."""
    deadline = time.monotonic() + seconds
    try:
        target = parse_target(url)
        with connect(target, guard, deadline) as connection:
            return _exchange(connection, target, url, agent, deadline, max_bytes)
    except DeliveryError as error:
        raise ImageError(str(error)) from None
    except TimeoutError:
        raise ImageError(f"no answer within {seconds:.0f} s") from None
    except ssl.SSLError as error:
        raise ImageError(f"the TLS connection failed ({error.reason})") from None
    except (OSError, h11.RemoteProtocolError) as error:
        raise ImageError(f"the connection failed ({type(error).__name__})") from None


def _exchange(connection: socket.socket, target: TargetHost, url: str, agent: str, deadline: float, max_bytes: int) -> Hop:
    http = h11.Connection(h11.CLIENT)
    path = (target.parts.path or "/") + (f"?{target.parts.query}" if target.parts.query else "")
    headers = {"Host": target.parts.netloc, "User-Agent": agent, "Accept": ACCEPT, "Accept-Encoding": "identity", "Connection": "close"}
    request = http.send(h11.Request(method="GET", target=path, headers=list(headers.items())))
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
                raise ImageError(f"the body is larger than {max_bytes:,} bytes")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return Hop(bytes(body))


def _read_redirect(response: h11.Response, url: str) -> str | None:
    """The target of a redirect; None for an image. Raises ImageError."""
    headers = {bytes(name): bytes(value) for name, value in response.headers}
    if response.status_code in (301, 302, 303, 307, 308) and b"location" in headers:
        try:
            return urls.normalize(urljoin(url, headers[b"location"].decode("latin-1")))
        except (UrlError, ValueError):
            raise ImageError("it redirects to something that is not a URL") from None
    if response.status_code != 200:
        raise ImageError(f"HTTP {response.status_code}")
    return None

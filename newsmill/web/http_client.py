"""One request to the host of somebody else, at an IP address that the guard allows: a POST to a receiver, or a GET with limits.

They are written on a socket: http.client restarts its timeout with each received byte, but one deadline must cover the whole exchange. A
message is signed as Standard Webhooks specifies it. A GET sends no cookies and no referrer. No redirect is followed: each hop of a GET is a
request of its own, whose host is checked and throttled like the first.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, urljoin, urlsplit

import h11
from standardwebhooks.webhooks import Webhook as Signer

from newsmill.address_guard import Guard, make_guarded_getaddrinfo, refusal_reason
from newsmill.exceptions import UrlError
from newsmill.text import urls
from newsmill.text.redaction import redact
from newsmill.version import __version__

MAX_POST_SECONDS = 10.0  # for connection, request and status line
MAX_STATUS_LINE_BYTES = 8_192
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]")


class DeliveryError(Exception):
    """Raised when a message was not delivered; its text is the reason."""


def find_target_refusal(url: str, guard: Guard) -> str | None:
    """Why a URL may not be called with messages, as far as that needs no connection; None if it may. Each connection is checked again."""
    if redact(url) != url:  # it would be stored and shown
        return "expected a URL without user, password or password parameter: the signature shows who sent a message"
    return refusal_reason(url, guard)


def build_headers(delivery_id: str, secret: str | None, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of a delivery, with the symmetric signature v1 of Standard Webhooks if there is a secret."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Newsmill/{__version__}",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if secret is not None:
        headers["webhook-signature"] = Signer(secret).sign(delivery_id, now.astimezone(UTC), body.decode())
    return headers


@dataclass(frozen=True, slots=True)
class TargetHost:
    """Where to connect."""

    parts: SplitResult
    name: str
    port: int
    uses_tls: bool

    @property
    def path(self) -> str:
        """The path with the query, as a request line has it."""
        return (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")


def post(url: str, body: bytes, headers: Mapping[str, str], guard: Guard, seconds: float = MAX_POST_SECONDS) -> int:
    """Send a POST request to an IP address that the guard allows; the status. Follows no redirect. Raises DeliveryError."""
    target, deadline = parse_target(url), time.monotonic() + seconds
    try:
        with connect(target, guard, deadline) as connection:
            connection.sendall(build_request(target, body, headers))  # the timeout covers the whole call
            return read_status(connection, deadline)
    except TimeoutError:
        raise DeliveryError(f"no answer within {seconds:.0f} s") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"the certificate is not valid: {error.verify_message}") from None
    except OSError as error:
        raise DeliveryError(f"the connection failed ({type(error).__name__})") from None


def parse_target(url: str) -> TargetHost:
    """The parts of a URL. Raises DeliveryError."""
    try:
        parts = urlsplit(urls.normalize(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        raise DeliveryError(f"the URL is invalid: {error}") from None
    return TargetHost(parts, str(parts.hostname), port, parts.scheme == "https")


def build_request(target: TargetHost, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of the request. The URL is normalised to ASCII, so nothing in it can end a line."""
    headers = {"Host": target.parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def connect(target: TargetHost, guard: Guard, deadline: float) -> socket.socket:
    """A connection to the first allowed IP address of the host that answers. Raises DeliveryError and OSError."""
    try:
        candidates = make_guarded_getaddrinfo(guard)(target.name, target.port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        raise DeliveryError(f"the host {target.name} is unknown") from None
    if not candidates:
        raise DeliveryError("the URL leads into a private network, or its port is not 80 or 443; see NEWSMILL_ALLOW_NETS")
    problem: OSError | None = None
    for family, kind, protocol, _, socket_address in candidates:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds_left(deadline))
            connection.connect(socket_address)
            return ssl.create_default_context().wrap_socket(connection, server_hostname=target.name) if target.uses_tls else connection
        except OSError as error:
            connection.close()
            problem = error
    raise problem or OSError


def read_status(connection: socket.socket, deadline: float) -> int:
    """The status in the first line of the response; the rest is not read. Raises DeliveryError and OSError."""
    line = b""
    while b"\n" not in line and len(line) < MAX_STATUS_LINE_BYTES:
        connection.settimeout(seconds_left(deadline))
        part = connection.recv(MAX_STATUS_LINE_BYTES)
        if not part:
            break
        line += part
    match = STATUS_LINE.match(line)
    if match is None:
        raise DeliveryError("the answer was not HTTP")
    return int(match[1])


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


# ---- GET ----------------------------------------------------------------------------------------------------------------------

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
        raise FetchError(f"no answer within {seconds:.0f} s") from None
    except ssl.SSLError as error:
        raise FetchError(f"the TLS connection failed ({error.reason})") from None
    except (OSError, h11.RemoteProtocolError) as error:
        raise FetchError(f"the connection failed ({type(error).__name__})") from None


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
                raise FetchError(f"the body is larger than {max_bytes:,} bytes")
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
        raise FetchError(f"HTTP {response.status_code}")
    return None

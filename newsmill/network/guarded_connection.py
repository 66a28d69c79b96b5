"""A connection to the host of a URL, at an IP address that the guard allows.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from newsmill.exceptions import UrlError
from newsmill.network.address_guard import Guard, make_guarded_getaddrinfo
from newsmill.text import urls
from newsmill.text.sentences import Sentence


class ConnectError(Exception):
    """Raised when a URL is invalid, or its host is unknown or at no IP address that is allowed; its text is the reason."""


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


def parse_target(url: str) -> TargetHost:
    """The parts of a URL. Raises ConnectError."""
    try:
        parts = urlsplit(urls.normalize(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        raise ConnectError(Sentence("the URL is invalid: {error}", error=error)) from None
    return TargetHost(parts, str(parts.hostname), port, parts.scheme == "https")


def connect(target: TargetHost, guard: Guard, deadline: float) -> socket.socket:
    """A connection to the first allowed IP address of the host that answers. Raises ConnectError and OSError."""
    try:
        candidates = make_guarded_getaddrinfo(guard)(target.name, target.port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        raise ConnectError(Sentence("the host {name} is unknown", name=target.name)) from None
    if not candidates:
        raise ConnectError(Sentence("the URL leads into a private network, or its port is not 80 or 443; see NEWSMILL_ALLOW_NETS"))
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


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds

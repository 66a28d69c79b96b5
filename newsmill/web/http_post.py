"""One POST to a stranger, under the crawler's guard: the address that was judged is the one that is connected to; no redirect, no proxy.

Written on a socket, because only the status line is of interest and all of it must fit into one deadline: http.client waits anew for each
byte that a receiver drips.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from newsmill import urls
from newsmill.address_guard import Guard, guarded
from newsmill.exceptions import UrlError

SECONDS = 10.0  # for connection, sending and the answer's first line
LONGEST = 8_192  # bytes of that line

STATUS = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]")


class PostError(Exception):
    """Raised when a message did not get through; its text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect."""

    parts: SplitResult
    name: str
    port: int
    tls: bool


def post(url: str, body: bytes, headers: Mapping[str, str], guard: Guard, seconds: float = SECONDS) -> int:
    """The status of the answer. Raises PostError."""
    place, deadline = place_of(url), time.monotonic() + seconds
    try:
        with connect(place, guard, deadline) as door:
            door.sendall(request(place, body, headers))  # its timeout is for all of it, since Python 3.5
            return status_of(door, deadline)
    except TimeoutError:
        raise PostError(f"no answer within {seconds:.0f} s") from None
    except ssl.SSLCertVerificationError as error:
        raise PostError(f"the certificate is not valid: {error.verify_message}") from None
    except OSError as error:
        raise PostError(f"the connection broke ({type(error).__name__})") from None


def place_of(url: str) -> Place:
    """The parts of an address. Raises PostError."""
    try:
        parts = urlsplit(urls.normal(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        raise PostError(f"not an address: {error}") from None
    return Place(parts, str(parts.hostname), port, parts.scheme == "https")


def request(place: Place, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of the request. The address is in normal form, all ASCII, so nothing in it can end a line."""
    path = (place.parts.path or "/") + (f"?{place.parts.query}" if place.parts.query else "")
    said = {"Host": place.parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def connect(place: Place, guard: Guard, deadline: float) -> socket.socket:
    """A connection to the first address of the name that the guard allows and that answers. Raises PostError and OSError."""
    try:
        found = guarded(guard)(place.name, place.port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        raise PostError(f"the host {place.name} is unknown") from None
    if not found:
        raise PostError("the address leads into a private network, or to a port that is none of the web's; see NEWSMILL_ALLOW_NETS")
    problem: OSError | None = None
    for family, kind, protocol, _, address in found:
        door = socket.socket(family, kind, protocol)
        try:
            door.settimeout(left(deadline))
            door.connect(address)
            return ssl.create_default_context().wrap_socket(door, server_hostname=place.name) if place.tls else door
        except OSError as error:
            door.close()
            problem = error
    raise problem or OSError


def status_of(door: socket.socket, deadline: float) -> int:
    """The status in the first line of the answer; the rest is not read. Raises PostError and OSError."""
    line = b""
    while b"\n" not in line and len(line) < LONGEST:
        door.settimeout(left(deadline))
        part = door.recv(LONGEST)
        if not part:
            break
        line += part
    match = STATUS.match(line)
    if match is None:
        raise PostError("the answer was not HTTP")
    return int(match[1])


def left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds

"""One signed POST request to the host of somebody else, at an IP address that the guard allows.

It is written on a socket: http.client restarts its timeout with each received byte, but one deadline must cover the whole exchange. A
message is signed as Standard Webhooks specifies it. No redirect is followed.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook as Signer

from newsmill.network.address_guard import Guard
from newsmill.network.guarded_connection import ConnectError, TargetHost, connect, parse_target, seconds_left
from newsmill.network.submitted_urls import refusal_reason
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence
from newsmill.version import __version__

GONE = 410
MAX_POST_SECONDS = 10.0  # for connection, request and status line
MAX_STATUS_LINE_BYTES = 8_192
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]")


class DeliveryError(Exception):
    """Raised when a message was not delivered; its text is the reason. `status` is that of the answer."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def is_final(self) -> bool:
        """Whether the receiver wants no more messages."""
        return self.status == GONE


def find_target_refusal(url: str, guard: Guard) -> str | None:
    """Why a URL may not be called with messages, as far as that needs no connection; None if it may. Each connection is checked again."""
    if redact(url) != url:  # it would be stored and shown
        return Sentence("expected a URL without user, password or password parameter: the signature shows who sent a message")
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


def post_message(url: str, payload: Any, message_id: str, secret: str | None, guard: Guard, now: datetime) -> int:
    """Send a message as JSON, signed if there is a secret; the status of the answer. Raises DeliveryError."""
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return check_status(post(url, body, build_headers(message_id, secret, body, now), guard))


def check_status(status: int) -> int:
    """The status of an answer that accepts a message. Raises DeliveryError."""
    if not 200 <= status < 300:
        raise DeliveryError(Sentence("the receiver answered {status}", status=status), status)
    return status


def post(url: str, body: bytes, headers: Mapping[str, str], guard: Guard, seconds: float = MAX_POST_SECONDS) -> int:
    """Send a POST request to an IP address that the guard allows; the status. Follows no redirect. Raises DeliveryError."""
    deadline = time.monotonic() + seconds
    try:
        target = parse_target(url)
        with connect(target, guard, deadline) as connection:
            connection.sendall(build_request(target, body, headers))  # the timeout covers the whole call
            return read_status(connection, deadline)
    except ConnectError as error:
        raise DeliveryError(error.args[0]) from None
    except TimeoutError:
        raise DeliveryError(Sentence("no answer within {n:.0f} s", n=seconds)) from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(Sentence("the certificate is not valid: {error}", error=error.verify_message)) from None
    except OSError as error:
        raise DeliveryError(Sentence("the connection failed ({error})", error=type(error).__name__)) from None


def build_request(target: TargetHost, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of the request. The URL is normalised to ASCII, so nothing in it can end a line."""
    headers = {"Host": target.parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


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
        raise DeliveryError(Sentence("the answer was not HTTP"))
    return int(match[1])

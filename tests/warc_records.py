"""WARC records as other programs write them."""

from __future__ import annotations

DATE = "2020-03-01T09:30:00Z"


def record(
    url: str,
    body: bytes = b"",
    *,
    kind: str = "response",
    status: int = 200,
    content_type: str = "text/html",
    date: str = DATE,
    http_headers: tuple[str, ...] = (),
) -> bytes:
    """A record, not compressed, whose block is an HTTP response."""
    lines = [f"HTTP/1.1 {status} Any", *([f"Content-Type: {content_type}"] if content_type else []), *http_headers]
    return make_record(url, "\r\n".join([*lines, "", ""]).encode() + body, kind=kind, date=date)


def make_record(url: str, block: bytes, *, kind: str = "response", date: str = DATE) -> bytes:
    """A record, not compressed, with any block."""
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: {date}\r\nContent-Length: {len(block)}\r\n\r\n"
    return head.encode() + block + b"\r\n\r\n"

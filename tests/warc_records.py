"""WARC records as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SITE = "https://paper.example"
DATE = "2020-03-01T09:30:00Z"
WORDS = "The {} decided on Tuesday after a long debate that the bridge over the river is built again next year, for three million."


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


def article(topic: str, language: str = "en", sentence: str = WORDS, **options: Any) -> bytes:
    """A record with an article of eight paragraphs."""
    paragraphs = "".join(f"<p>{number}. {sentence.format(topic)}</p>" for number in range(1, 9))
    html = f"<html lang={language}><head><title>The {topic}</title></head><body><article><h1>The {topic}</h1>{paragraphs}"
    return record(options.pop("url", f"{SITE}/{topic}"), html.encode(), **options)


def list_bytes(folder: Path) -> dict[str, bytes]:
    """The bytes of every file in a folder by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

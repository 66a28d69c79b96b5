"""HTTP responses in WARC records of any program."""

from __future__ import annotations

import gzip
import re
import zlib
from datetime import UTC, datetime
from io import RawIOBase
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from newsmill.model import Page

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r\n")  # the size in bytes, and extensions
_HEAD_END = re.compile(rb"\r?\n\r?\n")  # of an HTTP message; some programs write only the line feeds
_LINE_END = re.compile(r"\r?\n")
MAX_READ_BYTES = 64 * 1024


def read_responses(file: BinaryIO, *, max_records: int, max_bytes: int) -> list[Page]:
    """The pages of the response records of any program's WARC file, plain or gzipped. Other records are skipped.

    Raises ValueError for bytes that are not a WARC file, and for more than `max_records` records or `max_bytes` unpacked bytes.
    """
    pages: list[Page] = []
    is_gzipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    unpacked = CappedReader(cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzipped else file, max_bytes)
    try:
        for number, record in enumerate(ArchiveIterator(unpacked, parse_http=False, stream_detect=False), 1):
            if number > max_records:
                raise ValueError(f"the WARC file has over {max_records} records")
            block = record.reader.read()
            if len(block) < record.content_length:
                raise ValueError("the WARC file ends inside a record")
            if is_http_response(record):
                pages.append(parse_response(read_target(record), record.headers.get("WARC-Date") or "", block))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"the WARC file cannot be read: {error}") from error
    if not pages:
        raise ValueError("the WARC file has no response record")
    return pages


class CappedReader(RawIOBase):
    """A file that raises ValueError when more than `max_bytes` are read, whatever they are: fastwarc skips blank lines between records.

    `max_bytes` None: no limit. `at`: the offset in the file, which may be a pipe. fastwarc holds the lock of the interpreter while it works
    on what one call returns, so a call returns at most MAX_READ_BYTES.
    """

    def __init__(self, file: BinaryIO, max_bytes: int | None, at: int = 0) -> None:
        self._file, self._bytes_left, self._at = file, max_bytes, at

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size if 0 <= size <= MAX_READ_BYTES else MAX_READ_BYTES)
        self._at += len(data)
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
            if self._bytes_left < 0:
                raise ValueError("the records of the WARC file are too large together")
        return data

    def tell(self) -> int:
        return self._at


def read_target(record: WarcRecord) -> str:
    """The URL of a record; some programs write it in angle brackets."""
    return (record.headers.get("WARC-Target-URI") or "").strip("<>")


def is_http_response(record: WarcRecord) -> bool:
    """Whether a record is the response to an HTTP request. Heritrix writes the answers of DNS as responses, too."""
    return record.record_type == WarcRecordType.response and read_target(record).partition(":")[0].lower() in ("", "http", "https")


def read_warc_date(text: str) -> datetime:
    """The time of a WARC-Date. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def parse_response(url: str, date: str, block: bytes) -> Page:
    """The page of a response record, from its URL, its WARC-Date and its block. Raises ValueError."""
    end = _HEAD_END.search(block)
    head, body = (block, b"") if end is None else (block[: end.start()], block[end.end() :])
    first, *lines = _LINE_END.split(head.decode("latin-1"))
    status = first.split(" ", 2)[1:2]
    if not first.startswith("HTTP/") or not status or not status[0].isdecimal() or len(status[0]) != 3:
        raise ValueError(f"the response record of {url[:200]!r} holds no HTTP response")
    headers = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    coding = next((value.lower() for name, value in headers if name.lower() == "transfer-encoding"), "identity")
    if coding == "chunked":
        body = _join_chunks(body)
    elif coding != "identity":
        raise ValueError(f"the body of {url[:200]!r} is in Transfer-Encoding {coding[:50]!r}; write it as the client decoded it")
    try:
        fetched_at = read_warc_date(date)
    except ValueError:
        raise ValueError(f"the response record of {url[:200]!r} has no WARC-Date") from None
    return Page(url, url, fetched_at, int(status[0]), headers, body)


def _join_chunks(body: bytes) -> bytes:
    """The body without the chunks of HTTP/1.1 (RFC 9112, section 7.1), which wget keeps. Other programs keep only the header.

    A body that does not begin with a chunk is returned as it is, and one that ends early up to its end.
    """
    parts: list[bytes] = []
    at = 0
    while (head := _CHUNK_HEAD.match(body, at)) is not None and (size := int(head[1], 16)):
        parts.append(body[head.end() : head.end() + size])
        at = head.end() + size + 2
    return b"".join(parts) if parts or head is not None else body

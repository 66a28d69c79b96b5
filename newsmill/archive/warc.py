"""Pages as WARC records and back (ISO 28500): response, request, metadata and, of a rendered page, conversion; each a gzip member.

The further pages of an article follow its first page with the same records. Its metadata has their number.

A body is stored as received, with its Content-Encoding. The Transfer-Encoding header is dropped: the client has already decoded it.
An item, whose fields a program gave, is a resource and a metadata record: no server's response can be mistaken for one.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from io import RawIOBase
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import quote, urlsplit

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from pydantic import TypeAdapter

from newsmill.exceptions import ArchiveDamaged
from newsmill.model import RENDERED_TYPE, Hint, Page
from newsmill.version import __version__

STORE_LEVEL = 0  # gzip level for compressed bodies: 3 % larger than with level 6, for a third of its CPU time
COMPRESS_LEVEL = 6  # gzip level for other records
RESPONSE_TYPE = "application/http; msgtype=response"
REQUEST_TYPE = "application/http; msgtype=request"
METADATA_TYPE = ITEM_TYPE = "application/json"
ITEM_STATUS = 200
ITEM_HEADERS = (("Content-Type", ITEM_TYPE),)
FIRST_RECORDS = (WarcRecordType.response, WarcRecordType.resource)
MAX_PAGE_RECORDS = 4  # a page's last record is its metadata
SOFTWARE = b"software: Newsmill "
HOP_BY_HOP_HEADERS = frozenset({"transfer-encoding"})
GZIP_MAGIC = b"\x1f\x8b"
_HEAD_WITH_COMMENT = GZIP_MAGIC + b"\x08\x10\0\0\0\0\0\xff"  # deflate, a comment follows, no time, unknown system
_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r\n")  # the size in bytes, and extensions
_HEAD_END = re.compile(rb"\r?\n\r?\n")  # of an HTTP message; some programs write only the line feeds
_LINE_END = re.compile(r"\r?\n")
MAX_READ_BYTES = 64 * 1024

Headers = tuple[tuple[str, str], ...]


def write_warcinfo(out: BinaryIO, now: datetime) -> None:
    """Append the warcinfo record, which names the program."""
    record = WarcRecord()
    record.init_headers(record_type=WarcRecordType.warcinfo)
    record.headers["WARC-Date"] = _format_date(now)
    record.headers["Content-Type"] = "application/warc-fields"
    _write_record(out, record, SOFTWARE + f"{__version__}\r\nformat: WARC File Format 1.1\r\n".encode(), COMPRESS_LEVEL)


def make_filler(length: int, now: datetime) -> bytes:
    """A warcinfo record of exactly `length` bytes, in the place of the records of erased pages. Raises ValueError below some 300 bytes.

    The gzip header has a comment (RFC 1952, section 2.3) of the bytes that are left over, so that the pages behind it keep their offsets.
    """
    record = WarcRecord()
    record.init_headers(record_type=WarcRecordType.warcinfo)
    record.headers["WARC-Date"] = _format_date(now)
    record.headers["Content-Type"] = "application/warc-fields"
    record.set_bytes_content(SOFTWARE + f"{__version__}\r\ndescription: a page was erased here\r\n".encode())
    plain = io.BytesIO()
    record.write(plain, checksum_data=True)
    packer = zlib.compressobj(COMPRESS_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(plain.getvalue()) + packer.flush()
    tail = struct.pack("<II", zlib.crc32(plain.getvalue()), len(plain.getvalue()))
    padding = length - len(_HEAD_WITH_COMMENT) - len(packed) - len(tail) - 1
    if padding < 0:
        raise ValueError(f"{length} bytes are too few for a WARC record")
    return _HEAD_WITH_COMMENT + b" " * padding + b"\0" + packed + tail


def write_page(out: BinaryIO, page: Page) -> int:
    """Append a page's records. Returns the offset of the first. Body and headers may be any bytes."""
    return _write_item(out, page) if page.is_item else _write_response(out, page)


def _write_item(out: BinaryIO, page: Page) -> int:
    offset = out.tell()
    resource = _new_record(WarcRecordType.resource, ITEM_TYPE, page)
    _write_record(out, resource, page.body, COMPRESS_LEVEL)
    metadata = _new_record(WarcRecordType.metadata, METADATA_TYPE, page)
    metadata.headers["WARC-Concurrent-To"] = f"<{resource.record_id}>"
    _write_record(out, metadata, json.dumps(_metadata(page)).encode(), COMPRESS_LEVEL)
    return offset


def _write_response(out: BinaryIO, page: Page) -> int:
    offset = out.tell()
    is_compressed = page.header("content-encoding") is not None
    response = _new_record(WarcRecordType.response, RESPONSE_TYPE, page)
    if page.ip is not None:
        response.headers["WARC-IP-Address"] = page.ip
    _write_record(
        out,
        response,
        _encode_head(_status_line(page.status), _end_to_end_headers(page.headers)) + page.body,
        STORE_LEVEL if is_compressed else COMPRESS_LEVEL,
    )
    for kind, content_type, content in (
        (WarcRecordType.request, REQUEST_TYPE, _encode_head(_request_line(page.url), page.request_headers)),
        (WarcRecordType.metadata, METADATA_TYPE, json.dumps(_metadata(page)).encode()),
    ):
        record = _new_record(kind, content_type, page)
        record.headers["WARC-Concurrent-To"] = response.headers["WARC-Record-ID"]
        _write_record(out, record, content, COMPRESS_LEVEL)
    if page.rendered is not None:
        record = _new_record(WarcRecordType.conversion, RENDERED_TYPE, page)
        record.headers["WARC-Refers-To"] = response.headers["WARC-Record-ID"]
        _write_record(out, record, page.rendered, COMPRESS_LEVEL)
    for part in page.parts:
        _write_response(out, part)
    return offset


def _new_record(kind: WarcRecordType, content_type: str, page: Page) -> WarcRecord:
    record = WarcRecord()
    record.init_headers(record_type=kind)
    record.headers["WARC-Target-URI"] = quote(page.url, safe="%!*'();:@&=+$,/?#[]-._~", errors="replace")
    record.headers["WARC-Date"] = _format_date(page.fetched_at)
    record.headers["Content-Type"] = content_type
    return record


def _format_date(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _write_record(out: BinaryIO, record: WarcRecord, content: bytes, level: int) -> None:
    record.set_bytes_content(content)
    writer = GzipWriter(out, level)
    record.write(writer, checksum_data=True)
    writer.finish()  # ends the gzip member: `warcio check` rejects a file of one member


def _status_line(status: int) -> str:
    # The client does not report the server's reason phrase.
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ''}"


def _request_line(url: str) -> str:
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"GET {quote(parts.path or '/', safe='%/:@!$&()*+,;=~-._', errors='replace')}{query} HTTP/1.1"


def _end_to_end_headers(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in HOP_BY_HOP_HEADERS)


def _encode_head(first: str, headers: Headers) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return b"".join(_encode_line(line) + b"\r\n" for line in lines) + b"\r\n"


def _encode_line(line: str) -> bytes:
    """Header text is Latin-1 (RFC 9110, obs-text). Other text is written as UTF-8 here, and exactly in the metadata."""
    flat = line.replace("\r", " ").replace("\n", " ")
    try:
        return flat.encode("latin-1")
    except UnicodeEncodeError:
        return flat.encode("utf-8", "replace")


def _metadata(page: Page) -> dict[str, Any]:
    """What HTTP messages do not carry. Headers only where their records do not reproduce them exactly."""
    data: dict[str, Any] = {
        "requested_url": page.requested_url,
        "url": page.url,
        "fetched_at": page.fetched_at.isoformat(),
        "ip": page.ip,
        "redirects": page.redirects,
        "source": page.source,
        "hint": _hint_adapter().dump_python(page.hint, mode="json", exclude_defaults=True),
    }
    if page.rendered is not None:
        data["rendered"] = True  # a conversion record follows
    if page.rendering_failure is not None:
        data["rendering_failure"] = page.rendering_failure
    if page.parts:
        data["parts"] = len(page.parts)  # the records of so many further pages follow
    if _parse_message(_encode_head("", _end_to_end_headers(page.headers)))[1] != _end_to_end_headers(page.headers):
        data["headers"] = _end_to_end_headers(page.headers)
    if _parse_message(_encode_head("", page.request_headers))[1] != page.request_headers:
        data["request_headers"] = page.request_headers
    return data


@cache
def _hint_adapter() -> TypeAdapter[Hint]:
    return TypeAdapter(Hint)  # 0.03 s of CPU, which commands that read no page need not spend


def read_page(file: BinaryIO, offset: int) -> Page:
    """The page whose first record begins at `offset`. Checks every record's digest. Raises ArchiveDamaged."""
    return _read_at(file, offset)[0]


def _read_at(file: BinaryIO, offset: int) -> tuple[Page, int]:
    """The page at an offset, and the number of its records. Raises ArchiveDamaged."""
    file.seek(offset)
    try:
        return _read_whole_page(_read_records(file), offset)
    except (OSError, KeyError, ValueError) as error:  # fastwarc: bad gzip, bad header; ours: bad JSON, wrong record
        raise ArchiveDamaged(f"no page at offset {offset}: {error}") from error


def copy_page(file: BinaryIO, offset: int) -> bytes:
    """The bytes of the page's records at `offset`. Checked as by `read_page`. Raises ArchiveDamaged."""
    _, count = _read_at(file, offset)
    file.seek(offset)
    after = next((record.stream_pos for record in islice(ArchiveIterator(file, parse_http=False), count, count + 1)), None)
    file.seek(offset)
    return file.read() if after is None else file.read(after - offset)


def locate_pages(file: BinaryIO, is_wanted: Callable[[Iterable[str]], bool]) -> list[tuple[int, int]]:
    """(offset, end) of the pages of which `is_wanted` is true for their URLs: requested, final and those between.

    A page and the further pages of its article are one. Raises ArchiveDamaged.
    """
    starts: list[tuple[int, list[str]]] = []  # of pages, and of warcinfo records, which have no URLs
    parts = 0  # further pages of the last page that are still to come
    try:
        for record in ArchiveIterator(file, parse_http=False):
            if record.record_type in FIRST_RECORDS and parts:
                parts -= 1
            elif record.record_type in FIRST_RECORDS:
                starts.append((record.stream_pos, [read_target(record)]))
            elif record.record_type == WarcRecordType.warcinfo:
                starts.append((record.stream_pos, []))
            elif record.record_type == WarcRecordType.metadata and starts:
                data = json.loads(record.reader.read())
                starts[-1][1].extend([data["requested_url"], data["url"], *data["redirects"]])
                parts = data.get("parts", parts)
    except (OSError, KeyError, ValueError) as error:
        raise ArchiveDamaged(f"a record cannot be read: {error}") from error
    ends = [*(offset for offset, _ in starts[1:]), file.seek(0, io.SEEK_END)]
    return [(offset, end) for (offset, urls), end in zip(starts, ends, strict=True) if urls and is_wanted(urls)]


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


def _read_whole_page(records: Iterator[tuple[WarcRecordType, bytes]], offset: int) -> tuple[Page, int]:
    """The next page with its rendered DOM and its further pages, and the number of their records. Raises ArchiveDamaged, ValueError."""
    contents = _read_page_records(records, offset)
    page, following = build_page(contents)
    count = len(contents)
    if following.is_rendered:
        page = replace(page, rendered=_read_rendered(next(records, None), offset))
        count += 1
    read = [_read_whole_page(records, offset) for _ in range(following.parts)]
    return replace(page, parts=tuple(part for part, _ in read)), count + sum(records for _, records in read)


def _read_page_records(records: Iterator[tuple[WarcRecordType, bytes]], offset: int) -> dict[str, bytes]:
    """The contents of the next page's records by the name of their type, up to its metadata. Raises ArchiveDamaged, ValueError."""
    contents: dict[str, bytes] = {}
    for kind, content in islice(records, MAX_PAGE_RECORDS):
        if not contents and kind not in FIRST_RECORDS:
            raise ValueError(f"expected a response or a resource, found {kind}")
        contents[str(kind)] = content
        if kind == WarcRecordType.metadata:
            return contents
    raise ArchiveDamaged(f"the file ends inside the page at offset {offset}")


def _read_records(file: BinaryIO) -> Iterator[tuple[WarcRecordType, bytes]]:
    for record in ArchiveIterator(file, parse_http=False):
        # fastwarc does not report a truncated file: it yields what is left of the record and stops.
        if not record.verify_block_digest():
            raise ArchiveDamaged(f"record {record.record_id} was changed or cut off after it was written")
        yield record.record_type, record.reader.read()


def _read_rendered(conversion: tuple[WarcRecordType, bytes] | None, offset: int) -> bytes:
    """The rendered DOM. Raises ArchiveDamaged when its record is missing."""
    if conversion is None or conversion[0] != WarcRecordType.conversion:
        raise ArchiveDamaged(f"the page at offset {offset} has no conversion record")
    return conversion[1]


class FollowingRecords(NamedTuple):
    """What follows the metadata of a page: whether its rendered DOM does, and how many further pages of its article."""

    is_rendered: bool = False
    parts: int = 0


def build_page(records: dict[str, bytes]) -> tuple[Page, FollowingRecords]:
    """The page of its records, by the name of their type, and what follows them. Raises KeyError, ValueError."""
    data = json.loads(records["metadata"])
    page = Page(
        requested_url=data["requested_url"],
        url=data["url"],
        fetched_at=datetime.fromisoformat(data["fetched_at"]),
        status=ITEM_STATUS,
        headers=ITEM_HEADERS,
        body=records.get("resource", b""),
        ip=data["ip"],
        redirects=tuple(data["redirects"]),
        source=data["source"],
        hint=_hint_adapter().validate_python(data["hint"]),
        is_item=True,
    )
    if "resource" in records:
        return page, FollowingRecords()
    first, headers, body = _parse_message(records["response"])
    request_headers = _parse_message(records["request"])[1]
    page = replace(
        page,
        status=int(first.split(" ", 2)[1]),
        headers=_exact_headers(data.get("headers"), headers),
        body=body,
        request_headers=_exact_headers(data.get("request_headers"), request_headers),
        is_item=False,
        rendering_failure=data.get("rendering_failure"),
    )
    return page, FollowingRecords(data.get("rendered", False), data.get("parts", 0))


def _exact_headers(stored: list[list[str]] | None, parsed: Headers) -> Headers:
    return parsed if stored is None else tuple((name, value) for name, value in stored)


def _parse_message(block: bytes) -> tuple[str, Headers, bytes]:
    """(first line, headers, body) of an HTTP message of `write_page`: names and values exactly as written."""
    head, _, body = block.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return first, tuple((name, value) for name, _, value in pairs), body

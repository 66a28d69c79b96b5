"""Pages as WARC records (ISO 28500): response, request, metadata and, of a rendered page, conversion; each a gzip member.

A body is stored as received, with its Content-Encoding. The Transfer-Encoding header is dropped: the client has already decoded it.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

from newsmill.archive.warc import ITEM_TYPE, Headers, hint_adapter, parse_message
from newsmill.archive.warc_responses import GZIP_MAGIC
from newsmill.model import RENDERED_TYPE, Page
from newsmill.text.sentences import dump_sentence
from newsmill.version import __version__

STORE_LEVEL = 0  # gzip level for compressed bodies: 3 % larger than with level 6, for a third of its CPU time
COMPRESS_LEVEL = 6  # gzip level for other records
RESPONSE_TYPE = "application/http; msgtype=response"
REQUEST_TYPE = "application/http; msgtype=request"
METADATA_TYPE = ITEM_TYPE
SOFTWARE = b"software: Newsmill "
HOP_BY_HOP_HEADERS = frozenset({"transfer-encoding"})
_HEAD_WITH_COMMENT = GZIP_MAGIC + b"\x08\x10\0\0\0\0\0\xff"  # deflate, a comment follows, no time, unknown system


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
        "hint": hint_adapter().dump_python(page.hint, mode="json", exclude_defaults=True),
    }
    if page.rendered is not None:
        data["rendered"] = True  # a conversion record follows
    if page.rendering_failure is not None:
        data["rendering_failure"] = dump_sentence(page.rendering_failure)
    if page.parts:
        data["parts"] = len(page.parts)  # the records of so many further pages follow
    if parse_message(_encode_head("", _end_to_end_headers(page.headers)))[1] != _end_to_end_headers(page.headers):
        data["headers"] = _end_to_end_headers(page.headers)
    if parse_message(_encode_head("", page.request_headers))[1] != page.request_headers:
        data["request_headers"] = page.request_headers
    return data

"""HTTP bodies to bytes: decompression with a size limit. `charset.py` decodes the characters afterwards."""

from __future__ import annotations

import re
import zlib

import brotli  # type: ignore[import-untyped]  # publishes no types
import zstandard
from isal import isal_zlib

from newsmill.exceptions import DecodeError
from newsmill.text.sentences import Sentence

MAX_BODY_BYTES = 10 * 2**20  # bytes after decompression; applies to fetched pages and to imported archives
MAX_LAYERS = 3  # "gzip, gzip" occurs on real sites; only decompression bombs have more than three layers
_MARKUP_START = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff\0)?\s*<")  # also after a byte order mark
FIRST_PART_BYTES = 512  # of a gzip member; the smallest member has 20 bytes
MAX_GZIP_MEMBERS = 10_000  # of a file: one of 50 MB in blocks of 64 KiB, as bgzip writes, has 800


def decode_body(content_encoding: str | None, body: bytes, cap: int = MAX_BODY_BYTES) -> bytes:
    """Decompress a body by its Content-Encoding header, last layer first, with at most `cap` bytes of output in memory.

    Return a body that is plainly not compressed unchanged, whatever the header says.
    Raise DecodeError with outcome `too_large` above the cap, and `data_loss` for a stream that is cut off before the end of the page.
    The outcome is `bad_encoding` for broken or unknown compression.
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    layers = [name for name in names if name not in ("", "identity", "none")]
    if len(layers) > MAX_LAYERS:
        raise DecodeError(Sentence("{n} layers of compression; more than {max} are refused", n=len(layers), max=MAX_LAYERS))
    for name in reversed(layers):
        body = _decode_layer(name, body, cap)
    if not layers and body[:3] == b"\x1f\x8b\x08":
        body = _decode_layer("gzip", body, cap)  # the server stores the file compressed and does not declare it
    if len(body) > cap:
        raise DecodeError(Sentence("the body is larger than {n} bytes", n=cap), "too_large")
    return body


def _decode_layer(name: str, body: bytes, cap: int) -> bytes:
    decoder = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _inflate, "br": _unbrotli, "zstd": _unzstd}.get(name)
    if not body or (name != "br" and _MARKUP_START.match(body)):
        return body  # proxies and archives that decompress a body often keep the header
    if decoder is None:
        raise DecodeError(Sentence("unknown Content-Encoding {name}", name=repr(name)))
    return decoder(body, cap)


def _gunzip(body: bytes, cap: int) -> bytes:
    """Decompress all members of a gzip file (RFC 1952, section 2.2). Data after the last member is ignored."""
    return _gunzip_one_member(body, cap) or _gunzip_members(body, cap)


def _gunzip_one_member(body: bytes, cap: int) -> bytes | None:
    """Decompress a file with one member, as nearly all are, in a third of the time of zlib; return None for any other file."""
    stream = isal_zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = stream.decompress(body, cap + 1)
    except isal_zlib.error:  # type: ignore[misc]  # the stubs declare the class as an exception
        return None
    return data if stream.eof and not stream.unused_data and len(data) <= cap else None


def _gunzip_members(body: bytes, cap: int) -> bytes:
    out: list[bytes] = []
    at = size = 0
    while body[at : at + 2] == b"\x1f\x8b":
        if len(out) >= MAX_GZIP_MEMBERS:
            raise DecodeError(Sentence("the gzip file has more than {n:,} members", n=MAX_GZIP_MEMBERS))
        data, at = _gunzip_member(body, at, max(cap - size, 0))
        out.append(data)
        size += len(data)
    if not out:
        raise DecodeError(Sentence("the body is not gzip"))
    return b"".join(out)


def _gunzip_member(body: bytes, start: int, cap: int) -> tuple[bytes, int]:
    """The content of the member at `start`, and its end.

    zlib copies what follows the member in the part that it gets, so the parts begin small and double: many small members cost no more than
    one large one.
    """
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    data, at, part_bytes = bytearray(), start, FIRST_PART_BYTES
    while not stream.eof and at < len(body):
        part = body[at : at + part_bytes]
        try:
            data += stream.decompress(part, cap + 1 - len(data))
        except zlib.error:
            return _require_complete(_salvage(body[start:], cap, "gzip"), "gzip"), len(body)
        if len(data) > cap:
            raise DecodeError(Sentence("the body grows beyond {n} bytes", n=cap), "too_large")
        at, part_bytes = at + len(part), 2 * part_bytes
    whole = bytes(data)
    return whole if stream.eof else _require_complete(whole, "gzip"), at - len(stream.unused_data)


def _inflate(body: bytes, cap: int) -> bytes:
    """Decompress zlib data, which `deflate` means (RFC 9110, 8.4.1.2), or raw deflate data, which servers send as often."""
    zlib_header = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _decompress(zlib.decompressobj(wbits=zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS), body, cap, "deflate")


def _decompress(stream: zlib._Decompress, body: bytes, cap: int, name: str) -> bytes:
    try:
        data = stream.decompress(body, max(cap, 0) + 1)
    except zlib.error:
        data = _salvage(body, cap, name)
        return _require_complete(data, name)
    if len(data) > cap:
        raise DecodeError(Sentence("the body grows beyond {n} bytes", n=cap), "too_large")
    return data if stream.eof else _require_complete(data, name)


def _salvage(body: bytes, cap: int, name: str) -> bytes:
    """Return the data of a damaged stream before the damage, as a wrong checksum at the end does not affect the page."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32 if name == "gzip" else -zlib.MAX_WBITS)
    out = bytearray()
    for start in range(0, len(body), 1024):
        try:
            out += stream.decompress(body[start : start + 1024], cap + 1 - len(out))
        except zlib.error as error:
            if not out:
                raise DecodeError(Sentence("the {name} stream is broken: {error}", name=name, error=error)) from error
            break
        if len(out) > cap:
            raise DecodeError(Sentence("the body grows beyond {n} bytes", n=cap), "too_large")
    return bytes(out)


def _require_complete(data: bytes, name: str) -> bytes:
    """Return the data if it contains the end of the page, even though the stream has no end."""
    if b"</html" in data[-1024:].lower():
        return data
    raise DecodeError(Sentence("the {name} stream ends before the page does", name=name), "data_loss")


def _unbrotli(body: bytes, cap: int) -> bytes:
    stream = brotli.Decompressor()
    out = bytearray()
    try:
        out += stream.process(body, output_buffer_limit=cap + 1)
        while len(out) <= cap and not stream.is_finished() and not stream.can_accept_more_data():
            out += stream.process(b"", output_buffer_limit=cap + 1 - len(out))
    except brotli.error as error:
        if _MARKUP_START.match(body):
            return body
        raise DecodeError(Sentence("the {name} stream is broken: {error}", name="br", error=error)) from error
    if len(out) > cap:
        raise DecodeError(Sentence("the body grows beyond {n} bytes", n=cap), "too_large")
    return bytes(out) if stream.is_finished() else _require_complete(bytes(out), "br")


def _unzstd(body: bytes, cap: int) -> bytes:
    # RFC 9659: HTTP content must not need a window above 8 MB, and a decoder may refuse it.
    reader = zstandard.ZstdDecompressor(max_window_size=8 * 2**20).stream_reader(body, read_across_frames=True)
    try:
        data = reader.read(cap + 1)
    except zstandard.ZstdError as error:
        raise DecodeError(Sentence("the {name} stream is broken: {error}", name="zstd", error=error)) from error
    if len(data) > cap:
        raise DecodeError(Sentence("the body grows beyond {n} bytes", n=cap), "too_large")
    return data

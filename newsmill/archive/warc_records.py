"""The records of a WARC file of any program and size as a stream, each with its offset.

Memory holds one record. A damaged record does not end the file: reading resumes at the next record that can be found.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from newsmill.archive.warc_responses import GZIP_MAGIC, CappedReader, is_http_response, read_target, read_warc_date
from newsmill.archive.warc_writer import SOFTWARE
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import Skipped
from newsmill.text.sentences import Sentence

MAX_BLOCK_BYTES = 11 << 20  # of a record that is read: the largest body and its headers
MAX_RECORD_BYTES = MAX_BLOCK_BYTES + (1 << 16)  # with its own headers
SEARCH_BYTES = 1 << 20  # of a file that are searched at once for the next record
GZIP_MEMBER = GZIP_MAGIC + b"\x08"  # with the only method that exists
MAX_MEMBER_HEAD_BYTES = 1024  # of a gzip member that are unpacked to see whether a record begins there
RECORD_START = b"WARC/"


IsWanted = Callable[[str, datetime], bool]  # of the URL and the time of a capture


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read, or a damaged place."""

    offset: int
    kind: WarcRecordType | None = None
    url: str = ""
    date: str = ""
    block: bytes = b""
    skipped: Skipped | None = None
    detail: str | None = None


class _DamagedRecord(Exception):
    """A record that cannot be read to its end."""


def read_records(file: BinaryIO, is_wanted: IsWanted) -> Iterator[Record]:
    """The records of a file, and one that names each damaged place.

    A record is yielded when the next one has begun: one whose Content-Length is wrong may hold the beginning of the next.
    """
    at, is_own = 0, False
    held: Record | None = None
    unnamed: Record | None = None  # damage at an unknown offset behind a record; dropped when the next record is damaged itself
    while True:
        last: int | None = None  # offset of the record that was begun last
        url = date = ""  # of that record
        try:
            for record in ArchiveIterator(CappedReader(file, None, at), parse_http=False):
                yield from filter(None, (held, unnamed))
                held = unnamed = None
                last, url, date = record.stream_pos, read_target(record), record.headers.get("WARC-Date") or ""
                found = _read_record(record, is_wanted, is_own=is_own)
                if found.kind == WarcRecordType.warcinfo:
                    is_own = SOFTWARE in found.block
                held = found
            break
        except (OSError, _DamagedRecord) as error:
            reason = str(error)
        place = at if last is None else last
        if held is not None and held.skipped is None and not _has_stated_length(file, held):
            held = unnamed = None
            detail = "the record is not as long as its Content-Length says"
            yield Record(place, url=url, date=date, skipped=Skipped.DAMAGED, detail=detail)
        elif held is not None:
            yield held
            held = None
            unnamed = Record(place, skipped=Skipped.DAMAGED, detail=f"after this record: {reason}")
        else:
            unnamed = None
            detail = "no WARC record begins here" if last is None and at == 0 else reason
            yield Record(place, url=url, date=date, skipped=Skipped.DAMAGED, detail=detail)
        following = _find_record(file, place + 1)
        if following is None:
            break
        at = following
    yield from filter(None, (held, unnamed))


def read_record(file: BinaryIO, offset: int) -> Record:
    """The record at an offset. Raises ArchiveDamaged."""
    file.seek(offset)
    try:
        for record in ArchiveIterator(CappedReader(file, None, offset), parse_http=False):
            return _read_record(record, lambda url, at: True, is_own=False)
    except (OSError, _DamagedRecord) as error:
        raise ArchiveDamaged(Sentence("no record at offset {offset}: {error}", offset=offset, error=error)) from error
    raise ArchiveDamaged(Sentence("no record at offset {offset}", offset=offset))


def _read_record(record: WarcRecord, is_wanted: IsWanted, *, is_own: bool) -> Record:
    """Raises OSError and _DamagedRecord for one that is damaged."""
    kind, offset = record.record_type, record.stream_pos
    url, date = read_target(record), record.headers.get("WARC-Date") or ""
    if record.headers.get("WARC-Type") is None:
        raise _DamagedRecord("the record has no WARC-Type")
    if kind == WarcRecordType.warcinfo or (is_own and kind is not WarcRecordType.revisit):
        skipped = None
    elif kind == WarcRecordType.revisit:
        skipped = Skipped.REVISIT
    elif not is_http_response(record):
        skipped = Skipped.OTHER
    else:
        skipped = None if _is_capture_wanted(url, date, is_wanted) else Skipped.FILTERED
    if skipped is None and record.content_length > MAX_BLOCK_BYTES:
        skipped = Skipped.TOO_LARGE
    if skipped is not None:
        detail = f"{url[:200]} has {record.content_length:,} bytes" if skipped is Skipped.TOO_LARGE else None
        return Record(offset, kind, url, date, skipped=skipped, detail=detail)
    block = record.reader.read()
    if len(block) < record.content_length:
        raise _DamagedRecord(f"the record ends after {len(block):,} of {record.content_length:,} bytes")
    return Record(offset, kind, url, date, block)


def _is_capture_wanted(url: str, date: str, is_wanted: IsWanted) -> bool:
    """A record with an unreadable date is wanted: it is damaged, which its reader says."""
    try:
        at = read_warc_date(date)
    except ValueError:
        return True
    return is_wanted(url, at)


def _has_stated_length(file: BinaryIO, record: Record) -> bool:
    """Whether line ends, or the end of the file or gzip member, follow the block of a record behind which the file is damaged.

    In a pipe and in other compressed files, the block must not hold the beginning of another record.
    """
    text = b""
    if file.seekable():
        file.seek(record.offset)
        text = file.read(MAX_RECORD_BYTES)
    with suppress(zlib.error):
        text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(text, MAX_RECORD_BYTES) if text.startswith(GZIP_MEMBER) else text
    if not text.startswith(RECORD_START):
        return b"\n" + RECORD_START not in record.block
    end = text.find(b"\r\n\r\n") + 4 + len(record.block)
    return end <= len(text) and not text[end : end + 4].strip(b"\r\n")


def _find_record(file: BinaryIO, at: int) -> int | None:
    """The offset of the next record at or after `at`. None: there is none, or the file is a pipe, or zstd or lz4."""
    if not file.seekable():
        return None
    file.seek(0)
    is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    needle = GZIP_MEMBER if is_gzip else b"\n" + RECORD_START
    file.seek(at)
    window = b""
    while data := file.read(SEARCH_BYTES):
        window, start = window + data, at - len(window)
        at += len(data)
        position = -1
        while (position := window.find(needle, position + 1)) >= 0:
            offset = start + position + (0 if is_gzip else 1)
            if not is_gzip or _is_member_of_record(file, offset, at):
                file.seek(offset)
                return offset
        window = window[-len(needle) + 1 :]
    return None


def _is_member_of_record(file: BinaryIO, offset: int, back_to: int) -> bool:
    """Whether a record begins in the gzip member at `offset`; compressed data has the first bytes of a member by chance."""
    file.seek(offset)
    head = file.read(MAX_MEMBER_HEAD_BYTES)
    file.seek(back_to)
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, len(RECORD_START)) == RECORD_START
    except zlib.error:
        return False

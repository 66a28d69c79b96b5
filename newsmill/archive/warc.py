"""WARC records (ISO 28500) back to pages.

The further pages of an article follow its first page with the same records. Its metadata has their number.
An item, whose fields a program gave, is a resource and a metadata record: no server's response can be mistaken for one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from itertools import islice
from typing import BinaryIO, NamedTuple

from fastwarc.warc import ArchiveIterator, WarcRecordType
from pydantic import TypeAdapter

from newsmill.archive.warc_responses import read_target
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import Hint, Page
from newsmill.text.sentences import Sentence, load_sentence

ITEM_TYPE = "application/json"
ITEM_STATUS = 200
ITEM_HEADERS = (("Content-Type", ITEM_TYPE),)
FIRST_RECORDS = (WarcRecordType.response, WarcRecordType.resource)
MAX_PAGE_RECORDS = 4  # a page's last record is its metadata

Headers = tuple[tuple[str, str], ...]
OnRecord = Callable[[str, bytes], None]  # of the name of a record's type and its content


@cache
def hint_adapter() -> TypeAdapter[Hint]:
    return TypeAdapter(Hint)  # 0.03 s of CPU, which commands that read no page need not spend


def read_page(file: BinaryIO, offset: int, on_record: OnRecord = lambda kind, content: None) -> Page:
    """The page whose first record begins at `offset`. Checks every record's digest. Raises ArchiveDamaged."""
    return _read_at(file, offset, on_record)[0]


def _read_at(file: BinaryIO, offset: int, on_record: OnRecord = lambda kind, content: None) -> tuple[Page, int]:
    """The page at an offset, and the number of its records. Raises ArchiveDamaged."""
    file.seek(offset)
    try:
        return _read_whole_page(_read_records(file, on_record), offset)
    except (OSError, KeyError, ValueError) as error:  # fastwarc: bad gzip, bad header; ours: bad JSON, wrong record
        raise ArchiveDamaged(Sentence("no page at offset {offset}: {error}", offset=offset, error=error)) from error


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
        raise ArchiveDamaged(Sentence("a record cannot be read: {error}", error=error)) from error
    ends = [*(offset for offset, _ in starts[1:]), file.seek(0, io.SEEK_END)]
    return [(offset, end) for (offset, urls), end in zip(starts, ends, strict=True) if urls and is_wanted(urls)]


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
    raise ArchiveDamaged(Sentence("the file ends inside the page at offset {offset}", offset=offset))


def _read_records(file: BinaryIO, on_record: OnRecord) -> Iterator[tuple[WarcRecordType, bytes]]:
    for record in ArchiveIterator(file, parse_http=False):
        # fastwarc does not report a truncated file: it yields what is left of the record and stops.
        if not record.verify_block_digest():
            raise ArchiveDamaged(Sentence("record {id} was changed or cut off after it was written", id=record.record_id))
        content = record.reader.read()
        on_record(str(record.record_type), content)
        yield record.record_type, content


def _read_rendered(conversion: tuple[WarcRecordType, bytes] | None, offset: int) -> bytes:
    """The rendered DOM. Raises ArchiveDamaged when its record is missing."""
    if conversion is None or conversion[0] != WarcRecordType.conversion:
        raise ArchiveDamaged(Sentence("the page at offset {offset} has no conversion record", offset=offset))
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
        hint=hint_adapter().validate_python(data["hint"]),
        is_item=True,
    )
    if "resource" in records:
        return page, FollowingRecords()
    first, headers, body = parse_message(records["response"])
    request_headers = parse_message(records["request"])[1]
    page = replace(
        page,
        status=int(first.split(" ", 2)[1]),
        headers=_exact_headers(data.get("headers"), headers),
        body=body,
        request_headers=_exact_headers(data.get("request_headers"), request_headers),
        is_item=False,
        rendering_failure=None if (failure := data.get("rendering_failure")) is None else load_sentence(failure),
    )
    return page, FollowingRecords(data.get("rendered", False), data.get("parts", 0))


def _exact_headers(stored: list[list[str]] | None, parsed: Headers) -> Headers:
    return parsed if stored is None else tuple((name, value) for name, value in stored)


def parse_message(block: bytes) -> tuple[str, Headers, bytes]:
    """(first line, headers, body) of an HTTP message of `write_page`: names and values exactly as written."""
    head, _, body = block.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return first, tuple((name, value) for name, _, value in pairs), body

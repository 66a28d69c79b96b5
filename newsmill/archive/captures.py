"""The captured pages in WARC files of any program and size, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from fastwarc.warc import WarcRecordType
from pydantic import AwareDatetime, BaseModel

from newsmill.archive.warc import FIRST_RECORDS, build_page, read_page
from newsmill.archive.warc_records import MAX_BLOCK_BYTES, IsWanted, Record, read_record, read_records
from newsmill.archive.warc_responses import parse_response, read_warc_date
from newsmill.archive.warc_writer import SOFTWARE
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import Capture, Page, Skipped
from newsmill.text.sentences import Detail, Sentence


def read_captures(file: BinaryIO, is_wanted: IsWanted = lambda url, at: True) -> Iterator[Capture]:
    """A capture for each record of a WARC file: plain, gzip, zstd or lz4. Pages of Newsmill's own files have all that was archived of them.

    Raises nothing for the contents of the file. OSError: the file itself cannot be read.
    """
    group: _OwnPage | None = None
    is_own = False
    for record in read_records(file, is_wanted):
        if group is not None and record.kind in FIRST_RECORDS and record.skipped is None and group.awaits_part(len(record.block)):
            group.parts.append({})
        elif group is not None and (record.kind in FIRST_RECORDS or record.kind == WarcRecordType.warcinfo):
            yield group.build(is_wanted)
            group = None
        if record.skipped is not None:
            yield _skip(record, record.skipped, record.detail)
        elif record.kind == WarcRecordType.warcinfo:
            is_own = SOFTWARE in record.block
            yield _skip(record, Skipped.OTHER)
        elif not is_own:
            yield _read_foreign(record)
        elif record.kind in FIRST_RECORDS and group is None:
            group = _OwnPage(record.offset, {str(record.kind): record.block})
        elif group is not None:
            group.add(record)
    if group is not None:
        yield group.build(is_wanted)


def read_capture(file: BinaryIO, offset: int) -> Page:
    """The page that `read_captures` has found at an offset. Raises ArchiveDamaged."""
    with suppress(ArchiveDamaged):
        return read_page(file, offset)  # that Newsmill wrote
    file.seek(offset)
    capture = _read_foreign(read_record(file, offset))
    if capture.page is None:
        raise ArchiveDamaged(Sentence("no page at offset {offset}: {error}", offset=offset, error=capture.detail))
    return capture.page


class _Metadata(BaseModel):
    """What the metadata record of a page of Newsmill has. Any program can write one."""

    requested_url: str
    url: str
    fetched_at: AwareDatetime
    ip: str | None
    redirects: list[str]
    source: str | None
    hint: dict[str, Any]
    rendered: bool = False
    rendering_failure: Detail | None = None
    parts: int = 0
    headers: list[tuple[str, str]] | None = None
    request_headers: list[tuple[str, str]] | None = None


@dataclass(slots=True)
class _OwnPage:
    """The records of a page that Newsmill wrote, and those of the further pages of its article."""

    offset: int
    records: dict[str, bytes] = field(default_factory=dict)
    parts: list[dict[str, bytes]] = field(default_factory=list)
    part_bytes: int = 0

    def awaits_part(self, size: int) -> bool:
        """Whether a response of this size begins a further page. All of them together are as large as one page may be."""
        try:
            count = _Metadata.model_validate_json(self.records.get("metadata", b"")).parts
        except ValueError:
            return False
        return len(self.parts) < count and self.part_bytes + size <= MAX_BLOCK_BYTES

    def add(self, record: Record) -> None:
        records = self.parts[-1] if self.parts else self.records
        records[str(record.kind)] = record.block
        self.part_bytes += len(record.block) if self.parts else 0

    def build(self, is_wanted: IsWanted) -> Capture:
        try:
            page = replace(_build_own(self.records), parts=tuple(map(_build_own, self.parts)))
        except KeyError as error:
            return Capture(self.offset, skipped=Skipped.DAMAGED, detail=f"a page of Newsmill: its {error.args[0]} record is missing")
        except (ValueError, IndexError):
            return Capture(self.offset, skipped=Skipped.DAMAGED, detail="a page of Newsmill: its records do not hold what Newsmill writes")
        is_page_wanted = is_wanted(page.requested_url, page.fetched_at)
        return Capture(
            self.offset,
            page if is_page_wanted else None,
            None if is_page_wanted else Skipped.FILTERED,
            url=page.requested_url,
            at=page.fetched_at,
        )


def _build_own(records: dict[str, bytes]) -> Page:
    """Raises KeyError, ValueError, IndexError."""
    _Metadata.model_validate_json(records["metadata"])
    page, following = build_page(records)
    return replace(page, rendered=records[str(WarcRecordType.conversion)]) if following.is_rendered else page


def _read_foreign(record: Record) -> Capture:
    """The page of another program's response record."""
    try:
        page = parse_response(record.url, record.date, record.block)
    except ValueError as error:
        return _skip(record, Skipped.DAMAGED, str(error))
    return Capture(record.offset, page, url=page.url, at=page.fetched_at)


def _skip(record: Record, reason: Skipped, detail: str | None = None) -> Capture:
    try:
        at = read_warc_date(record.date)
    except ValueError:
        at = None
    return Capture(record.offset, skipped=reason, detail=detail, url=record.url, at=at)

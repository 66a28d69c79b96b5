"""The captured pages in WARC files of any program and size, as a stream.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
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


def read_captures(file: BinaryIO, is_wanted: IsWanted = lambda url, at: True, *, with_digests: bool = False) -> Iterator[Capture]:
    """A capture for each record of a WARC file: plain, gzip, zstd or lz4. Pages of Newsmill's own files have all that was archived of them.

    `with_digests`: by which `read_capture` finds that a page has changed. Raises nothing for the contents of the file: one without a record
    has one damaged capture. OSError: the file itself cannot be read.
    """
    group: _OwnPage | None = None
    is_own = False
    record = None
    for record in read_records(file, is_wanted):
        if group is not None and record.kind in FIRST_RECORDS and record.skipped is None and group.awaits_part(len(record.block)):
            group.parts.append({})
        elif group is not None and (record.kind in FIRST_RECORDS or record.kind == WarcRecordType.warcinfo):
            yield group.build(is_wanted, with_digests)
            group = None
        if record.skipped is not None:
            yield _skip(record, record.skipped, record.detail)
        elif record.kind == WarcRecordType.warcinfo:
            is_own = SOFTWARE in record.block
            yield _skip(record, Skipped.OTHER)
        elif not is_own:
            yield _read_foreign(record, with_digests)
        elif record.kind in FIRST_RECORDS and group is None:
            group = _OwnPage(record.offset, {str(record.kind): record.block})
        elif group is not None:
            group.add(record)
    if group is not None:
        yield group.build(is_wanted, with_digests)
    if record is None:
        yield Capture(0, skipped=Skipped.DAMAGED, detail="the file has no WARC record")


def read_capture(file: BinaryIO, offset: int, digest: str | None = None) -> Page:
    """The page that `read_captures` has found at an offset, with this digest if it was noted. Raises ArchiveDamaged."""
    with suppress(ArchiveDamaged):
        found = RecordDigest()
        page = read_page(file, offset, found.add)  # that Newsmill wrote
        if digest in (None, found.text):
            return page
    capture = _read_foreign(read_record(file, offset), digest is not None)
    if capture.page is None:
        raise ArchiveDamaged(Sentence("no page at offset {offset}: {error}", offset=offset, error=capture.detail))
    if capture.digest != digest:
        raise ArchiveDamaged(Sentence("the page at offset {offset} was changed after it was submitted; restore the file", offset=offset))
    return capture.page


class RecordDigest:
    """The digest of what a page is read from. A digest that a record states is not used: who changes a record states another one."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def add(self, name: str, content: bytes) -> None:
        """Add a record, by the name of its type or the values of its header that are read."""
        self._hash.update(f"{len(name)} {len(content)} {name}".encode("utf-8", "surrogateescape"))
        self._hash.update(content)

    @property
    def text(self) -> str:
        return self._hash.hexdigest()


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

    def build(self, is_wanted: IsWanted, with_digest: bool) -> Capture:
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
            digest=self._make_digest() if with_digest else None,
        )

    def _make_digest(self) -> str:
        digest = RecordDigest()
        for kind, content in (item for records in (self.records, *self.parts) for item in records.items()):
            digest.add(kind, content)
        return digest.text


def _build_own(records: dict[str, bytes]) -> Page:
    """Raises KeyError, ValueError, IndexError."""
    _Metadata.model_validate_json(records["metadata"])
    page, following = build_page(records)
    return replace(page, rendered=records[str(WarcRecordType.conversion)]) if following.is_rendered else page


def _read_foreign(record: Record, with_digest: bool) -> Capture:
    """The page of another program's response record."""
    try:
        page = parse_response(record.url, record.date, record.block)
    except ValueError as error:
        return _skip(record, Skipped.DAMAGED, str(error))
    digest = RecordDigest()
    if with_digest:
        digest.add(f"{record.url} {record.date}", record.block)
    return Capture(record.offset, page, url=page.url, at=page.fetched_at, digest=digest.text if with_digest else None)


def _skip(record: Record, reason: Skipped, detail: str | None = None) -> Capture:
    try:
        at = read_warc_date(record.date)
    except ValueError:
        at = None
    return Capture(record.offset, skipped=reason, detail=detail, url=record.url, at=at)

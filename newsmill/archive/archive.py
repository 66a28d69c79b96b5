"""The archive: pages in small WARC segments, in a folder or an object store. Written once, never edited, read by offset.

A page is saved here before anybody hears of it, so whatever comes later (a lost queue, a crash, a new extractor) can start from its bytes.
An Archive may be shared between threads, not across a fork.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

from newsmill.archive import warc
from newsmill.archive.object_store import TEMPORARY_SUFFIX, UsedSpace, open_object_store
from newsmill.exceptions import ArchiveDamaged
from newsmill.model import Page, Segment

SEGMENTS_FOLDER = "segments"
SEGMENT_SUFFIX = ".warc.gz"
SEGMENT_ID = re.compile(
    r"(\d{4})(\d\d)(\d\d)T\d{6}Z-[0-9a-f]{8}"
)  # anchored by fullmatch; ids come back from the queue, which is not to be trusted
SWEEP_BATCH_SEGMENTS = 500


class Archive:
    """Every call may raise ServiceError: the disk is full, the store is away or refuses us."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        """`url`: a folder, file:// or s3://bucket/prefix. `options`: for the store's client, e.g. its endpoint. Raises ConfigError."""
        self._place = open_object_store(url, options)

    def write(self, pages: Sequence[Page], *, now: datetime) -> Segment:
        """Save pages as a new segment. When this returns, they are safe on disk; when it raises, there is no segment."""
        if not pages:
            raise ValueError("a segment holds at least one page")
        segment_id = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"

        def fill(file: BinaryIO) -> tuple[tuple[int, ...], int]:
            warc.write_warcinfo(file, now)
            return tuple(warc.write_page(file, page) for page in pages), file.tell()

        offsets, length = self._place.put(_segment_path(segment_id), fill)
        return Segment(id=segment_id, pages=len(pages), length=length, created_at=now, offsets=offsets)

    @contextmanager
    def open(self, segment_id: str, *, length: int | None = None) -> Iterator[SegmentReader]:
        """A segment to read pages of, one damaged page not standing in the way of the others.

        Raises ArchiveDamaged when the file is missing or, given the `length` the ledger recorded, has another one.
        """
        try:
            file = self._place.open(_segment_path(segment_id))
        except FileNotFoundError:
            raise ArchiveDamaged(f"segment {segment_id} is missing from the archive") from None
        with file:
            found = file.seek(0, 2)
            if length is not None and found != length:
                raise ArchiveDamaged(f"segment {segment_id} is {found} bytes long, recorded were {length}")
            yield SegmentReader(segment_id, file)

    def read(self, segment_id: str, offsets: Iterable[int], *, length: int | None = None) -> Iterator[tuple[int, Page]]:
        """The pages at these offsets, one at a time. Raises ArchiveDamaged at the first that cannot be read back whole."""
        with self.open(segment_id, length=length) as segment:
            for offset in offsets:
                yield offset, segment.page(offset)

    def read_page(self, segment_id: str, offset: int) -> Page:
        """One page. Raises ArchiveDamaged."""
        with self.open(segment_id) as segment:
            return segment.page(offset)

    def total_bytes(self) -> int:
        """Bytes of all segments. Looks at every file: for `status`, not for a loop."""
        return sum(entry.length for entry in self._place.entries(SEGMENTS_FOLDER))

    def disk_usage(self) -> UsedSpace | None:
        """The disk the archive is on; None in an object store."""
        return self._place.room()

    def segment_lengths(self) -> Iterator[tuple[str, int]]:
        """Every segment that is there, with its bytes. Looks at every file."""
        for entry in self._place.entries(SEGMENTS_FOLDER):
            if entry.path.endswith(SEGMENT_SUFFIX) and SEGMENT_ID.fullmatch(_segment_id(entry.path)):
                yield _segment_id(entry.path), entry.length

    def find_orphans(self, known: Callable[[Sequence[str]], Collection[str]], *, older_than: datetime) -> list[str]:
        """Paths of what crashed writers left: unfinished files, and segments that were never saved in the ledger.

        `known(ids)` says which segment ids the ledger has (`Ledger.known_segments`). Files younger than `older_than` may be on their way.
        """
        old = [entry.path for entry in self._place.entries(SEGMENTS_FOLDER) if entry.modified_at < older_than]
        found = [path for path in old if path.endswith(TEMPORARY_SUFFIX)]
        segments = {_segment_id(path): path for path in old if path.endswith(SEGMENT_SUFFIX) and SEGMENT_ID.fullmatch(_segment_id(path))}
        ids = sorted(segments)
        for at in range(0, len(ids), SWEEP_BATCH_SEGMENTS):
            batch = ids[at : at + SWEEP_BATCH_SEGMENTS]
            saved = set(known(batch))
            found += [segments[segment_id] for segment_id in batch if segment_id not in saved]
        return found

    def remove_orphans(
        self, known: Callable[[Sequence[str]], Collection[str]], *, older_than: datetime, only: Collection[str] | None = None
    ) -> list[str]:
        """Remove the orphans, or those of them that are in `only`; the paths of all orphans that were there."""
        found = self.find_orphans(known, older_than=older_than)
        for path in found if only is None else [path for path in found if path in only]:
            self._place.remove(path)
        return found


class SegmentReader:
    """An open segment."""

    def __init__(self, segment_id: str, file: BinaryIO) -> None:
        self.id = segment_id
        self._file = file

    def page(self, offset: int) -> Page:
        """The page at an offset, exactly as it was written. Raises ArchiveDamaged."""
        try:
            return warc.read_page(self._file, offset)
        except ArchiveDamaged as error:
            raise ArchiveDamaged(f"segment {self.id}: {error}") from error

    def records(self, offset: int) -> bytes:
        """The page's records as they lie in the archive, for another WARC file. Raises ArchiveDamaged."""
        try:
            return warc.copy_page(self._file, offset)
        except ArchiveDamaged as error:
            raise ArchiveDamaged(f"segment {self.id}: {error}") from error


def _segment_path(segment_id: str) -> str:
    match = SEGMENT_ID.fullmatch(segment_id)
    if match is None:
        raise ArchiveDamaged(f"{segment_id[:80]!r} is not the name of a segment")
    year, month, day = match.groups()
    return f"{SEGMENTS_FOLDER}/{year}/{month}/{day}/{segment_id}{SEGMENT_SUFFIX}"


def _segment_id(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(SEGMENT_SUFFIX)

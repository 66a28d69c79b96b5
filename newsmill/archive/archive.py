"""The archive: pages in small WARC segments, in a folder or an object store. Segments are written once and read by offset.

Only a takedown changes a segment: filler of the same length replaces the page, so that the other pages keep their offsets.

A page is archived before the ledger records it, so after a lost queue, a crash or for a new extractor its bytes are there.
An Archive may be shared between threads, not across a fork.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from newsmill.archive import warc, warc_writer
from newsmill.archive.external_files import (
    BARRED_FOLDER,
    NOTES_FOLDER,
    PAGES_FOLDER,
    ExternalFile,
    ExternalReader,
    PageChecks,
    SubmittedPage,
    find_file_id,
    open_external,
)
from newsmill.archive.object_store import TEMPORARY_SUFFIX, DiskUsage, open_object_store
from newsmill.exceptions import ArchiveDamaged, ServiceError
from newsmill.model import Page, Segment
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence, keyed

SEGMENTS_FOLDER = "segments"
UNKNOWN_FOLDER = "unknown"  # segments that the ledger does not name
SEGMENT_SUFFIX = ".warc.gz"
MAX_SEGMENT_PAGES = 32  # a worker claims one segment at a time
MAX_SEGMENT_BYTES = 16 << 20  # a writer begins a new segment then; hostile pages have 10 MB each
# Only for fullmatch: ids come from the queue, which anyone with access to Redis can write.
SEGMENT_ID = re.compile(r"(\d{4})(\d\d)(\d\d)T\d{6}Z-[0-9a-f]{8}")
SWEEP_BATCH_SEGMENTS = 500


class Archive:
    """Every call may raise ServiceError: the disk is full, or the store does not answer or refuses access."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        """`url`: a folder, file:// or s3://bucket/prefix. `options`: for the store's client, e.g. its endpoint. Raises ConfigError."""
        self._store = open_object_store(url, options)
        self._url = url

    def write(self, pages: Sequence[Page], *, now: datetime) -> Segment:
        """Save pages as a new segment. When this returns, they are on disk; when it raises, the segment does not exist."""
        if not pages:
            raise ValueError("a segment holds at least one page")
        segment_id = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"

        def fill(file: BinaryIO) -> tuple[tuple[int, ...], int]:
            warc_writer.write_warcinfo(file, now)
            return tuple(warc_writer.write_page(file, page) for page in pages), file.tell()

        offsets, length = self._store.put(_segment_path(segment_id), fill)
        return Segment(id=segment_id, pages=len(pages), length=length, created_at=now, offsets=offsets)

    @contextmanager
    def open(self, segment_id: str, *, length: int | None = None) -> Iterator[SegmentReader | ExternalReader]:
        """A segment, to read pages of; a damaged page does not affect the others.

        Raises ArchiveDamaged when the file is missing, or when its length is not `length`, the one that the ledger recorded.
        """
        if (file_id := find_file_id(segment_id)) is not None:
            with open_external(self._read_note(file_id), segment_id, self._read_checks(segment_id)) as external:
                yield external
            return
        try:
            file = self._store.open(_segment_path(segment_id))
        except FileNotFoundError:
            raise ArchiveDamaged(Sentence("segment {id} is missing from the archive", id=segment_id)) from None
        with file:
            file_length = file.seek(0, 2)
            if length is not None and file_length != length:
                raise ArchiveDamaged(
                    Sentence("segment {id} has {n} bytes, but the ledger recorded {length}", id=segment_id, n=file_length, length=length)
                )
            yield SegmentReader(segment_id, file)

    def read(self, segment_id: str, offsets: Iterable[int], *, length: int | None = None) -> Iterator[tuple[int, Page]]:
        """The pages at these offsets, one at a time. Raises ArchiveDamaged at the first damaged one."""
        with self.open(segment_id, length=length) as segment:
            for offset in offsets:
                yield offset, segment.page(offset)

    def read_page(self, segment_id: str, offset: int, url: str | None = None) -> Page:
        """One page, as SegmentReader.page. Raises ArchiveDamaged."""
        with self.open(segment_id) as segment:
            return segment.page(offset, url)

    def note_external(self, file: ExternalFile) -> None:
        """Note a WARC file outside the archive, so that segments may name its pages."""
        content = json.dumps(asdict(file)).encode()
        self._store.put(_note_path(file.id), lambda out: out.write(content))

    def find_external(self, file: ExternalFile) -> ExternalFile | None:
        """The note of this file; None if there is none."""
        try:
            return self._read_note(file.id)
        except ArchiveDamaged:
            return None

    def list_external(self) -> Iterator[ExternalFile]:
        """Every note that can be read."""
        for entry in self._store.list_objects(NOTES_FOLDER):
            with suppress(ArchiveDamaged):
                yield self._read_note(PurePosixPath(entry.path).stem)

    def _read_note(self, file_id: str) -> ExternalFile:
        try:
            with self._store.open(_note_path(file_id)) as note:
                return ExternalFile(**json.loads(note.read()))
        except (FileNotFoundError, ValueError, TypeError):
            raise ArchiveDamaged(Sentence("{path} is missing from the archive, or damaged", path=_note_path(file_id))) from None

    def note_pages(self, segment_id: str, pages: Mapping[int, SubmittedPage]) -> None:
        """Note pages of a segment of a file outside the archive, by offset, before the ledger names them."""
        path = _pages_path(segment_id)
        content = self._read_json(path) | {str(offset): [page.digest, *page.url_keys] for offset, page in pages.items()}
        self._store.put(path, lambda out: out.write(json.dumps(content).encode()))

    def _read_json(self, path: str) -> dict[str, Any]:
        """Raises ArchiveDamaged."""
        try:
            with self._store.open(path) as file:
                content: dict[str, Any] = json.loads(file.read())
                return content
        except FileNotFoundError:
            return {}
        except ValueError:
            raise ArchiveDamaged(Sentence("{path} is missing from the archive, or damaged", path=path)) from None

    def _read_checks(self, segment_id: str) -> PageChecks:
        barred = self._read_json(_barred_path(str(find_file_id(segment_id))))
        pages = self._read_json(_pages_path(segment_id))
        return PageChecks({int(offset): page[0] for offset, page in pages.items()}, frozenset(map(int, barred)))

    def locate_external(self, url_keys: Collection[str]) -> dict[str, dict[str, list[str]]]:
        """The pages of these URLs in files outside the archive, for `bar_external`. Reads what is noted of each page."""
        found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for entry in self._store.list_objects(PAGES_FOLDER):
            for offset, page in self._read_json(entry.path).items() if entry.path.endswith(".json") else ():
                if not set(page[1:]).isdisjoint(url_keys):
                    found[PurePosixPath(entry.path).parent.name][offset] = page[1:]
        return found

    def bar_external(self, found: Mapping[str, Mapping[str, list[str]]]) -> tuple[str, ...]:
        """Bar pages in files outside the archive: they stay there, but are not read again. Returns the files.

        Let no other process change barred pages at the same time.
        """
        for file_id, pages in found.items():
            self._write_barred(file_id, self._read_json(_barred_path(file_id)) | dict(pages))
        return tuple(sorted(map(self._name_external, found)))

    def permit_external(self, url_keys: Collection[str]) -> None:
        """Permit the pages of these URLs again. Let no other process change barred pages at the same time."""
        for entry in self._store.list_objects(BARRED_FOLDER):
            barred = self._read_json(entry.path)
            kept = {offset: keys for offset, keys in barred.items() if set(keys).isdisjoint(url_keys)}
            if len(kept) < len(barred):
                self._write_barred(PurePosixPath(entry.path).stem, kept)

    def list_barred(self) -> dict[str, set[str]]:
        """The files outside the archive that have a barred page, by the keys of the page's URLs."""
        files: dict[str, set[str]] = defaultdict(set)
        for entry in self._store.list_objects(BARRED_FOLDER):
            name = self._name_external(PurePosixPath(entry.path).stem)
            for key in chain.from_iterable(self._read_json(entry.path).values()):
                files[key].add(name)
        return files

    def _write_barred(self, file_id: str, barred: Mapping[str, Sequence[str]]) -> None:
        self._store.put(_barred_path(file_id), lambda out: out.write(json.dumps(barred).encode()))

    def _name_external(self, file_id: str) -> str:
        try:
            return redact(self._read_note(file_id).url)
        except ArchiveDamaged:
            return file_id

    def examine_external(self, ids: Iterable[str]) -> tuple[dict[str, int], dict[str, ArchiveDamaged]]:
        """Of segments that are parts of files outside the archive: the lengths of those that can be read, the errors of the others."""
        by_file: dict[str, list[str]] = defaultdict(list)
        for segment_id in ids:
            if (file_id := find_file_id(segment_id)) is not None:
                by_file[file_id].append(segment_id)
        lengths: dict[str, int] = {}
        errors: dict[str, ArchiveDamaged] = {}
        for file_id, segment_ids in by_file.items():
            try:
                file = self._read_note(file_id)
                with open_external(file, segment_ids[0], PageChecks()):
                    lengths |= dict.fromkeys(segment_ids, file.length)
            except ArchiveDamaged as error:
                errors |= dict.fromkeys(segment_ids, error)
        return lengths, errors

    def total_bytes(self) -> int:
        """Bytes of all segments. Lists every file."""
        return sum(entry.length for entry in self._store.list_objects(SEGMENTS_FOLDER))

    def disk_usage(self) -> DiskUsage | None:
        """The disk of the archive; None in an object store."""
        return self._store.disk_usage()

    def segment_lengths(self) -> Iterator[tuple[str, int]]:
        """The id and length in bytes of every segment. Lists every file."""
        for entry in self._store.list_objects(SEGMENTS_FOLDER):
            if entry.path.endswith(SEGMENT_SUFFIX) and SEGMENT_ID.fullmatch(_segment_id(entry.path)):
                yield _segment_id(entry.path), entry.length

    def is_empty(self) -> bool:
        """Whether the archive has no segment. Lists every file."""
        return next(self.segment_lengths(), None) is None

    def require_files(self, known: Iterable[str]) -> None:
        """Raises ServiceError when the archive is empty or has none of `known`, other segments that the ledger names.

        Then a segment that the ledger names is not damaged: the archive is another one, or its folder is not mounted.
        """
        ids = list(known)
        is_empty = self._store.is_empty()
        if is_empty or (ids and not any(map(self._has_segment, ids))):
            has = "is empty" if is_empty else "has none of the older segments"
            raise ServiceError(
                f"the archive {redact(self._url)} {has}, but the database names segments in it; check that ARCHIVE_URL is right and that"
                " the folder is mounted; if its files are lost, run `newsmill doctor --repair`"
            )

    def _has_segment(self, segment_id: str) -> bool:
        if find_file_id(segment_id) is not None:
            return not self.examine_external([segment_id])[1]
        try:
            self._store.open(_segment_path(segment_id)).close()
        except FileNotFoundError:
            return False
        return True

    def find_orphans(self, known: Callable[[Sequence[str]], Collection[str]], *, older_than: datetime) -> list[str]:
        """Paths of files that crashed writers left: unfinished files, and segments that the ledger does not know.

        `known(ids)` returns the segment ids that the ledger has (`Segments.filter_known`). Files newer than `older_than` may be in use.
        """
        old = [entry.path for entry in self._store.list_objects(SEGMENTS_FOLDER) if entry.modified_at < older_than]
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
        """Remove the orphans, or those that are in `only`. Returns the paths of all orphans.

        Whole segments are moved to UNKNOWN_FOLDER: after an older database is restored, they are pages that exist nowhere else.
        """
        found = self.find_orphans(known, older_than=older_than)
        for path in found if only is None else [path for path in found if path in only]:
            if path.endswith(SEGMENT_SUFFIX):
                self._store.move(path, path.replace(SEGMENTS_FOLDER, UNKNOWN_FOLDER, 1))
            else:
                self._store.remove(path)
        return found

    def list_files(self) -> list[str]:
        """The paths of all segments, also of those that the ledger does not know. Lists every file."""
        folders = (SEGMENTS_FOLDER, UNKNOWN_FOLDER)
        return [entry.path for folder in folders for entry in self._store.list_objects(folder) if entry.path.endswith(SEGMENT_SUFFIX)]

    def count_pages(self, path: str, is_wanted: Callable[[Iterable[str]], bool]) -> int:
        """The pages of a file of which `is_wanted` is true for their URLs, 0 for a file that is gone. Raises ArchiveDamaged."""
        try:
            with self._store.open(path) as file:
                return len(_locate(path, file, is_wanted))
        except FileNotFoundError:
            return 0

    def erase_pages(self, path: str, is_wanted: Callable[[Iterable[str]], bool], *, now: datetime) -> int:
        """Write filler over these pages; returns their number. Let no other process erase pages of the file at the same time.

        The file is replaced as a whole, so a crash leaves the old one or the new one. Raises ArchiveDamaged.
        """
        with self._store.open(path) as file:
            spans = _locate(path, file, is_wanted)
            file.seek(0)
            content = bytearray(file.read())
        for start, end in spans:
            content[start:end] = warc_writer.make_filler(end - start, now)
        if spans:
            self._store.put(path, lambda out: out.write(content))
        return len(spans)


def _locate(path: str, file: BinaryIO, is_wanted: Callable[[Iterable[str]], bool]) -> list[tuple[int, int]]:
    try:
        return warc.locate_pages(file, is_wanted)
    except ArchiveDamaged as error:
        raise ArchiveDamaged(keyed(path, error)) from error


class SegmentReader:
    """An open segment."""

    def __init__(self, segment_id: str, file: BinaryIO) -> None:
        self.id = segment_id
        self._file = file

    def page(self, offset: int, url: str | None = None) -> Page:
        """The page at an offset, exactly as it was written. Raises ArchiveDamaged. Only in a file outside the archive, where records can
        change, must it be that of `url`."""
        try:
            return warc.read_page(self._file, offset)
        except ArchiveDamaged as error:
            raise ArchiveDamaged(Sentence("segment {id}: {error}", id=self.id, error=error)) from error

    def records(self, offset: int, url: str | None = None) -> bytes:
        """The page's records as they are in the archive, for another WARC file. Raises as `page`."""
        try:
            return warc.copy_page(self._file, offset)
        except ArchiveDamaged as error:
            raise ArchiveDamaged(Sentence("segment {id}: {error}", id=self.id, error=error)) from error


def _segment_path(segment_id: str) -> str:
    match = SEGMENT_ID.fullmatch(segment_id)
    if match is None:
        raise ArchiveDamaged(Sentence("{id} is not a segment id", id=repr(segment_id[:80])))
    year, month, day = match.groups()
    return f"{SEGMENTS_FOLDER}/{year}/{month}/{day}/{segment_id}{SEGMENT_SUFFIX}"


def _note_path(file_id: str) -> str:
    return f"{NOTES_FOLDER}/{file_id}.json"


def _pages_path(segment_id: str) -> str:
    file_id, _, offset = segment_id.rpartition("-")
    return f"{PAGES_FOLDER}/{file_id}/{offset}.json"


def _barred_path(file_id: str) -> str:
    return f"{BARRED_FOLDER}/{file_id}.json"


def _segment_id(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(SEGMENT_SUFFIX)

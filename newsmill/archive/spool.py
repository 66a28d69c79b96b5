"""Local files for fetched pages that are in no segment yet: the next crawl saves the pages of a killed one.

A page is one write without fsync. The kernel's page cache survives any end of the process, also `kill -9` and out-of-memory. A power loss
can cost the pages of the last seconds, which are then fetched again. Segments, which are the record, are synced.

The process that writes a file holds its lock (`flock`), which ends with the process. A file that can be locked is orphaned. That is true
across containers that share the folder, where process ids have no meaning.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field, TypeAdapter
from pydantic_core import PydanticSerializationError

from newsmill.model import Link, Page
from newsmill.text.sentences import PACKED

log = logging.getLogger(__name__)

SUFFIX = ".spool"
MAX_FILE_PAGES = 32  # one segment's worth, so that files are deleted as segments are saved
MAX_FILE_BYTES = 16 << 20

_HEADER = struct.Struct(">QQII")  # the row's id and fence, bytes of the metadata and of the body
_CHECKSUM = struct.Struct(">I")  # of header, metadata and body
_ENTRY: TypeAdapter[Page | Link] = TypeAdapter(Annotated[Page | Link, Field(union_mode="left_to_right")])  # a page has a link's fields too


@dataclass(frozen=True, slots=True)
class SpooledPage:
    """A page with the ledger row and the fence it was fetched under; both are 0 for the page of a spider, which has no lease."""

    id: int
    fence: int
    page: Page


@dataclass(frozen=True, slots=True)
class SpooledLink:
    """A link that a spider found."""

    link: Link


@dataclass(slots=True)
class SpoolFile:
    """One open file."""

    path: Path
    descriptor: int
    size: int = 0  # bytes
    pages: int = 0
    unsaved_pages: int = 0

    @property
    def is_full(self) -> bool:
        return self.pages >= MAX_FILE_PAGES or self.size >= MAX_FILE_BYTES


class Spool:
    """The files of one crawl, for one thread."""

    def __init__(self, folder: Path) -> None:
        """The folder is created with the first page. If it is not writable, a kill loses the pages that are not saved."""
        self.folder = folder
        self._file: SpoolFile | None = None
        self._has_failed = False

    def write(self, entry: SpooledPage | SpooledLink, *, now: datetime) -> SpoolFile | None:
        """Append a page or a link. Give the file to `release` when it is saved. None: writing failed, which is logged once."""
        try:
            file = self._open(now)
            file.size += _append(file.descriptor, file.size, *_encode(entry))
        except (OSError, PydanticSerializationError) as error:
            if not self._has_failed:
                log.warning("spool %s is not writable: %s. A kill would lose up to %d fetched pages", self.folder, error, MAX_FILE_PAGES)
            self._has_failed = True
            return None
        self._has_failed = False
        file.pages += 1
        file.unsaved_pages += 1
        return file

    def release(self, file: SpoolFile | None) -> None:
        """One page or link of the file is saved. The last one deletes the file."""
        if file is None:
            return
        file.unsaved_pages -= 1
        if file.unsaved_pages == 0:
            if file is self._file:
                self._file = None
            file.path.unlink(missing_ok=True)
            os.close(file.descriptor)

    def _open(self, now: datetime) -> SpoolFile:
        if self._file is None or self._file.is_full:
            self._file = _create_file(self.folder, now)
        return self._file


@dataclass(frozen=True, slots=True)
class OrphanedSpool:
    """The file of a killed crawl, locked by this process while it is open."""

    path: Path
    file: BinaryIO

    def entries(self) -> Iterator[SpooledPage | SpooledLink]:
        """What it holds up to the first damaged entry: the kill came during its write, or a power loss damaged it."""
        bytes_left = os.fstat(self.file.fileno()).st_size
        while bytes_left >= _HEADER.size + _CHECKSUM.size:
            header, (checksum,) = self.file.read(_HEADER.size), _CHECKSUM.unpack(self.file.read(_CHECKSUM.size))
            row_id, fence, metadata_size, body_size = _HEADER.unpack(header)
            bytes_left -= _HEADER.size + _CHECKSUM.size + metadata_size + body_size
            if bytes_left < 0:
                return
            metadata, body = self.file.read(metadata_size), self.file.read(body_size)
            if _compute_checksum(header + metadata, body) != checksum:
                return
            entry = _ENTRY.validate_json(metadata)
            yield SpooledLink(entry) if isinstance(entry, Link) else SpooledPage(row_id, fence, replace(entry, body=body))

    def remove(self) -> None:
        """Delete the file after its pages and links are saved."""
        self.path.unlink(missing_ok=True)


def orphaned_spools(folder: Path) -> Iterator[OrphanedSpool]:
    """The files of killed crawls, oldest first, each locked until the next is requested. One not removed comes again next time."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = path.open("r+b")  # some file systems lock only files that are open for writing
        except OSError:  # another crawl has just removed it, or it belongs to another user
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if os.fstat(file.fileno()).st_nlink:
                yield OrphanedSpool(path, file)


def _create_file(folder: Path, now: datetime) -> SpoolFile:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:  # else another crawl saw the file before it was locked, and removed it as an empty orphan
            return SpoolFile(path, descriptor)
        os.close(descriptor)


def _encode(entry: SpooledPage | SpooledLink) -> tuple[bytes, bytes]:
    if isinstance(entry, SpooledPage):
        row_id, fence, body = entry.id, entry.fence, entry.page.body
        metadata = _ENTRY.dump_json(replace(entry.page, body=b""), context=PACKED)
    else:
        row_id, fence, body, metadata = 0, 0, b"", _ENTRY.dump_json(entry.link)
    header = _HEADER.pack(row_id, fence, len(metadata), len(body))
    return header + _CHECKSUM.pack(_compute_checksum(header + metadata, body)) + metadata, body


def _compute_checksum(head: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(head))


def _append(descriptor: int, offset: int, head: bytes, body: bytes) -> int:
    """Write both at once, at `offset`. Returns the bytes written. Raises OSError after restoring the file."""
    length = len(head) + len(body)
    try:
        if os.pwritev(descriptor, (head, body), offset) != length:
            raise OSError("the disk is full")
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
    return length

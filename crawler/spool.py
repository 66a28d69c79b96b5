"""Fetched pages on their way into a segment. Written to a local file one by one as they come, so that a killed crawler's heir saves them
instead of fetching them again.

A page is one write and no fsync. What the kernel has taken outlives any death of the process, `kill -9` and out-of-memory too; a power
loss may cost the pages of the last seconds, which then come due and are fetched again. Segments, which are the record, are synced.

Whoever writes a file holds its lock (`flock`), which dies with its holder: a file that can be locked belongs to nobody alive. That holds
across containers that share the folder, where process ids say nothing.
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
from typing import BinaryIO

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from newsmill.model import Page

log = logging.getLogger(__name__)

SUFFIX = ".spool"
MAX_FILE_PAGES = 32  # of a file: one segment's worth, so that files go as segments are saved
MAX_FILE_BYTES = 16 << 20

_FRAME = struct.Struct(">QQII")  # the row's id and fence, bytes of the head and of the body
_SUM = struct.Struct(">I")  # checksum of frame, head and body
_PAGE: TypeAdapter[Page] = TypeAdapter(Page)


@dataclass(frozen=True, slots=True)
class SpooledPage:
    """A page with the ledger row and the fence it was fetched under."""

    id: int
    fence: int
    page: Page


@dataclass(slots=True)
class SpoolFile:
    """One file, and how many of its pages are not saved yet."""

    path: Path
    handle: int
    size: int = 0
    pages: int = 0
    waiting: int = 0

    @property
    def full(self) -> bool:
        return self.pages >= MAX_FILE_PAGES or self.size >= MAX_FILE_BYTES


class Spool:
    """The files of one crawler. Not to be shared between threads."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first page, and need not be writable: without it a killed crawler's pages are fetched again."""
        self.folder = folder
        self._part: SpoolFile | None = None
        self._trouble = False

    def keep(self, row: int, fence: int, page: Page, *, now: datetime) -> SpoolFile | None:
        """Write a page down. Give the answer to `release` when it is saved; None: it could not be written, which is logged once."""
        try:
            part = self._open(now)
            part.size += _append(part.handle, part.size, _frame(row, fence, page), page.body)
        except (OSError, PydanticSerializationError) as error:
            if not self._trouble:
                log.warning("%s takes no pages (%s): a killed crawler would fetch up to %d again", self.folder, error, MAX_FILE_PAGES)
            self._trouble = True
            return None
        self._trouble = False
        part.pages += 1
        part.waiting += 1
        return part

    def release(self, part: SpoolFile | None) -> None:
        """One page of the part is saved; with its last one the file goes."""
        if part is None:
            return
        part.waiting -= 1
        if part.waiting == 0:
            if part is self._part:
                self._part = None
            part.path.unlink(missing_ok=True)
            os.close(part.handle)

    def _open(self, now: datetime) -> SpoolFile:
        if self._part is None or self._part.full:
            self._part = _new_part(self.folder, now)
        return self._part


def _new_part(folder: Path, now: datetime) -> SpoolFile:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}{SUFFIX}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else an heir saw it before we had the lock, and removed it as empty
            return SpoolFile(path, handle)
        os.close(handle)


def _frame(row: int, fence: int, page: Page) -> bytes:
    head = _PAGE.dump_json(replace(page, body=b""))
    frame = _FRAME.pack(row, fence, len(head), len(page.body))
    return frame + _SUM.pack(_checksum(frame + head, page.body)) + head


def _checksum(start: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(start))


def _append(handle: int, size: int, frame: bytes, body: bytes) -> int:
    """Write both at once; the bytes written. Raises OSError, and then the file is as it was."""
    length = len(frame) + len(body)
    try:
        if os.pwritev(handle, (frame, body), size) != length:
            raise OSError("the disk is full")
    except OSError:
        os.ftruncate(handle, size)
        raise
    return length


# ---- the heir's side


@dataclass(frozen=True, slots=True)
class OrphanedSpool:
    """A dead crawler's file, ours as long as it is open."""

    path: Path
    file: BinaryIO

    def pages(self) -> Iterator[SpooledPage]:
        """Its pages, up to the end or the first that is not whole: the one its writer was killed over, or what a power loss spoilt."""
        left = os.fstat(self.file.fileno()).st_size
        while left >= _FRAME.size + _SUM.size:
            frame, (checksum,) = self.file.read(_FRAME.size), _SUM.unpack(self.file.read(_SUM.size))
            row, fence, head_size, body_size = _FRAME.unpack(frame)
            left -= _FRAME.size + _SUM.size + head_size + body_size
            if left < 0:
                return
            head, body = self.file.read(head_size), self.file.read(body_size)
            if _checksum(frame + head, body) != checksum:
                return
            yield SpooledPage(row, fence, replace(_PAGE.validate_json(head), body=body))

    def remove(self) -> None:
        """Its pages are saved."""
        self.path.unlink(missing_ok=True)


def orphaned_spools(folder: Path) -> Iterator[OrphanedSpool]:
    """The files that nobody alive writes, oldest first, each locked until the next is asked for. One not removed is found again."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = path.open("r+b")  # some file systems give the lock only to those who may write
        except OSError:  # another heir was faster, or it is another user's
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if os.fstat(file.fileno()).st_nlink:
                yield OrphanedSpool(path, file)

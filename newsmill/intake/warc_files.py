"""WARC files, also inside WACZ files and on standard input."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from newsmill.exceptions import ConfigError

STANDARD_INPUT = "-"
WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".wacz")
ARC_START = b"filedesc://"
WACZ_FOLDER = "archive/"  # the WARC files in a WACZ file (Web Archive Collection Zipped)
ZIP_LOCAL_HEADER = struct.Struct("<26xHH")  # with the lengths of the name and the extra field behind it


@dataclass(frozen=True, slots=True)
class WarcInput:
    """A WARC file that is open for reading. `size`: its bytes; None for a pipe."""

    name: str
    file: BinaryIO
    size: int | None


@contextmanager
def open_warc(name: str) -> Iterator[Sequence[WarcInput]]:
    """The WARC files in a file, or in a WACZ file; "-" is standard input. Raises ConfigError for a file that cannot be opened."""
    if name == STANDARD_INPUT:
        yield [WarcInput("standard input", sys.stdin.buffer, None)]
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror})") from None
    with file:
        if name.lower().endswith((".arc", ".arc.gz")) or file.peek(len(ARC_START)).startswith(ARC_START):
            raise ConfigError(
                f"{name} is an ARC file, the format before WARC; convert it, for example with `warcio recompress {name} pages.warc.gz`"
            )
        if name.lower().endswith(".wacz"):
            yield _open_members(name, file)
        else:
            yield [WarcInput(name, file, os.fstat(file.fileno()).st_size if file.seekable() else None)]


def measure_warc(name: str) -> int | None:
    """The bytes of the WARC files that `open_warc` opens; None for a pipe, which is not opened. Raises ConfigError."""
    if name == STANDARD_INPUT or Path(name).is_fifo():
        return None
    with open_warc(name) as inputs:
        sizes = [warc.size for warc in inputs]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _open_members(name: str, file: BinaryIO) -> list[WarcInput]:
    """The WARC files in a WACZ file. Raises ConfigError."""
    try:
        members = zipfile.ZipFile(file).infolist()
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{name}: not a whole WACZ file ({error})") from None
    found = [member for member in members if member.filename.startswith(WACZ_FOLDER) and member.filename.endswith(WARC_SUFFIXES)]
    for member in found:
        if member.compress_type != zipfile.ZIP_STORED:  # the standard forbids it
            raise ConfigError(f"{name}: {member.filename} is compressed in the WACZ file; unzip the file and give the WARC files in it")
    try:
        return [WarcInput(f"{name}/{member.filename}", cast(BinaryIO, _Member(file, member)), member.file_size) for member in found]
    except struct.error:
        raise ConfigError(f"{name}: not a whole WACZ file (a member begins behind its end)") from None


class _Member(io.RawIOBase):
    """A stored member of a ZIP file. Python's own reader refuses to go on behind damage."""

    def __init__(self, file: BinaryIO, member: zipfile.ZipInfo) -> None:
        file.seek(member.header_offset)
        name_and_extra = ZIP_LOCAL_HEADER.unpack(file.read(ZIP_LOCAL_HEADER.size))
        self._file, self._start, self._size, self._at = file, file.tell() + sum(name_and_extra), member.file_size, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

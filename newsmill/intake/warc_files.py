"""WARC files, also inside WACZ files and on standard input."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from newsmill.archive.captures import read_captures
from newsmill.archive.remote_files import is_url, open_remote
from newsmill.archive.warc_records import IsWanted
from newsmill.exceptions import ConfigError
from newsmill.intake.capture_filters import is_any
from newsmill.model import Capture
from newsmill.text.redaction import redact

STANDARD_INPUT = "-"
WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".wacz")
ARC_START = b"filedesc://"
WACZ_FOLDER = "archive/"  # the WARC files in a WACZ file (Web Archive Collection Zipped)
ZIP_LOCAL_HEADER = struct.Struct("<26xHH")  # with the lengths of the name and the extra field behind it


@dataclass(frozen=True, slots=True)
class WarcInput:
    """A WARC file that is open for reading. `size`: its bytes; None for a pipe. `path`: as given; None for a pipe and in a WACZ file."""

    name: str
    file: BinaryIO
    size: int | None
    path: str | None = None


@contextmanager
def open_warc(name: str) -> Iterator[Sequence[WarcInput]]:
    """The WARC files in a file, or in a WACZ file, by its path or URL; "-" is standard input.

    Raises ConfigError for a file that cannot be opened, and OSError, also in the block, for a URL that cannot be read.
    """
    if name == STANDARD_INPUT:
        yield [WarcInput("standard input", sys.stdin.buffer, None)]
        return
    with _open_file(name) as file:
        shown = show_name(name)
        if name.lower().endswith((".arc", ".arc.gz")) or _peek(file).startswith(ARC_START):
            raise ConfigError(
                f"{shown} is an ARC file, the format before WARC; convert it, for example with `warcio recompress {shown} pages.warc.gz`"
            )
        if name.lower().endswith(".wacz"):
            yield _open_members(shown, file)
        else:
            yield [WarcInput(shown, file, _measure(file) if file.seekable() else None, name)]


def show_name(name: str) -> str:
    """A path or URL without credentials, in which a file name that is not UTF-8 has escapes.

    >>> show_name("caf\\udce9.warc")
    'caf\\\\udce9.warc'
    """
    return redact(name).encode("utf-8", "backslashreplace").decode()


def _open_file(name: str) -> AbstractContextManager[BinaryIO]:
    if is_url(name):
        return open_remote(name)
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror})") from None


def _peek(file: BinaryIO) -> bytes:
    """The first bytes, which are read again; a pipe is not at a URL."""
    if isinstance(file, io.BufferedReader):
        return file.peek(len(ARC_START))
    start = file.read(len(ARC_START))
    file.seek(0)
    return start


def _measure(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def read_warc(name: str, is_wanted: IsWanted = is_any) -> Iterator[Capture]:
    """The captures of a WARC or WACZ file. Raises as `open_warc`."""
    with open_warc(name) as inputs:
        for warc in inputs:
            for capture in read_captures(warc.file, is_wanted):
                yield replace(capture, file=warc.name)


def measure_warc(name: str) -> int | None:
    """The bytes of the WARC files that `open_warc` opens; None for a pipe, which is not opened. Raises ConfigError."""
    try:
        if name == STANDARD_INPUT or (not is_url(name) and Path(name).is_fifo()):
            return None
        with open_warc(name) as inputs:
            sizes = [warc.size for warc in inputs]
    except OSError as error:
        raise ConfigError(f"{redact(name)} cannot be read: {redact(str(error))}") from error
    return None if None in sizes else sum(size or 0 for size in sizes)


def _open_members(name: str, file: BinaryIO) -> list[WarcInput]:
    """The WARC files in a WACZ file. Raises ConfigError."""
    try:
        members = zipfile.ZipFile(file).infolist()
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{name}: not a whole WACZ file ({error})") from None
    found = [member for member in members if member.filename.startswith(WACZ_FOLDER) and member.filename.endswith(WARC_SUFFIXES)]
    if not found:
        raise ConfigError(f"{name}: no WARC file in the folder {WACZ_FOLDER} of the WACZ file")
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

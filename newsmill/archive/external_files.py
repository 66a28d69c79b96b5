"""WARC files outside the archive, whose pages are read where they are.

The archive has a note of each file. A page is named by the file's note and the page's offset, so nothing of the file is copied.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from newsmill.archive import warc_writer
from newsmill.exceptions import ArchiveDamaged, ConfigError, ServiceError
from newsmill.model import Page
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence, join_sentences

NOTES_FOLDER = "files"
_SEGMENT_ID = re.compile(r"(file-[0-9a-f]{16})-\d+")


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A WARC file. One that gets another length, or is submitted for another source, is another file."""

    url: str  # or its absolute path
    length: int
    source: str | None = None  # of all pages; None: the one that a page of Newsmill names
    finished: str | None = None  # the options with which all its pages were submitted
    pages: int = 0  # that were submitted then, or known

    @property
    def id(self) -> str:
        named = " ".join(filter(None, (self.url, str(self.length), self.source)))
        return f"file-{blake2b(named.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"

    def make_segment_id(self, offset: int) -> str:
        """The id of a segment of pages of the file, of which the first is at this offset."""
        return f"{self.id}-{offset}"


def find_file_id(segment_id: str) -> str | None:
    """The id of the file that a segment is part of; None for a segment of the archive.

    >>> find_file_id("file-0123456789abcdef-77"), find_file_id("20261202T015900Z-00000001")
    ('file-0123456789abcdef', None)
    """
    match = _SEGMENT_ID.fullmatch(segment_id)
    return match[1] if match else None


@contextmanager
def open_external(file: ExternalFile, segment_id: str) -> Iterator[ExternalReader]:
    """A segment of the file, to read pages of. Raises ArchiveDamaged when it is missing or has another length, and ServiceError when the
    file system does not answer."""
    from newsmill.archive.remote_files import is_url, open_remote  # most archives have no such file

    try:
        with open_remote(file.url) if is_url(file.url) else Path(file.url).open("rb") as opened:
            if (length := opened.seek(0, io.SEEK_END)) != file.length:
                raise ArchiveDamaged(
                    Sentence(
                        "the WARC file {url} has {n:,} bytes, and had {length:,} when it was submitted",
                        url=redact(file.url),
                        n=length,
                        length=file.length,
                    )
                )
            yield ExternalReader(segment_id, file, opened)
    except FileNotFoundError:
        reason = Sentence("the WARC file {url} is missing", url=redact(file.url))
        raise ArchiveDamaged(join_sentences([reason, Sentence("put it there again, or submit it at its new place")])) from None
    except (OSError, ConfigError) as error:
        raise ServiceError(
            Sentence("the WARC file {url} cannot be read: {error}", url=redact(file.url), error=redact(str(error)))
        ) from error


class ExternalReader:
    """An open WARC file of any program; its methods are those of a SegmentReader."""

    def __init__(self, segment_id: str, file: ExternalFile, opened: BinaryIO) -> None:
        self.id = segment_id
        self._file, self._opened = file, opened

    def page(self, offset: int) -> Page:
        """The page of the record at an offset. Raises ArchiveDamaged."""
        from newsmill.archive.captures import read_capture  # most archives have no such file

        try:
            page = read_capture(self._opened, offset)
        except ArchiveDamaged as error:
            raise ArchiveDamaged(Sentence("the WARC file {url}: {error}", url=redact(self._file.url), error=error)) from error
        return replace(page, source=self._file.source or page.source)

    def records(self, offset: int) -> bytes:
        """The page as Newsmill's own records, for another WARC file. Raises ArchiveDamaged."""
        out = io.BytesIO()
        warc_writer.write_page(out, self.page(offset))
        return out.getvalue()

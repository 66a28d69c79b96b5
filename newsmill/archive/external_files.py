"""WARC files outside the archive, whose pages are read where they are.

The archive has a note of each file. A page is named by the file's note and the page's offset, so nothing of the file is copied.
A note is named by the file's content, so a file that was moved is found again when it is submitted at its new place.

Others may change these files. The archive has a digest of each page, computed when the page was submitted, and each read is checked. Pages
that a takedown bars are listed, and never read again.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from newsmill.archive import warc_writer
from newsmill.exceptions import ArchiveDamaged, ConfigError, ServiceError, UrlError
from newsmill.model import Page
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence, join_sentences
from newsmill.text.urls import make_key

NOTES_FOLDER = "files"
PAGES_FOLDER = "file_pages"  # for each segment, what is known of its pages
BARRED_FOLDER = "barred_pages"  # for each file with pages that a takedown bars
DIGEST_BYTES = 64 << 10  # of the beginning and of the end of a file; a WARC file begins and ends with ids and times of its own
BLOCK_BYTES = 256 << 10  # that are fetched at once of a file at a URL; s3fs fetches 50 MB for a page of 30 kB
_SEGMENT_ID = re.compile(r"(file-[0-9a-f]{16})-\d+")
_REMEDY = Sentence("put the submitted file there again, or submit it at its new place")


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A WARC file. One with other contents, or that is submitted for another source, is another file; one that was moved is the same."""

    url: str  # or its absolute path, where it was submitted last
    length: int
    source: str | None = None  # of all pages; None: the one that a page of Newsmill names
    finished: str | None = None  # the options with which all its pages were submitted
    pages: int = 0  # that were submitted then, or known
    digest: str | None = None  # of its contents; None in a note of an older version, which its URL names

    @property
    def id(self) -> str:
        named = " ".join(filter(None, (self.digest or self.url, str(self.length), self.source)))
        return f"file-{blake2b(named.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"

    def make_segment_id(self, offset: int) -> str:
        """The id of a segment of pages of the file, of which the first is at this offset."""
        return f"{self.id}-{offset}"


@dataclass(frozen=True, slots=True)
class SubmittedPage:
    """A page of a file: the digest of its records, and the keys of all URLs that led to it."""

    digest: str
    url_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PageChecks:
    """What the pages of a segment must be: digests by offset, and the offsets that are barred. An older version noted no digests."""

    digests: Mapping[int, str] = field(default_factory=dict)
    barred: frozenset[int] = frozenset()


def find_file_id(segment_id: str) -> str | None:
    """The id of the file that a segment is part of; None for a segment of the archive.

    >>> find_file_id("file-0123456789abcdef-77"), find_file_id("20261202T015900Z-00000001")
    ('file-0123456789abcdef', None)
    """
    match = _SEGMENT_ID.fullmatch(segment_id)
    return match[1] if match else None


def make_digest(file: BinaryIO, length: int) -> str:
    """The digest of the first `length` bytes of a file, from their beginning and their end. Raises OSError."""
    digest = blake2b(digest_size=16)
    for start in (0, max(0, length - DIGEST_BYTES)):
        file.seek(start)
        digest.update(file.read(min(DIGEST_BYTES, length)))
    return digest.hexdigest()


@contextmanager
def open_external(file: ExternalFile, segment_id: str, checks: PageChecks) -> Iterator[ExternalReader]:
    """A segment of the file, to read pages of. Records that were appended to the file since do not matter.

    Raises ArchiveDamaged when the file is missing, cut or another one, and ServiceError when the file system does not answer.
    """
    from newsmill.archive.remote_files import is_url, open_remote  # most archives have no such file

    try:
        with open_remote(file.url, BLOCK_BYTES) if is_url(file.url) else Path(file.url).open("rb") as opened:
            length = opened.seek(0, io.SEEK_END)
            if length < file.length or (file.digest is None and length > file.length):
                raise ArchiveDamaged(
                    Sentence(
                        "the WARC file {url} has {n:,} bytes, and had {length:,} when it was submitted",
                        url=redact(file.url),
                        n=length,
                        length=file.length,
                    )
                )
            if file.digest is not None and make_digest(opened, file.length) != file.digest:
                reason = Sentence("the WARC file {url} is not the one that was submitted", url=redact(file.url))
                raise ArchiveDamaged(join_sentences([reason, _REMEDY]))
            yield ExternalReader(segment_id, file, opened, checks)
    except FileNotFoundError:
        reason = Sentence("the WARC file {url} is missing", url=redact(file.url))
        raise ArchiveDamaged(join_sentences([reason, _REMEDY])) from None
    except (OSError, ConfigError) as error:
        raise ServiceError(
            Sentence("the WARC file {url} cannot be read: {error}", url=redact(file.url), error=redact(str(error)))
        ) from error


class ExternalReader:
    """An open WARC file of any program; its methods are those of a SegmentReader."""

    def __init__(self, segment_id: str, file: ExternalFile, opened: BinaryIO, checks: PageChecks) -> None:
        self.id = segment_id
        self._file, self._opened, self._checks = file, opened, checks

    def page(self, offset: int, url: str | None = None) -> Page:
        """The page of the record at an offset. Raises ArchiveDamaged, also for a changed page and the page of another URL than `url`."""
        from newsmill.archive.captures import read_capture  # most archives have no such file

        try:
            if offset in self._checks.barred:
                raise ArchiveDamaged(Sentence("the page at offset {offset} is barred by a takedown", offset=offset))
            page = read_capture(self._opened, offset, self._checks.digests.get(offset))
        except ArchiveDamaged as error:
            raise ArchiveDamaged(Sentence("the WARC file {url}: {error}", url=redact(self._file.url), error=error)) from error
        if url is not None and not _is_page_of(page, url):
            other = Sentence("at offset {offset} is the page of {url}", offset=offset, url=redact(page.url))
            raise ArchiveDamaged(Sentence("the WARC file {url}: {error}", url=redact(self._file.url), error=other))
        return replace(page, source=self._file.source or page.source)

    def records(self, offset: int, url: str | None = None) -> bytes:
        """The page as Newsmill's own records, for another WARC file. Raises as `page`."""
        out = io.BytesIO()
        warc_writer.write_page(out, self.page(offset, url))
        return out.getvalue()


def _is_page_of(page: Page, url: str) -> bool:
    try:
        return make_key(url) in (make_key(page.requested_url), make_key(page.url))
    except UrlError:
        return False

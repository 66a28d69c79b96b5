"""WARC files of any program: their pages are submitted as if a program had fetched them at the times of their captures."""

from __future__ import annotations

import io
import logging
import os
import re
import struct
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES
from newsmill.archive.captures import Capture, IsWanted, Skipped, read_captures
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, DecodeError, UrlError
from newsmill.extraction.decode import HTML_TYPES, decode_body, detect_non_html
from newsmill.intake.submission import MAX_TEXT_CHARACTERS, encode_item, limit_time, make_enqueue, open_target, store_pages
from newsmill.model import Page, PageStatus, WarcCounts
from newsmill.storage.ledger import ArchivedRow
from newsmill.text.redaction import redact
from newsmill.text.urls import make_key

log = logging.getLogger(__name__)

FOUND_BY = "warc"
STANDARD_INPUT = "-"
WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".wacz")
ARC_START = b"filedesc://"
WACZ_FOLDER = "archive/"  # the WARC files in a WACZ file (Web Archive Collection Zipped)
ZIP_LOCAL_HEADER = struct.Struct("<26xHH")  # with the lengths of the name and the extra field behind it
BACKLOG_SHARE = 8  # of the crawler's high-water mark, so that the crawler goes on and news waits some minutes at most
BACKLOG_POLL_SECONDS = 1.0
OK = 200
MARKUP_TYPES = ("text/html", "application/xhtml+xml")  # bodies of other types are looked at before they are archived
_TAG = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")

_SKIPPED_FIELDS = {Skipped.TOO_LARGE: "rejected"}
_STATUS_FIELDS = {PageStatus.QUEUED: "queued", PageStatus.KNOWN: "known", PageStatus.REJECTED: "rejected"}


@dataclass(frozen=True, slots=True)
class WarcInput:
    """A WARC file that is open for reading. `size`: its bytes; None for a pipe."""

    name: str
    file: BinaryIO
    size: int | None


class WarcSubmission:
    """One run over WARC files. It keeps no state: a second run finds what the first has stored, by URL and time of capture."""

    def __init__(
        self,
        app: AppContext,
        enqueue: Callable[[str], bool],
        *,
        source: str | None = None,
        again: bool = False,
        is_wanted: IsWanted,
        warn: Callable[[str], None],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`source`: of all pages; default: that of a page of Newsmill, if it exists here. `again`: also take captures that are not newer
        than the stored page. `warn` gets a sentence for each damaged record and rejected page. `sleep` returns whether to stop waiting."""
        self._app, self._enqueue, self._source, self._again = app, enqueue, source, again
        self._is_wanted, self._warn, self._sleep = is_wanted, warn, sleep
        self._counts: Counter[str] = Counter()
        self._batch: dict[str, Page] = {}
        self._batch_bytes = 0
        self._sources: dict[str, bool] = {}

    @property
    def counts(self) -> WarcCounts:
        return WarcCounts(**self._counts)

    def read(self, warc: WarcInput) -> Iterator[int]:
        """Read a file and submit its pages; yields the offset of each record that was read. Raises ServiceError, OSError."""
        for capture in read_captures(warc.file, self._is_wanted):
            self._take(warc.name, capture)
            if len(self._batch) == MAX_SEGMENT_PAGES or self._batch_bytes >= MAX_SEGMENT_BYTES:
                self.finish()
            yield capture.offset

    def finish(self) -> None:
        """Submit the pages that were read and are not submitted yet. Raises ServiceError."""
        pages, self._batch, self._batch_bytes = self._batch, {}, 0
        if not pages:
            return
        rows = self._app.ledger.submitted_pages.find_rows(list(pages))
        newer = [page for key, page in pages.items() if self._again or not _is_known(page, rows.get(key))]
        self._counts["known"] += len(pages) - len(newer)
        if newer:
            self._wait_for_workers()
        for receipt in store_pages(self._app, self._enqueue, newer, FOUND_BY):
            self._counts[_STATUS_FIELDS[receipt.status]] += 1
            if receipt.status is PageStatus.REJECTED:
                self._warn(f"{redact(receipt.url[:200])}: {receipt.reason}")

    def _take(self, name: str, capture: Capture) -> None:
        """Count a record that gives no page, or add its page to the batch."""
        if capture.page is None:
            skipped = capture.skipped or Skipped.OTHER
            self._counts[_SKIPPED_FIELDS.get(skipped, skipped.value)] += 1
            if capture.detail is not None:
                what = "damaged" if skipped is Skipped.DAMAGED else "too large"
                self._warn(f"{name}, offset {capture.offset:,}: {what}: {redact(capture.detail)}")
            return
        page = capture.page
        if (reason := find_refusal(page)) is not None:
            self._counts[reason] += 1
            if reason == "rejected":
                self._warn(f"{name}, offset {capture.offset:,}: the item holds no article")
            return
        try:
            key = make_key(page.requested_url)
        except UrlError as error:
            self._counts["rejected"] += 1
            self._warn(f"{name}, offset {capture.offset:,}: {error}")
            return
        page = replace(page, fetched_at=limit_time(page.fetched_at, self._app.now()), source=self._find_source(page.source))
        if (other := self._batch.get(key)) is not None:
            self._counts["known"] += 1  # of two captures of a URL, the newer one is stored
            if page.fetched_at <= other.fetched_at:
                return
        self._batch[key] = page
        self._batch_bytes += page.size

    def _find_source(self, name: str | None) -> str | None:
        if self._source is not None or name is None:
            return self._source
        if name not in self._sources:
            self._sources[name] = self._app.ledger.sources.get(name) is not None
        return name if self._sources[name] else None

    def _wait_for_workers(self) -> None:
        """Wait while live workers are far behind. Without a worker nothing would end the wait."""
        limit = max(1, self._app.settings.high_water // BACKLOG_SHARE)
        while len(self._app.ledger.segments.list_pending(now=self._app.now(), limit=limit)) >= limit:
            if not self._app.is_running("worker"):
                return
            if self._sleep(BACKLOG_POLL_SECONDS):
                return


def _is_known(page: Page, row: ArchivedRow | None) -> bool:
    """Whether the store has this capture of a URL, or a later one."""
    return row is not None and row.segment is not None and row.fetched_at is not None and page.fetched_at <= row.fetched_at


def find_refusal(page: Page) -> str | None:
    """The field of WarcCounts for a response that cannot be an article, as most responses of a browser's archive; None for a page.

    The bytes decide, except for markup in scripts and data: a page with another type than HTML begins with a tag.
    """
    if page.is_item:
        return None if _is_item_readable(page) else "rejected"
    if page.status != OK:
        return "http_error"
    declared = page.header("Content-Type") or ""
    media = declared.partition(";")[0].strip().lower()
    if media in MARKUP_TYPES:
        return None
    try:
        body = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError:
        return None if media in HTML_TYPES else "not_html"  # the worker names what is wrong with a page
    is_page = detect_non_html(body, declared) is None and (media in HTML_TYPES or _TAG.match(body) is not None)
    return None if is_page else "not_html"


def _is_item_readable(page: Page) -> bool:
    try:
        return len(encode_item(page).text) <= MAX_TEXT_CHARACTERS
    except ValueError:
        return False


def submit_warc(
    files: Iterable[str | os.PathLike[str]],
    source: str | None,
    again: bool,
    is_wanted: IsWanted | None,
    where: str | os.PathLike[str] | None,
) -> WarcCounts:
    """See `newsmill.submit_warc`."""
    if isinstance(files, (str, os.PathLike)):
        raise ConfigError("newsmill.submit_warc expects a list of files, not one; write [file]")
    with open_target(source, where) as app:
        run = WarcSubmission(app, make_enqueue(app.settings), source=source, again=again, is_wanted=is_wanted or _is_any, warn=log.warning)
        for name in files:
            with open_warc(os.fspath(name)) as inputs:
                for warc in inputs:
                    for _ in run.read(warc):
                        pass
        run.finish()
        return run.counts


def _is_any(url: str, at: datetime) -> bool:
    return True


# ---- filters and files -------------------------------------------------------------------------------------------------------


def make_filter(hosts: Sequence[str], since: datetime | None, until: datetime | None) -> IsWanted:
    """A filter of captures: of these hosts and the hosts below them, from `since` on, and before `until`."""
    wanted = tuple(host.strip().lower().strip(".") for host in hosts)

    def is_wanted(url: str, at: datetime) -> bool:
        if (since is not None and at < since) or (until is not None and at >= until):
            return False
        return not wanted or _is_host_below(url, wanted)

    return is_wanted


def _is_host_below(url: str, hosts: tuple[str, ...]) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == wanted or host.endswith(f".{wanted}") for wanted in hosts)


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

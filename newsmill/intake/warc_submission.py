"""WARC files of any program: their pages are submitted as if a program had fetched them at the times of their captures."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from newsmill.archive.archive import MAX_SEGMENT_BYTES, MAX_SEGMENT_PAGES
from newsmill.archive.captures import read_captures
from newsmill.archive.external_files import ExternalFile, SubmittedPage, make_digest
from newsmill.archive.remote_files import is_url
from newsmill.archive.warc_records import IsWanted
from newsmill.context import AppContext
from newsmill.exceptions import ArchiveDamaged, ConfigError, UrlError
from newsmill.intake.capture_filters import describe_filters, find_refusal, is_any
from newsmill.intake.page_requests import limit_time
from newsmill.intake.page_submission import list_url_keys, make_enqueue, store_pages
from newsmill.intake.url_submission import open_target
from newsmill.intake.warc_files import WarcInput, open_warc
from newsmill.model import Capture, Page, PageStatus, Segment, Skipped, WarcCounts
from newsmill.storage.ledger import ArchivedRow
from newsmill.text.redaction import redact
from newsmill.text.urls import make_key

log = logging.getLogger(__name__)

FOUND_BY = "warc"
BACKLOG_SHARE = 8  # of the crawler's high-water mark, so that the crawler goes on and news waits some minutes at most
BACKLOG_POLL_SECONDS = 1.0

_SKIPPED_FIELDS = {Skipped.TOO_LARGE: "rejected"}
_STATUS_FIELDS = {PageStatus.QUEUED: "queued", PageStatus.KNOWN: "known", PageStatus.REJECTED: "rejected"}


@dataclass(frozen=True, slots=True)
class InPlace:
    """Pages stay in their files. A file that was submitted as a whole with the same filters is skipped; with None, no file is."""

    filters: str | None  # capture_filters.describe_filters


class WarcSubmission:
    """One run over WARC files. A second run finds what the first has stored, by URL and time of capture.

    With `in_place`, pages are not copied into the archive, which then notes the files that were submitted as a whole.
    """

    def __init__(
        self,
        app: AppContext,
        enqueue: Callable[[str], bool],
        *,
        source: str | None = None,
        again: bool = False,
        is_own: bool = False,
        in_place: InPlace | None = None,
        is_wanted: IsWanted,
        warn: Callable[[str], None],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`source`: of all pages; default: that of a page of Newsmill, if it exists here. `again`: also take captures that are not newer
        than the stored page. `is_own`: the files are the operator's, so a text was first seen when they say. `in_place` None: the pages are
        copied into the archive. `warn` gets a sentence for each damaged record and rejected page. `sleep` returns whether to stop waiting.
        """
        self._app, self._enqueue, self._source, self._again = app, enqueue, source, again
        self._is_own, self._in_place, self._is_wanted, self._warn, self._sleep = is_own, in_place, is_wanted, warn, sleep
        self._file: ExternalFile | None = None  # that is read in place
        # The notes before this run, and whether no file is there now; listed for the first file that is not finished.
        self._noted: list[tuple[ExternalFile, bool]] | None = None
        self._captures: dict[tuple[str, datetime, bytes], Capture] = {}  # of the batch's pages
        self._counts: Counter[str] = Counter()
        self._batch: dict[str, Page] = {}
        self._batch_bytes = 0
        self._sources: dict[str, bool] = {}

    @property
    def counts(self) -> WarcCounts:
        return WarcCounts(**self._counts)

    def read(self, warc: WarcInput) -> Iterator[int]:
        """Read a file and submit its pages; yields the offset of each record that was read. Raises ConfigError, ServiceError, OSError."""
        if self._in_place is None:
            yield from self._read(warc)
            return
        self._file = file = make_external_file(warc, self._source)
        noted = self._app.archive.find_external(file)
        if noted is not None and noted.finished is not None and noted.finished == self._in_place.filters and not self._again:
            again = self._retry(noted, file.url)
            self._counts += Counter(queued=again, known=noted.pages - again)
            return
        again = sum(self._retry(earlier, file.url) for earlier in self._find_earlier(file, warc.file))
        self._app.archive.note_external(file)
        before = self._counts.copy()
        try:
            yield from self._read(warc)
            self.finish()
        except ArchiveDamaged as error:
            self._warn(str(error))
            return
        read = self._counts - before
        self._app.archive.note_external(replace(file, finished=self._in_place.filters, pages=read["queued"] + read["known"]))
        again = min(again, read["known"])
        self._counts.update(queued=again, known=-again)

    def _retry(self, noted: ExternalFile, url: str) -> int:
        """Note where the file is by now, and have its pages extracted that could not be read. Returns their number."""
        if noted.url != url:
            self._app.archive.note_external(replace(noted, url=url))
        return self._app.ledger.retries.retry_damaged(noted.id, now=self._app.now())

    def _find_earlier(self, file: ExternalFile, opened: BinaryIO) -> list[ExternalFile]:
        """The notes of this file when it was shorter, here or at a path where no file is by now. A file at a URL does not grow."""
        if is_url(file.url):
            return []
        if self._noted is None:
            notes = [note for note in self._app.archive.list_external() if not is_url(note.url)]
            self._noted = [(note, _is_gone(note.url)) for note in notes]
        found = [note for note, is_gone in self._noted if note.length <= file.length and (note.url == file.url or is_gone)]
        found = [note for note in found if make_digest(opened, note.length) == note.digest]
        opened.seek(0)
        return found

    def _read(self, warc: WarcInput) -> Iterator[int]:
        for capture in read_captures(warc.file, self._is_wanted, with_digests=self._in_place is not None):
            self._take(warc.name, capture)
            if len(self._batch) == MAX_SEGMENT_PAGES or self._batch_bytes >= MAX_SEGMENT_BYTES:
                self.finish()
            yield capture.offset

    def finish(self) -> None:
        """Submit the pages that were read and are not submitted yet. Raises ServiceError."""
        pages, self._batch, self._batch_bytes = self._batch, {}, 0
        if not pages:
            return
        try:
            self._submit(pages)
        finally:
            self._captures.clear()

    def _submit(self, pages: Mapping[str, Page]) -> None:
        rows = self._app.ledger.submitted_pages.find_rows(list(pages))
        newer = [page for key, page in pages.items() if self._again or not _is_known(page, rows.get(key))]
        self._counts["known"] += len(pages) - len(newer)
        if newer:
            self._wait_for_workers()
        write = None if self._file is None else self._refer
        for receipt in store_pages(self._app, self._enqueue, newer, FOUND_BY, write, is_own=self._is_own):
            self._counts[_STATUS_FIELDS[receipt.status]] += 1
            if receipt.status is PageStatus.REJECTED:
                self._warn(f"{redact(receipt.url[:200])}: {receipt.reason}")

    def _refer(self, pages: Sequence[Page]) -> Segment:
        """A segment of pages that stay in their file. Raises ArchiveDamaged when they cannot be read there again."""
        assert self._file is not None
        captures = [self._captures[_identify(page)] for page in pages]
        offsets = tuple(capture.offset for capture in captures)
        segment_id = self._file.make_segment_id(min(offsets))
        noted = zip(captures, pages, strict=True)
        self._app.archive.note_pages(
            segment_id, {capture.offset: SubmittedPage(capture.digest or "", list_url_keys(page)) for capture, page in noted}
        )
        try:
            is_readable = self._app.archive.read_page(segment_id, offsets[-1]).body == pages[-1].body
        except ArchiveDamaged:
            is_readable = False
        if not is_readable:
            self._counts["rejected"] += len(pages)
            raise ArchiveDamaged(
                f"{redact(self._file.url)} cannot be read in place: its records are not compressed one by one; leave out --in-place, or run"
                " `warcio recompress` first"
            )
        return Segment(segment_id, len(pages), self._file.length, self._app.now(), offsets)

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
        fetched_at = limit_time(page.fetched_at, self._app.now())
        if self._file is not None and fetched_at != page.fetched_at:
            self._counts["rejected"] += 1
            self._warn(f"{name}, offset {capture.offset:,}: the time of the capture is in the future")
            return
        page = replace(page, fetched_at=fetched_at, source=self._find_source(page.source))
        if (other := self._batch.get(key)) is not None:
            self._counts["known"] += 1  # of two captures of a URL, the newer one is stored
            if page.fetched_at <= other.fetched_at:
                return
        self._batch[key] = page
        self._captures[_identify(page)] = replace(capture, page=None)
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


def _is_gone(path: str) -> bool:
    """Whether no file is at a path. False for one that this user cannot look at."""
    try:
        return not Path(path).exists()
    except OSError:
        return False


def make_external_file(warc: WarcInput, source: str | None) -> ExternalFile:
    """The file as the archive notes it. Raises ConfigError for one that cannot be read in place."""
    if warc.path is None or warc.size is None:
        raise ConfigError(f"{warc.name} cannot be read in place; give WARC files, not a WACZ file or a pipe")
    url = warc.path if is_url(warc.path) else str(Path(warc.path).absolute())
    digest = make_digest(warc.file, warc.size)
    warc.file.seek(0)
    return ExternalFile(url, warc.size, source, digest=digest)


def _identify(page: Page) -> tuple[str, datetime, bytes]:
    """What two captures with different contents never share."""
    return make_key(page.url), page.fetched_at, page.body


def _is_known(page: Page, row: ArchivedRow | None) -> bool:
    """Whether the store has this capture of a URL, or a later one."""
    return row is not None and row.segment is not None and row.fetched_at is not None and page.fetched_at <= row.fetched_at


def submit_warc(
    files: Iterable[str | os.PathLike[str]],
    source: str | None,
    again: bool,
    own: bool,
    in_place: bool,
    is_wanted: IsWanted | None,
    where: str | os.PathLike[str] | None,
) -> WarcCounts:
    """See `newsmill.submit_warc`."""
    if isinstance(files, (str, os.PathLike)):
        raise ConfigError("newsmill.submit_warc expects a list of files, not one; write [file]")
    with open_target(source, where) as app:
        run = WarcSubmission(
            app,
            make_enqueue(app.settings),
            source=source,
            again=again,
            is_own=own,
            in_place=InPlace(describe_filters(source) if is_wanted is None else None) if in_place else None,
            is_wanted=is_wanted or is_any,
            warn=log.warning,
        )
        for name in files:
            with open_warc(os.fspath(name)) as inputs:
                for warc in inputs:
                    for _ in run.read(warc):
                        pass
        run.finish()
        return run.counts

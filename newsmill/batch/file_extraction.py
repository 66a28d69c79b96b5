"""The extraction of one WARC file: its pages become documents, every other record an outcome."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from newsmill.archive.warc_records import IsWanted
from newsmill.batch.options import UNREADABLE, BatchOptions, FileCounts
from newsmill.batch.parts import PartsFolder, name_source
from newsmill.batch.profile_file import ProfileFile
from newsmill.discovery.url_variants import find_plain_url
from newsmill.exceptions import ConfigError, UrlError
from newsmill.exports.parquet import RowWriter, require_pyarrow
from newsmill.extraction.document_size import limit_size
from newsmill.intake.capture_filters import find_refusal, make_filter
from newsmill.intake.page_checks import check_page
from newsmill.intake.warc_files import read_warc, show_name
from newsmill.model import Capture, Document, ExtractionResult, Outcome, OutcomeRecord, Page, PageReceipt, Profile, Skipped
from newsmill.sandbox.pages import Sandbox, SandboxCrash
from newsmill.text.redaction import redact
from newsmill.text.urls import get_profile_site, make_key

MAX_ATTEMPTS = 2  # at a page that ends its reader: the system may have killed an innocent one
BAD_URL = "bad_url: "  # begins the reason of a page that is rejected for its URL

Ending = Document | tuple[str, str | None]  # the document of a capture, or its outcome and detail
Progress = Callable[[Capture], object]


def extract_file(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    options: BatchOptions | None = None,
    *,
    on_capture: Progress | None = None,
) -> FileCounts:
    """Extract the pages of one WARC or WACZ file to two Parquet files: `documents/NAME.parquet` and `outcomes/NAME.parquet`.

    Each page is read in a child process under the limits of a worker: a page that crashes it is an outcome. A source that is finished is
    not read again, unless its size or time has changed; its new files then replace those of before. A call may be repeated, or run twice at
    once: the files have the same bytes.

    Args:
        source: The path or URL of a file, compressed with gzip or zstd or not at all. URLs begin with file://, s3://, http:// or https://.
        folder: The output folder, or s3://bucket/prefix.
        options: Filters and the default language; all calls for one folder have the same ones.
        on_capture: Called with each record that was read, to show progress.

    Returns the counts. A file that cannot be read has one more row, with the outcome `unreadable`; the next call tries it again.
    Raises ConfigError, before any work, for a URL or folder that cannot be used, and ServiceError if the folder cannot be written to.
    """
    options = options or BatchOptions()
    require_pyarrow()
    name = name_source(os.fspath(source))
    parts = PartsFolder(os.fspath(folder), options)
    parts.claim()
    finished = parts.find_counts(name)
    if finished is not None:
        return finished

    def fill(documents: RowWriter, outcomes: RowWriter) -> FileCounts:
        with Sandbox() as sandbox, ExitStack() as resources:
            file = None if options.profiles is None else resources.enter_context(ProfileFile(os.fspath(options.profiles)))
            return _FileExtraction(name, options, sandbox, documents, outcomes, file).run(on_capture)

    return parts.write(name, fill)


class _FileExtraction:
    """One run over a file."""

    def __init__(
        self,
        source: str,
        options: BatchOptions,
        sandbox: Sandbox,
        documents: RowWriter,
        outcomes: RowWriter,
        profiles: ProfileFile | None,
    ) -> None:
        self._source, self._options, self._sandbox = source, options, sandbox
        self._documents, self._outcomes = documents, outcomes
        self._profiles = profiles
        self._languages = tuple(language.lower() for language in options.languages)
        self._counts: Counter[str] = Counter()
        self._stored = 0

    def run(self, on_capture: Progress | None) -> FileCounts:
        for capture in self._read_captures():
            ending = self._end(capture)
            if isinstance(ending, Document):
                self._stored += 1
                self._documents.add(ending.to_dict(), len(ending.text))
            else:
                self._write_outcome(capture, *ending)
            if on_capture is not None:
                on_capture(capture)
        return FileCounts(show_name(self._source), self._stored, dict(sorted(self._counts.items())))

    def _read_captures(self) -> Iterator[Capture]:
        """The captures of the file; then, if it could not be read to its end, one without offset is written as `unreadable`."""
        try:
            yield from read_warc(self._source, make_capture_filter(self._options))
        except (OSError, ConfigError) as error:
            self._write_outcome(Capture(-1, file=show_name(self._source)), UNREADABLE, show_name(str(error)))

    def _write_outcome(self, capture: Capture, outcome: str, detail: str | None) -> None:
        self._counts[outcome] += 1
        url = redact(capture.url)
        row = {"file": capture.file, "offset": capture.offset if capture.offset >= 0 else None, "url": url or None, "at": capture.at}
        self._outcomes.add(row | {"outcome": outcome, "detail": detail}, len(url))

    def _end(self, capture: Capture) -> Ending:
        page = choose_page(capture, self._options)
        return self._extract(page, f"{capture.file}@{capture.offset}") if isinstance(page, Page) else page

    def _extract(self, page: Page, archive_ref: str) -> Ending:
        profile = None if self._profiles is None else self._profiles.at(get_profile_site(page.url), page.fetched_at)
        result = read_page(self._sandbox, page, self._options.language, profile)
        document, ending = result.document, result.ending
        if document is None:
            return ending.outcome.value, ending.detail
        language = (document.language or "").lower()
        if self._languages and not any(language == one or language.startswith(f"{one}-") for one in self._languages):
            return Skipped.FILTERED.value, f"language {document.language}"
        return replace(document, id=find_document_id(document), archive_ref=archive_ref)


def make_capture_filter(options: BatchOptions) -> IsWanted:
    """The filter of captures by host, time, URL, and the caller's own function."""
    is_of_host = make_filter(tuple(options.hosts), options.since, options.until)
    urls = None if options.urls is None else frozenset(options.urls)

    def is_wanted(url: str, at: datetime) -> bool:
        if not is_of_host(url, at) or (urls is not None and url not in urls):
            return False
        return options.is_wanted is None or options.is_wanted(url, at)

    return is_wanted


def choose_page(capture: Capture, options: BatchOptions) -> Page | tuple[str, str | None]:
    """The page of a capture, as it is extracted; or the outcome and detail of a capture that gives none."""
    if capture.page is None:
        return (capture.skipped or Skipped.OTHER).value, None if capture.detail is None else redact(capture.detail)
    if options.statuses and capture.page.status not in options.statuses:
        return Skipped.FILTERED.value, f"HTTP {capture.page.status}"
    refusal = find_refusal(capture.page)
    if refusal is not None:
        return refusal, f"HTTP {capture.page.status}" if refusal == Outcome.HTTP_ERROR else None
    page = check_page(capture.page)
    if isinstance(page, PageReceipt):
        reason = page.reason or ""
        return (Outcome.BAD_URL.value, reason.removeprefix(BAD_URL)) if reason.startswith(BAD_URL) else ("rejected", reason)
    return page


def read_page(
    sandbox: Sandbox, page: Page, language: str | None, profile: Profile | None = None, *, brief: bool = True
) -> ExtractionResult:
    """Read a page as a worker does. A page that ends its reader MAX_ATTEMPTS times, or takes all of its CPU time, is an outcome."""
    crash = SandboxCrash("read", "")
    for _ in range(MAX_ATTEMPTS):
        result = sandbox.read(page, language=language, profile=profile, brief=brief)
        if not isinstance(result, SandboxCrash):
            return limit_size(result)
        crash = result
        if crash.cpu_seconds is not None:
            break
    outcome = Outcome.DEADLINE if crash.reason.startswith("deadline") else Outcome.DIED
    return ExtractionResult(OutcomeRecord(outcome, f"{crash.stage}: {crash.reason}"))


def find_document_id(document: Document) -> str:
    """The id under which a store without other documents has it: an AMP, print or mobile version is named by the plain page."""
    try:
        plain = find_plain_url(document.url) if document.id == make_key(document.url) else None
    except UrlError:  # of an item
        return document.id
    return document.id if plain is None else make_key(plain)

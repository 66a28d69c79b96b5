"""One run of an export: part after part, each recorded in the manifest once its files are on disk. After a kill the next run resumes.

Over several runs, no document is omitted and none is written twice. A run ends with the IDs of documents that were removed. A layout
writes the files of one part: one file, one per day or source, one per document, or a WARC file of their pages.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import BinaryIO

from pydantic import TypeAdapter

from newsmill.archive import warc
from newsmill.archive.archive import Archive, SegmentReader
from newsmill.exceptions import ArchiveDamaged, ConfigError
from newsmill.exports.codebook import CODEBOOK_NAME, render_codebook
from newsmill.exports.formats import ExportFormat
from newsmill.exports.target import (
    DATA_FOLDER,
    INDEX_FOLDER,
    MAX_LISTED_MISSING,
    REMOVED_FOLDER,
    ExportedFile,
    ExportedWeek,
    ExportPlan,
    ExportPosition,
    ExportRun,
    ExportTarget,
    FieldCounts,
    Manifest,
    MissingPage,
    format_article_name,
    format_part_name,
    format_partition_name,
    format_text_name,
)
from newsmill.model import Document
from newsmill.search.results import StoredHit
from newsmill.search.search import Search
from newsmill.storage.documents import RemovedDocument

MAX_PART_DOCUMENTS = 50_000
MAX_PART_CHARACTERS = 400_000_000  # of texts: a file of about half a gigabyte
LONG_SCAN_SECONDS = 60.0  # a longer scan is followed by another, for documents stored meanwhile


def begin_export(target: ExportTarget, plan: ExportPlan, *, since_last: bool = False, overwrite: bool = False) -> Manifest:
    """The manifest to resume from; an empty one for a new export.

    Raises ConfigError when the existing export has another plan, or is complete without `since_last` or `overwrite`.
    """
    existing = target.manifest()
    if existing is None or overwrite:
        existing = Manifest(plan)
        target.save_manifest(existing)  # before the files of the old export are removed: after a kill, this one resumes
    elif existing.plan != plan:
        raise ConfigError(f"--to {target.url} has an export with other options ({_describe_plan(existing.plan)}); --overwrite replaces it")
    elif existing.complete and not since_last:
        raise ConfigError(f"--to {target.url} has a complete export; --since-last adds newer documents, --overwrite starts again")
    if not existing.complete:
        target.remove_unfinished(above=existing.parts)
    return existing


class Export:
    """Writes documents into a claimed target."""

    def __init__(
        self,
        target: ExportTarget,
        layout: Layout,
        state: Manifest,
        *,
        now: Callable[[], datetime],
        version: str,
        read_weeks: Callable[[Collection[str]], Mapping[str, tuple[ExportedWeek, ...]]] = lambda _: {},
        read_removed: Callable[[str | None], Iterator[RemovedDocument]] = lambda _: iter(()),
    ) -> None:
        """`state` is from `begin_export`; `version` is the program's; `read_weeks` returns the completeness of sources, and `read_removed`
        the documents that were removed after a cursor."""
        self._read_weeks = read_weeks
        self._read_removed = read_removed
        self._target = target
        self._layout = layout
        self._state = state
        self._now = now
        self._run = ExportRun(now(), now(), 0, version)

    def run(self, documents: ExportScan, *, stop: Callable[[], bool], advance: Callable[[int], None]) -> Manifest:
        """Write all documents, or until `stop()`. Returns the manifest. `documents` must begin at the manifest's position.

        `advance` is called with 1 for each document. Raises ServiceError; files in the last manifest are on disk.
        """
        self._save(replace(self._state, complete=False))
        while (first := next(documents, None)) is not None:
            part = ExportPart(chain([first], documents), stop, advance)
            written = self._layout(self._target, self._state.parts + 1, part)
            self._save(self._after(part, written, documents.place))
            if stop():
                return self._state
        self._write_removed()
        weeks = self._read_weeks(self._state.summary.sources)
        complete = self._with_run(replace(self._state, complete=True, place=documents.place, completeness=weeks))
        self._target.put(CODEBOOK_NAME, 0, lambda out: out.write(render_codebook(complete).encode()))
        self._save(complete)
        return self._state

    def _write_removed(self) -> None:
        """removed/part-00002.jsonl: the IDs of documents that were removed since the last run, if there are any."""
        removed = self._read_removed(self._state.removed_until)
        if (first := next(removed, None)) is None:
            return
        last, number = first, self._state.parts + 1

        def fill(out: BinaryIO) -> None:
            nonlocal last
            for last in chain([first], removed):
                line = {"id": last.id, "source": last.source, "removed_at": last.removed_at.isoformat()}
                out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

        file = self._target.put(format_part_name(REMOVED_FOLDER, number, ".jsonl"), 0, fill)
        self._save(replace(self._state, parts=number, files=(*self._state.files, file), removed_until=last.cursor))

    def _after(self, part: ExportPart, written: WrittenFiles, place: ExportPosition) -> Manifest:
        before = self._state
        self._run = replace(self._run, documents=self._run.documents + part.documents)
        return replace(
            before,
            place=place,
            documents=before.documents + part.documents,
            parts=before.parts + 1,
            files=before.files + written.files,
            missing_count=before.missing_count + len(written.missing),
            missing=(before.missing + written.missing)[:MAX_LISTED_MISSING],
            summary=part.counts.add_to(before.summary),
        )

    def _save(self, state: Manifest) -> None:
        self._state = self._with_run(state)
        self._target.save_manifest(self._state)

    def _with_run(self, state: Manifest) -> Manifest:
        runs = tuple(run for run in state.runs if run.started_at != self._run.started_at)
        return replace(state, runs=(*runs, replace(self._run, ended_at=self._now())))


class ExportPart:
    """The documents of one part and their counts. Ends when the part is large enough, or when `stop()`."""

    def __init__(self, documents: Iterator[StoredHit], stop: Callable[[], bool], advance: Callable[[int], None]) -> None:
        self._source = documents
        self._stop = stop
        self._advance = advance
        self.documents = 0
        self.counts = FieldCounts()

    def __iter__(self) -> Iterator[Document]:
        characters = 0
        for stored in self._source:
            document = stored.document
            self.documents += 1
            self.counts.add(document)
            characters += len(document.text)
            yield document
            self._advance(1)
            if self.documents >= MAX_PART_DOCUMENTS or characters >= MAX_PART_CHARACTERS or self._stop():
                return


def _describe_plan(plan: ExportPlan) -> str:
    words = [f"--format {plan.format}"]
    words += [f"--as {plan.names}"] if plan.names else []
    words += [f"--partition {plan.partition}"] if plan.partition else []
    words += [f"--since {plan.since:%Y-%m-%dT%H:%M:%S}"] if plan.since else []
    words += [f"--live-updates {plan.live_updates}"] if plan.live_updates else []
    words += [f"--include {name}" for name in plan.include]
    return " ".join([repr(plan.query) if plan.query else "every document", *words])


class ExportScan:
    """An iterator over the matches of a query that are not written yet. `place` is always where the next run resumes."""

    def __init__(
        self, search: Search, query: str, since: datetime | None, place: ExportPosition, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`since`: only documents stored then or later. `clock`: seconds."""
        self._search = search
        self._query = query
        self._since = since
        self._clock = clock
        self._cursor = place.cursor
        self._hits = self._scan()

    def __iter__(self) -> Iterator[StoredHit]:
        return self

    def __next__(self) -> StoredHit:
        return next(self._hits)

    @property
    def place(self) -> ExportPosition:
        return ExportPosition(self._cursor)

    def _scan(self) -> Iterator[StoredHit]:
        while True:
            began, is_empty = self._clock(), True
            for stored in self._search.iterate(self._query, since=self._cursor or self._since):
                self._cursor = stored.cursor
                is_empty = False
                yield stored
            if is_empty or self._clock() - began < LONG_SCAN_SECONDS:
                return


# ---- layouts -----------------------------------------------------------------------------------------------------------------


_DOCUMENT = TypeAdapter(Document)


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """The files of one part."""

    files: tuple[ExportedFile, ...]
    missing: tuple[MissingPage, ...] = ()


Layout = Callable[[ExportTarget, int, Iterable[Document]], WrittenFiles]


def one_file_layout(output_format: ExportFormat) -> Layout:
    """data/part-00001.jsonl"""

    def write(target: ExportTarget, number: int, documents: Iterable[Document]) -> WrittenFiles:
        counted = CountedDocuments(documents)
        file = target.put(format_part_name(DATA_FOLDER, number, output_format.suffix), 0, lambda out: output_format.write(out, counted))
        return WrittenFiles((replace(file, documents=counted.count),))

    return write


def partitioned_layout(output_format: ExportFormat, by: str) -> Layout:
    """data/by_day=2026-11-25/part-00001.parquet. `by`: day or month of publication, or source."""

    def write(target: ExportTarget, number: int, documents: Iterable[Document]) -> WrittenFiles:
        with PartitionBuffer(by, documents) as partitions:
            return WrittenFiles(tuple(_put(target, number, partitions, value) for value in partitions.values()))

    def _put(target: ExportTarget, number: int, partitions: PartitionBuffer, value: str | None) -> ExportedFile:
        name = format_part_name(format_partition_name(by, value), number, output_format.suffix)
        return target.put(name, partitions.count(value), lambda out: output_format.write(out, partitions.read(value)))

    return write


def text_files_layout(output_format: ExportFormat) -> Layout:
    """A text or Markdown file for each document, and index/part-00001.jsonl, which describes them."""

    def write(target: ExportTarget, number: int, documents: Iterable[Document]) -> WrittenFiles:
        with tempfile.TemporaryFile() as index:
            count = 0
            for document in documents:
                index.write(_encode_index_line(document, _put(target, document)))
                count += 1
            target.sync()
            index.seek(0)
            return WrittenFiles((target.put(format_part_name(INDEX_FOLDER, number, ".jsonl"), count, lambda out: out.writelines(index)),))

    def _put(target: ExportTarget, document: Document) -> ExportedFile:
        name = format_text_name(document.id, output_format.suffix)
        if output_format.name == "markdown":  # people read these files
            name = format_article_name(document.id, partition_value(document, "day"), document.title, output_format.suffix)
        return target.put(name, 1, lambda out: output_format.write(out, [document]), defer_sync=True)

    return write


def warc_layout(archive: Archive, now: datetime) -> Layout:
    """data/part-00001.warc.gz: the archived records of the documents' pages. Damaged and missing pages are listed."""

    def write(target: ExportTarget, number: int, documents: Iterable[Document]) -> WrittenFiles:
        missing: list[MissingPage] = []
        counted = CountedDocuments(documents)

        def fill(out: BinaryIO) -> None:
            warc.write_warcinfo(out, now)
            with OpenSegments(archive) as segments:
                for document in counted:
                    try:
                        out.write(segments.records(document.archive_ref))
                    except ArchiveDamaged as error:
                        missing.append(MissingPage(document.id, str(error)))

        file = target.put(format_part_name(DATA_FOLDER, number, ".warc.gz"), 0, fill)
        return WrittenFiles((replace(file, documents=counted.count - len(missing)),), tuple(missing))

    return write


class CountedDocuments:
    """An iterable of documents that counts them."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = documents
        self.count = 0

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            self.count += 1
            yield document


class OpenSegments:
    """Segments of the archive. The last one stays open: most documents that were stored together are in one segment."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._exit_stack = ExitStack()
        self._open: SegmentReader | None = None

    def __enter__(self) -> OpenSegments:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def records(self, reference: str | None) -> bytes:
        """The records of the page at "segment@offset". Raises ArchiveDamaged."""
        if reference is None:
            raise ArchiveDamaged("the document has no archive reference")
        segment, _, offset = reference.partition("@")
        if self._open is None or self._open.id != segment:
            self._exit_stack.close()
            self._open = None
            self._open = self._exit_stack.enter_context(self._archive.open(segment))
        return self._open.records(int(offset))


class PartitionBuffer:
    """Documents in a temporary file, to be read partition by partition. Memory use does not depend on their number."""

    def __init__(self, by: str, documents: Iterable[Document]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._offsets: dict[str | None, list[int]] = {}
        for document in documents:
            self._offsets.setdefault(partition_value(document, by), []).append(self._file.tell())
            self._file.write(_DOCUMENT.dump_json(document) + b"\n")

    def __enter__(self) -> PartitionBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def values(self) -> list[str | None]:
        """The partitions, in a stable order."""
        return sorted(self._offsets, key=lambda value: value or "")

    def count(self, value: str | None) -> int:
        return len(self._offsets[value])

    def read(self, value: str | None) -> Iterator[Document]:
        for offset in self._offsets[value]:
            self._file.seek(offset)
            yield _DOCUMENT.validate_json(self._file.readline())


def partition_value(document: Document, by: str) -> str | None:
    """The day or month of publication (in the site's time zone, else UTC), or the source. None if it is not known."""
    if by == "source":
        return document.source
    day = document.published_day or (document.published_at.date().isoformat() if document.published_at else None)
    return day if day is None or by == "day" else day[:7]


def _encode_index_line(document: Document, file: ExportedFile) -> bytes:
    at = document.published_at
    about = {"file": file.file, "id": document.id, "url": document.url, "title": document.title, "published_at": at and at.isoformat()}
    return json.dumps({**about, "revision": document.revision, "bytes": file.bytes, "sha256": file.sha256}).encode() + b"\n"

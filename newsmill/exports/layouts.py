"""The files that the documents of one part become."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO

from pydantic import TypeAdapter

from newsmill.archive import warc_writer
from newsmill.archive.archive import Archive, SegmentReader
from newsmill.archive.external_files import ExternalReader
from newsmill.exceptions import ArchiveDamaged
from newsmill.exports.formats import ExportFormat
from newsmill.exports.manifest import ExportedFile, MissingPage
from newsmill.exports.target import (
    DATA_FOLDER,
    INDEX_FOLDER,
    ExportTarget,
    format_article_name,
    format_part_name,
    format_partition_name,
    format_text_name,
)
from newsmill.model import Document

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
            warc_writer.write_warcinfo(out, now)
            with OpenSegments(archive) as segments:
                for document in counted:
                    try:
                        out.write(segments.records(document.archive_ref, document.requested_url))
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
        self._open: SegmentReader | ExternalReader | None = None

    def __enter__(self) -> OpenSegments:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def records(self, reference: str | None, url: str) -> bytes:
        """The records of the page of `url` at "segment@offset". Raises ArchiveDamaged."""
        if reference is None:
            raise ArchiveDamaged("the document has no archive reference")
        segment, _, offset = reference.partition("@")
        if self._open is None or self._open.id != segment:
            self._exit_stack.close()
            self._open = None
            self._open = self._exit_stack.enter_context(self._archive.open(segment))
        return self._open.records(int(offset), url)


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

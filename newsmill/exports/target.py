"""The folder or bucket that an export writes to, and its manifest.json: what the export contains, and where the next run resumes.

All names in it consist of numbers, ids and fixed words; those of Markdown files have letters and digits of titles too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from io import RawIOBase
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from newsmill.archive.object_store import EXPECTED, TEMPORARY_SUFFIX, open_object_store
from newsmill.exceptions import ConfigError
from newsmill.model import Document
from newsmill.text.redaction import redact

_DOCUMENT_ID = re.compile("[0-9a-f]{32}")  # newsmill.text.urls.make_key
# The data has its own folder: pandas and datasets read every file of a folder, and the manifest is not data.
DATA_FOLDER, INDEX_FOLDER, REMOVED_FOLDER = "data", "index", "removed"
_PART = r"part-(\d{5,})\.[a-z.]+"
_EXPORTED_NAME = re.compile(
    rf"(?:data/(?:by_(?:day|month|source)=[^/]+/)?|index/|removed/){_PART}|data/[0-9a-f]{{2}}/[0-9a-f]{{32}}\.txt|data/(?:\d{{4}}-\d\d|undated)/[\w-]+\.md|README\.md|manifest\.json"
)
MAX_FOLDER_NAME_CHARACTERS = 200  # file systems allow 255 bytes


class ExportTarget:
    """Every call may raise ServiceError."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        """`url`: a folder, file:// or s3://bucket/prefix. Raises ConfigError."""
        self.url = redact(url.rstrip("/")) or "/"
        if not url:  # an unset variable of a script; as a path it would be the current folder
            raise ConfigError(f"--to is empty; {EXPECTED}")
        if os.path.isfile(url):  # noqa: PTH113  # Path.is_file raises for a name that is too long
            raise ConfigError(f"--to {self.url} is a file; name a folder, or write one file with -o")
        self._store = open_object_store(url, options, setting="--to", what="export to")

    def lock(self) -> AbstractContextManager[None]:
        """Inside it no other export writes into this folder. A bucket has no locks. Raises ServiceError."""
        return self._store.lock()

    def manifest(self) -> Manifest | None:
        """The manifest that is there, or None. Raises ConfigError when it cannot be read, or when there are files without a manifest."""
        try:
            with self._store.open(MANIFEST_NAME) as file:
                return parse_manifest(file.read(), self.url)
        except FileNotFoundError:
            pass
        if not self._store.is_empty():
            raise ConfigError(f"--to {self.url} has files, but no manifest of an export; name an empty or a new folder")
        return None

    def save_manifest(self, state: Manifest) -> None:
        """Write the manifest. Files that it names are part of the export."""
        self._store.put(MANIFEST_NAME, lambda file: file.write(dump_manifest(state)))

    def sync(self) -> None:
        """Bring files to disk that were put with `defer_sync`."""
        self._store.sync()

    def put(self, name: str, documents: int, fill: Callable[[BinaryIO], object], *, defer_sync: bool = False) -> ExportedFile:
        """Write a file with `fill`; it appears when it is whole. `documents`: how many it holds. `defer_sync`: on disk after `sync`."""

        def fill_hashed(file: BinaryIO) -> HashedFile:
            out = HashedFile(file)
            fill(cast(BinaryIO, out))
            return out

        written = self._store.put(name, fill_hashed, defer_sync=defer_sync)
        return ExportedFile(name, documents, written.length, written.digest.hexdigest())

    def remove_unfinished(self, *, above: int) -> None:
        """Remove parts with a higher number than `above`, and temporary files: an interrupted or replaced export left them.

        Texts have no number. They are removed with `above` 0, when no part is finished. Other files and the manifest stay.
        """
        for entry in self._store.list_objects(""):
            name = _EXPORTED_NAME.fullmatch(entry.path.removesuffix(TEMPORARY_SUFFIX))
            is_above = name is not None and entry.path != MANIFEST_NAME and int(name[1] or 1) > above
            if name and (is_above or entry.path.endswith(TEMPORARY_SUFFIX)):
                self._store.remove(entry.path)


class HashedFile(RawIOBase):
    """A file to write, which counts and hashes its bytes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.length = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.length

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self.length += len(view)
        self._out.write(view)
        return len(view)


def format_part_name(folder: str, number: int, suffix: str) -> str:
    """data/part-00001.jsonl"""
    return f"{folder}/part-{number:05d}{suffix}"


def format_partition_name(key: str, value: str | None) -> str:
    """A partition's folder as Hive writes it, which DuckDB, pandas, polars and datasets read back: by_source=paper.

    `value` may be any text; None becomes Hive's name for NULL.

    >>> format_partition_name("source", "../a b"), format_partition_name("day", None)
    ('data/by_source=..%2Fa%20b', 'data/by_day=__HIVE_DEFAULT_PARTITION__')
    """
    return f"{DATA_FOLDER}/by_{key}={'__HIVE_DEFAULT_PARTITION__' if value is None else quote(value, safe='')[:MAX_FOLDER_NAME_CHARACTERS]}"


def format_text_name(document_id: str, suffix: str) -> str:
    """data/ab/abcdef….txt: the id, in one of 256 folders. Programs cannot open a folder with a million files."""
    if not _DOCUMENT_ID.fullmatch(document_id):
        raise ValueError(f"{document_id[:80]!r} is not a document id")
    return f"{DATA_FOLDER}/{document_id[:2]}/{document_id}{suffix}"


MAX_SLUG_CHARACTERS, MAX_SLUG_BYTES = 60, 150  # of a title in a file name


def format_article_name(document_id: str, day: str | None, title: str | None, suffix: str) -> str:
    """data/2026-11/2026-11-24-the-harbour-opens-89abcdef.md: publication day, title, and the end of the id.

    >>> format_article_name("0123456789abcdef0123456789abcdef", "2026-11-24", "../Über das Wetter!", ".md")
    'data/2026-11/2026-11-24-über-das-wetter-89abcdef.md'
    """
    if not _DOCUMENT_ID.fullmatch(document_id):
        raise ValueError(f"{document_id[:80]!r} is not a document id")
    words = re.sub(r"[\W_]+", "-", (title or "").lower())[:MAX_SLUG_CHARACTERS]
    slug = words.encode(errors="ignore")[:MAX_SLUG_BYTES].decode(errors="ignore").strip("-")
    parts = (date.fromisoformat(day).isoformat() if day else None, slug, document_id[-8:])
    return f"{DATA_FOLDER}/{day[:7] if day else 'undated'}/{'-'.join(filter(None, parts))}{suffix}"


# ---- the manifest ------------------------------------------------------------------------------------------------------------


MANIFEST_NAME = "manifest.json"
MAX_DISTINCT_VALUES = 200  # licences or signals listed; pages may state anything, and a manifest must stay readable
MAX_LISTED_MISSING = 1000  # all are counted
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The options of an export. A run resumes an interrupted one with the same plan."""

    format: str
    query: str = ""
    names: str | None = None  # field names of zyte, news-please or trafilatura
    partition: str | None = None  # day, month or source
    since: datetime | None = None  # only what was stored then or later
    live_updates: str | None = None  # "in-text": the updates of live blogs are part of the text
    include: tuple[str, ...] = ()  # fields on request


@dataclass(frozen=True, slots=True)
class ExportPosition:
    """Where the next run resumes."""

    cursor: str | None = None  # everything up to it is written


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A finished file."""

    file: str  # relative to the manifest, with slashes
    documents: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class MissingPage:
    """A document that could not be exported."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExportRun:
    """One call of the command."""

    started_at: datetime
    ended_at: datetime
    documents: int
    newsmill: str  # the program's version


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Counts over all documents written. A changed document counts each time it was written."""

    sources: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    extractors: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)  # is_free: true, false, unknown
    licenses: Mapping[str, int] = field(default_factory=dict)
    signals: Mapping[str, int] = field(default_factory=dict)  # what pages and headers allow robots and text miners


@dataclass(frozen=True, slots=True)
class ExportedWeek:
    """What is known of the articles of one source and week that no listing showed."""

    week: date  # its Monday, UTC
    articles: int  # that a listing showed
    late: int  # found in this week, published more than two days before
    at_most: float | None = None  # the share in no listing, with 95 % confidence
    unknown: str | None = None  # why the share is unknown


@dataclass(frozen=True, slots=True)
class Manifest:
    plan: ExportPlan
    complete: bool = False
    place: ExportPosition = field(default_factory=ExportPosition)
    removed_until: str | None = None  # cursor up to which removed documents are listed, or were removed before the first run
    documents: int = 0
    parts: int = 0
    files: tuple[ExportedFile, ...] = ()
    missing_count: int = 0
    missing: tuple[MissingPage, ...] = ()
    runs: tuple[ExportRun, ...] = ()
    summary: ExportSummary = field(default_factory=ExportSummary)
    completeness: Mapping[str, tuple[ExportedWeek, ...]] = field(default_factory=dict)  # by source, at the end of the last run
    manifest: Literal[1] = 1  # the version of this format


_MANIFEST = TypeAdapter(Manifest)


def dump_manifest(manifest: Manifest) -> bytes:
    """JSON for people and programs."""
    return json.dumps(_MANIFEST.dump_python(manifest, mode="json"), ensure_ascii=False, indent=1).encode() + b"\n"


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest in a file. `where`: its folder, for messages. Raises ConfigError."""
    try:
        return _MANIFEST.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field_name = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(
            f"{where}/{MANIFEST_NAME} is not the manifest of an export ({field_name}: {first['msg']}); name another folder"
        ) from None


class FieldCounts:
    """Counts for an ExportSummary."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in ExportSummary.__dataclass_fields__}

    def add(self, document: Document) -> None:
        free = "unknown" if document.is_free is None else str(document.is_free).lower()
        self._count("sources", [document.source or "(none)"])
        self._count("languages", [document.language or "(unknown)"])
        self._count("extractors", [document.extractor])
        self._count("free", [free])
        self._count("licenses", [(document.license or "(none stated)")[:200]])
        self._count("signals", [f"{name}: {value}"[:200] for name, value in document.rights.items()] or ["(none)"])

    def _count(self, name: str, keys: Iterable[str]) -> None:
        counts = self._counts[name]
        for key in keys:
            counts[key if key in counts or len(counts) < MAX_DISTINCT_VALUES else OTHER] += 1

    def add_to(self, summary: ExportSummary) -> ExportSummary:
        """The summary with these counts added."""
        return replace(summary, **{name: _merge_counts(getattr(summary, name), counts) for name, counts in self._counts.items()})


def _merge_counts(before: Mapping[str, int], more: Counter[str]) -> dict[str, int]:
    total = Counter(before) + more
    kept = dict(total.most_common(MAX_DISTINCT_VALUES))
    if rest := total.total() - sum(kept.values()):
        kept[OTHER] = kept.get(OTHER, 0) + rest
    return kept

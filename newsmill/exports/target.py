"""The folder or bucket that an export writes to.

All names in it consist of numbers, ids and fixed words; those of Markdown files have letters and digits of titles too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date
from io import RawIOBase
from typing import Any, BinaryIO, cast
from urllib.parse import quote

from newsmill.archive.object_store import EXPECTED, TEMPORARY_SUFFIX, open_object_store
from newsmill.exceptions import ConfigError
from newsmill.exports.manifest import MANIFEST_NAME, ExportedFile, Manifest, dump_manifest, parse_manifest
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

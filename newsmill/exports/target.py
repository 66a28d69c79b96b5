"""The folder or object store an export goes to. Every name in it is made here, of numbers, ids and fixed words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from io import RawIOBase
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import quote

from newsmill.archive.object_store import TEMPORARY_SUFFIX, open_object_store
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.exports import manifest
from newsmill.exports.manifest import ExportedFile, Manifest
from newsmill.redaction import redact

T = TypeVar("T")
_DOCUMENT_ID = re.compile("[0-9a-f]{32}")  # find.urls.key
# The data stand in a folder of their own: pandas and datasets read a folder's every file, and the manifest is none of theirs.
DATA_FOLDER, INDEX_FOLDER = "data", "index"
_PART = r"part-(\d{5,})\.[a-z.]+"
_EXPORTED_NAME = re.compile(
    rf"(?:data/(?:by_(?:day|month|source)=[^/]+/)?|index/){_PART}|data/[0-9a-f]{{2}}/[0-9a-f]{{32}}\.(?:txt|md)|manifest\.json"
)
MAX_FOLDER_NAME_CHARACTERS = 200  # characters of a folder's name; file systems allow 255 bytes


class ExportTarget:
    """Where files are put. Every call may raise ServiceError."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        """`url`: a folder, file:// or s3://bucket/prefix. Raises ConfigError."""
        self.url = redact(url.rstrip("/")) or "/"
        self._place = open_object_store(url, options, setting="--to", what="export to")

    def lock(self) -> AbstractContextManager[None]:
        """Inside it no other export writes into this folder (not known of an object store). Raises ServiceError."""
        return self._place.claimed()

    def manifest(self) -> Manifest | None:
        """What stands there, or None. Raises ConfigError when it is none of ours, or when there are files and no manifest."""
        try:
            with self._place.open(manifest.MANIFEST_NAME) as file:
                return manifest.parse_manifest(file.read(), self.url)
        except FileNotFoundError:
            pass
        if not self._place.empty():
            raise ConfigError(f"--to {self.url}: there are files, but no export of ours; expected a folder that is empty or not there yet")
        return None

    def save(self, stand: Manifest) -> None:
        """Write the manifest: what is in it from now on counts."""
        self._write(manifest.MANIFEST_NAME, lambda file: file.write(manifest.dump_manifest(stand)))

    def settle(self) -> None:
        """Make safe what was put with `later`."""
        self._place.settle()

    def put(self, name: str, documents: int, fill: Callable[[BinaryIO], object], *, later: bool = False) -> ExportedFile:
        """Write a file by `fill`; it appears when it is whole. `documents` is how many it holds. `later`: safe after `settle`."""

        def checked(file: BinaryIO) -> HashedFile:
            out = HashedFile(file)
            fill(cast(BinaryIO, out))
            return out

        done = self._write(name, checked, later=later)
        return ExportedFile(name, documents, done.length, done.digest.hexdigest())

    def _write(self, name: str, fill: Callable[[BinaryIO], T], *, later: bool = False) -> T:
        try:
            return self._place.put(name, fill, later=later)
        except FileNotFoundError:
            raise ServiceError(f"export to {self.url}: there is no such bucket") from None

    def forget(self, *, above: int) -> None:
        """Remove what a run left unfinished: parts with a higher number than `above`, and temporary files."""
        for entry in self._place.entries(""):
            ours = _EXPORTED_NAME.fullmatch(entry.path.removesuffix(TEMPORARY_SUFFIX))
            if ours and (entry.path.endswith(TEMPORARY_SUFFIX) or int(ours[1] or 0) > above):
                self._place.remove(entry.path)

    def clear(self) -> None:
        """Remove the export that is there, the manifest last; other files stay."""
        for entry in self._place.entries(""):
            if _EXPORTED_NAME.fullmatch(entry.path.removesuffix(TEMPORARY_SUFFIX)) and entry.path != manifest.MANIFEST_NAME:
                self._place.remove(entry.path)
        self._place.remove(manifest.MANIFEST_NAME)


class HashedFile(RawIOBase):
    """A file that is only written to, and hashed on the way."""

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


def format_part_name(folder: str, number: int, ending: str) -> str:
    """data/part-00001.jsonl"""
    return f"{folder}/part-{number:05d}{ending}"


def format_partition_name(key: str, value: str | None) -> str:
    """A partition's folder as Hive writes it, which DuckDB, pandas, polars and datasets read back: by_source=paper.

    `value` may be any text; None becomes the name that stands for NULL there.

    >>> folder_name("source", "../a b"), folder_name("day", None)
    ('data/by_source=..%2Fa%20b', 'data/by_day=__HIVE_DEFAULT_PARTITION__')
    """
    return f"{DATA_FOLDER}/by_{key}={'__HIVE_DEFAULT_PARTITION__' if value is None else quote(value, safe='')[:MAX_FOLDER_NAME_CHARACTERS]}"


def format_text_name(document_id: str, ending: str) -> str:
    """data/ab/abcdef….txt: the id, in one of 256 folders, because a folder with a million files is none that people can open."""
    if not _DOCUMENT_ID.fullmatch(document_id):
        raise ValueError(f"{document_id[:80]!r} is not the id of a document")
    return f"{DATA_FOLDER}/{document_id[:2]}/{document_id}{ending}"

"""The part of a job that every engine shares: a task extracts one file to Parquet, then reads its documents from there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from newsmill.archive.object_store import open_object_store
from newsmill.archive.remote_files import is_url
from newsmill.batch.file_extraction import extract_file
from newsmill.batch.options import BatchOptions, FileCounts
from newsmill.batch.parts import PartsFolder, make_part_name, name_source
from newsmill.exceptions import ConfigError
from newsmill.exports.parquet import arrow_schema, read_row_groups, require_pyarrow
from newsmill.version import install_hint


def require_engine(package: str, extra: str) -> None:
    """Raises ConfigError where the package of an engine is not installed."""
    if find_spec(package) is None:
        raise ConfigError(f"newsmill.engines.{extra} needs {package}: {install_hint(extra)}")


@dataclass(frozen=True, slots=True)
class Job:
    """The files to extract, their folder and the options. A job can be pickled; a task may run twice, late or beside itself."""

    sources: tuple[str, ...]
    folder: str
    options: BatchOptions

    def extract(self, source: str) -> tuple[FileCounts, Iterator[Any]]:
        """Extract a file, unless that is done; returns its counts, and its documents as pyarrow tables that all have `arrow_schema()`."""
        counts = extract_file(source, self.folder, self.options)
        return counts, self._read_documents(source)

    def _read_documents(self, source: str) -> Iterator[Any]:
        store = open_object_store(self.folder, setting="output folder", what="output folder")
        with store.open(f"documents/{make_part_name(source)}") as file:
            yield from read_row_groups(file, arrow_schema())


def prepare(sources: Iterable[str | os.PathLike[str]], folder: str | os.PathLike[str], options: BatchOptions | None) -> Job:
    """Check a job where it is started, before any work. Paths become absolute, since tasks may run in other folders.

    Raises ConfigError for an empty list, a URL that cannot be read, and a folder that cannot be used.
    """
    require_pyarrow()
    if isinstance(sources, (str, os.PathLike)):
        raise ConfigError(f"expected a list of WARC files, not one name: [{os.fspath(sources)!r}]")
    names = tuple(dict.fromkeys(name_source(os.fspath(source)) for source in sources))
    if not names:
        raise ConfigError("expected WARC files, but the list is empty")
    path = os.fspath(folder)
    job = Job(names, path if is_url(path) else str(Path(path).expanduser().absolute()), options or BatchOptions())
    parts = PartsFolder(job.folder, job.options)
    parts.claim()
    parts.remove_unfinished()
    return job

"""The output folder of the batch function: two Parquet files for each file that was read, and its counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from newsmill.archive.object_store import open_object_store
from newsmill.archive.remote_files import check_url, is_url, read_version
from newsmill.batch.options import BatchOptions, FileCounts
from newsmill.exceptions import ConfigError
from newsmill.text.redaction import redact
from newsmill.version import __version__

if TYPE_CHECKING:
    from newsmill.exports.parquet import RowWriter

MARKER = "_newsmill.json"  # readers of data sets ignore names that begin with "_"
COUNTS_FOLDER = "_finished"
PAGES_FOLDER = "pages"  # to learn site profiles from
MAX_NAME_CHARACTERS = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DIGEST, _LEARNED = re.compile(r'"profiles": "\w+"'), '"profiles": "learned"'
_SUFFIX = re.compile(r"(\.warc)?(\.gz|\.zst|\.lz4|\.wacz)?$", re.IGNORECASE)

Fill = Callable[["RowWriter", "RowWriter"], FileCounts]


def name_source(source: str) -> str:
    """The name of a source for its parts: a URL as it is, or an absolute path. Raises ConfigError for a URL that cannot be read here."""
    if is_url(source):
        check_url(source)
        return source
    return str(Path(source).expanduser().absolute())


def make_part_name(source: str) -> str:
    """The name of a source's Parquet files, without folder; two sources of one name get two.

    >>> make_part_name("s3://bucket/2026/crawl-00001.warc.gz")
    'crawl-00001-4a7255a46f5b.parquet'
    """
    name = _UNSAFE.sub("_", _SUFFIX.sub("", source.rstrip("/").rpartition("/")[2], count=1)).strip(".-_")[:MAX_NAME_CHARACTERS]
    digest = blake2b(source.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return f"{name or 'pages'}-{digest}.parquet"


class PartsFolder:
    """A folder, or s3://bucket/prefix, with the parts that one version of Newsmill made with one set of options.

    A file appears whole: it is written beside and renamed. The counts of a source come last, so a source that has them is finished. They
    have the version of the source that was read: another one is read again, and its files replace those of before.
    """

    def __init__(self, folder: str, options: BatchOptions) -> None:
        """Raises ConfigError for a folder that cannot be used, or that has parts of another version or of other options."""
        self._store = open_object_store(folder, setting="output folder", what="output folder")
        self._folder = redact(folder)
        self._described = json.dumps({"newsmill": __version__, "options": options.describe()}, sort_keys=True)

    def claim(self, *, learns: bool = False) -> None:
        """Note what makes the parts of the folder. Raises ConfigError if other parts are there, and ServiceError.

        `learns`: the site profiles of the parts are yet to be learned, so the folder is only checked.
        """
        try:
            with self._store.open(MARKER) as file:
                found = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            if not learns:
                self._store.put(MARKER, lambda out: out.write(self._described.encode()), is_shared=True)
            return
        wanted = self._described
        if learns:
            found, wanted = _DIGEST.sub(_LEARNED, found), wanted.replace('"profiles": null', _LEARNED)
        if found != wanted:
            raise ConfigError(f"the folder {self._folder} has files of {_describe_difference(found, wanted)}; give another folder")

    def remove_unfinished(self) -> None:
        """Remove what killed tasks left behind."""
        for folder in ("documents", "outcomes", PAGES_FOLDER, COUNTS_FOLDER):
            self._store.remove_unfinished(folder)

    def find_counts(self, source: str) -> FileCounts | None:
        """The counts of a source that is finished; None for others, for one that has changed, and for one that could not be read the last
        time. A source that is missing by now stays finished."""
        finished = self._read_counts(source)
        return None if finished is None or read_version(source) not in (None, finished[1]) else finished[0]

    def has_rows(self, source: str) -> bool:
        """Whether a source was finished, maybe with another content than it has now."""
        return self._read_counts(source) is not None

    def _read_counts(self, source: str) -> tuple[FileCounts, str | None] | None:
        """The counts of a source that was readable, with its version then."""
        try:
            with self._store.open(_name_counts(source)) as file:
                notes = json.loads(file.read())
                counts, version = FileCounts(notes["source"], notes["documents"], notes["outcomes"]), notes["version"]
        except (FileNotFoundError, KeyError, ValueError):
            return None
        return (counts, version) if counts.is_readable else None

    def write(self, source: str, fill: Fill) -> FileCounts:
        """Write the two files of a source. Raises ServiceError without leaving one that is not whole.

        If the source cannot be read to its end, but another run has finished it meanwhile, its files stay.
        """
        name, version = make_part_name(source), read_version(source)

        def write_both(documents: BinaryIO) -> FileCounts:
            return self._store.put(f"outcomes/{name}", lambda outcomes: self._write_rows(source, documents, outcomes, fill), is_shared=True)

        try:
            counts = self._store.put(f"documents/{name}", write_both, is_shared=True)
        except _FinishedMeanwhile as other:
            return other.counts
        return self._finish(source, counts, version)

    def write_pages(self, source: str, fill: Callable[[RowWriter], FileCounts]) -> FileCounts:
        """Write the file of a source's pages to learn from, as `write` does."""

        from newsmill.exports.parquet import RowWriter, learning_schema  # not at the top: see _write_rows

        def write(out: BinaryIO) -> FileCounts:
            with RowWriter(out, learning_schema()) as rows:
                counts = fill(rows)
                rows.finish()
            return self._require_readable(source, counts)

        version = read_version(source)
        try:
            return self._finish(source, self._store.put(f"{PAGES_FOLDER}/{make_part_name(source)}", write, is_shared=True), version)
        except _FinishedMeanwhile as other:
            return other.counts

    def _finish(self, source: str, counts: FileCounts, version: str | None) -> FileCounts:
        """`version`: of the source before it was read."""
        notes = {"source": counts.source, "documents": counts.documents, "outcomes": dict(sorted(counts.outcomes.items()))}
        self._store.put(_name_counts(source), lambda out: out.write(json.dumps(notes | {"version": version}).encode()), is_shared=True)
        return counts

    def _write_rows(self, source: str, documents: BinaryIO, outcomes: BinaryIO, fill: Fill) -> FileCounts:
        # what it loads costs 0.2 s of CPU, which a command that only looks for parts need not spend
        from newsmill.exports.parquet import RowWriter, arrow_schema, outcome_schema

        with RowWriter(documents, arrow_schema()) as document_rows, RowWriter(outcomes, outcome_schema()) as outcome_rows:
            counts = fill(document_rows, outcome_rows)
            document_rows.finish()
            outcome_rows.finish()
        return self._require_readable(source, counts)

    def _require_readable(self, source: str, counts: FileCounts) -> FileCounts:
        if not counts.is_readable and (finished := self.find_counts(source)) is not None:
            raise _FinishedMeanwhile(finished)
        return counts


class _FinishedMeanwhile(Exception):
    """Raised so that no file of a source is written."""

    def __init__(self, counts: FileCounts) -> None:
        super().__init__(counts)
        self.counts = counts


def _name_counts(source: str) -> str:
    return f"{COUNTS_FOLDER}/{make_part_name(source).removesuffix('.parquet')}.json"


def _describe_difference(found: str, wanted: str) -> str:
    try:
        before, now = json.loads(found), json.loads(wanted)
        if before["newsmill"] != now["newsmill"]:
            return f"Newsmill {before['newsmill']}, and this is {now['newsmill']}"
        changed: list[str] = [name for name, value in now["options"].items() if before["options"].get(name) != value]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "another program"
    return f"other options ({', '.join(changed)})"

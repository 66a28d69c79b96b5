"""The formats of an export, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from newsmill.exceptions import ConfigError
from newsmill.exports.csv_tables import write_csv
from newsmill.exports.json_lines import write_json_lines
from newsmill.exports.markdown import write_markdown
from newsmill.exports.news_article import as_news_article
from newsmill.exports.parquet import require_pyarrow, write_parquet
from newsmill.exports.peer_formats import PEER_FORMATS
from newsmill.exports.records import OPTIONAL_FIELDS, to_record
from newsmill.exports.spreadsheet import require_xlsxwriter, write_xlsx
from newsmill.model import Document

WriteDocuments = Callable[[BinaryIO, Iterable[Document]], int | None]  # the places of a keyword
IN_TEXT = "in-text"
FOLDER_FORMATS = ("text", "markdown", "warc")  # formats that write a folder


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How documents become one file. `write` streams: it takes any number of documents."""

    name: str
    suffix: str  # of the file name, with its dot
    write: WriteDocuments


def find_format(name: str, names: str | None = None, *, include: Sequence[str] = (), live_updates: str | None = None) -> ExportFormat:
    """The format called `name`. Raises ConfigError.

    `names`: a peer format whose field names JSON lines have. `include`: optional fields. `live_updates`: "in-text" adds a live blog's
    updates to the text.
    """
    found = _find_named(name, names)
    if unknown := next((field for field in include if field not in OPTIONAL_FIELDS), None):
        raise ConfigError(f"--include: expected {', '.join(OPTIONAL_FIELDS)}, not {unknown!r}")
    if include and (name not in WRITERS_WITH_FIELDS or names is not None):
        raise ConfigError(f"--include works with --format {', '.join(WRITERS_WITH_FIELDS)} and without --as")
    if "marks" in include and name == "parquet":
        raise ConfigError("--include marks works with --format jsonl, csv and xlsx")
    if live_updates not in (None, IN_TEXT):
        raise ConfigError(f"--live-updates: expected {IN_TEXT}, not {live_updates!r}")
    found = replace(found, write=WRITERS_WITH_FIELDS[name](tuple(include))) if include else found
    return replace(found, write=partial(_write_with_updates, found.write)) if live_updates else found


def _write_with_updates(write: WriteDocuments, out: BinaryIO, documents: Iterable[Document]) -> None:
    write(out, (document.with_updates() for document in documents))


def _find_named(name: str, names: str | None) -> ExportFormat:
    if names is not None and names not in PEER_FORMATS:
        raise ConfigError(f"--as: expected {', '.join(PEER_FORMATS)}, not {names!r}")
    if names is not None and name != "jsonl":
        raise ConfigError(f"--as {names} renames the fields of JSON lines; it cannot be combined with --format {name}")
    if name not in FORMATS:
        raise ConfigError(f"--format: expected {', '.join(FORMATS)} or warc, not {name!r}")
    if name == "parquet":
        require_pyarrow()
    if name == "xlsx":
        require_xlsxwriter()
    return FORMATS[name] if names is None else ExportFormat("jsonl", ".jsonl", partial(write_json_lines, convert=PEER_FORMATS[names]))


def write_text(out: BinaryIO, documents: Iterable[Document]) -> None:
    """Write the texts only, each with a line feed at its end."""
    for document in documents:
        out.write(document.text.encode() + b"\n")


FORMATS = {
    "jsonl": ExportFormat("jsonl", ".jsonl", partial(write_json_lines, convert=to_record)),
    "csv": ExportFormat("csv", ".csv", write_csv),
    "xlsx": ExportFormat("xlsx", ".xlsx", write_xlsx),
    "parquet": ExportFormat("parquet", ".parquet", write_parquet),
    "jsonld": ExportFormat("jsonld", ".jsonld", partial(write_json_lines, convert=as_news_article)),
    "text": ExportFormat("text", ".txt", write_text),
    "markdown": ExportFormat("markdown", ".md", write_markdown),
}
WRITERS_WITH_FIELDS: Mapping[str, Callable[[Sequence[str]], WriteDocuments]] = {
    "jsonl": lambda include: partial(write_json_lines, convert=partial(to_record, include=include)),
    "csv": lambda include: partial(write_csv, include=include),
    "xlsx": lambda include: partial(write_xlsx, include=include),
    "parquet": lambda include: partial(write_parquet, include=include),
}

"""The formats of an export, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from newsmill.exceptions import ConfigError
from newsmill.exports import parquet_format
from newsmill.exports.csv_format import write_cells
from newsmill.exports.json_lines import write_lines
from newsmill.exports.markdown import write_markdown
from newsmill.exports.peer_formats import SHAPES
from newsmill.exports.record import ON_REQUEST, record
from newsmill.exports.schemaorg import as_news_article
from newsmill.model import Document

Write = Callable[[BinaryIO, Iterable[Document]], None]
IN_TEXT = "in-text"


@dataclass(frozen=True, slots=True)
class Format:
    """How documents become one file. `write` may be given any number of documents, streamed."""

    name: str
    ending: str  # of the file's name, with its dot
    write: Write


def write_text(out: BinaryIO, documents: Iterable[Document]) -> None:
    """The texts alone, each with a line feed at its end."""
    for document in documents:
        out.write(document.text.encode() + b"\n")


FORMATS = {
    "jsonl": Format("jsonl", ".jsonl", partial(write_lines, shape=record)),
    "csv": Format("csv", ".csv", write_cells),
    "parquet": Format("parquet", ".parquet", parquet_format.write_columns),
    "jsonld": Format("jsonld", ".jsonld", partial(write_lines, shape=as_news_article)),
    "text": Format("text", ".txt", write_text),
    "markdown": Format("markdown", ".md", write_markdown),
}
FOLDERS = ("text", "markdown", "warc")  # formats that write a folder
WITH_FIELDS: Mapping[str, Callable[[Sequence[str]], Write]] = {
    "jsonl": lambda include: partial(write_lines, shape=partial(record, include=include)),
    "csv": lambda include: partial(write_cells, include=include),
    "parquet": lambda include: partial(parquet_format.write_columns, include=include),
}


def find_format(name: str, names: str | None = None, *, include: Sequence[str] = (), live_updates: str | None = None) -> Format:
    """The format called `name`. Raises ConfigError.

    `names`: whose field names JSON lines have. `include`: fields on request. `live_updates`: "in-text" puts a live blog's updates there.
    """
    form = _named(name, names)
    if unknown := next((field for field in include if field not in ON_REQUEST), None):
        raise ConfigError(f"--include: expected {', '.join(ON_REQUEST)}, not {unknown!r}")
    if include and (name not in WITH_FIELDS or names is not None):
        raise ConfigError(f"--include adds fields to {', '.join(WITH_FIELDS)} under our own names; leave it out, or --format and --as")
    if live_updates not in (None, IN_TEXT):
        raise ConfigError(f"--live-updates: expected {IN_TEXT}, not {live_updates!r}")
    form = replace(form, write=WITH_FIELDS[name](tuple(include))) if include else form
    return replace(form, write=partial(_with_updates, form.write)) if live_updates else form


def _with_updates(write: Write, out: BinaryIO, documents: Iterable[Document]) -> None:
    write(out, (document.with_updates() for document in documents))


def _named(name: str, names: str | None) -> Format:
    if names is not None and names not in SHAPES:
        raise ConfigError(f"--as: expected {', '.join(SHAPES)}, not {names!r}")
    if names is not None and name != "jsonl":
        raise ConfigError(f"--as {names} renames the fields of JSON lines; it cannot be combined with --format {name}")
    if name not in FORMATS:
        raise ConfigError(f"--format: expected {', '.join(FORMATS)} or warc, not {name!r}")
    if name == "parquet":
        parquet_format.check()
    return FORMATS[name] if names is None else Format("jsonl", ".jsonl", partial(write_lines, shape=SHAPES[names]))

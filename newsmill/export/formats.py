"""The formats of an export, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from newsmill.exceptions import ConfigError
from newsmill.export import columns
from newsmill.export.cells import write_cells
from newsmill.export.lines import write_lines
from newsmill.export.peers import SHAPES
from newsmill.export.schemaorg import as_news_article
from newsmill.model import Document


@dataclass(frozen=True, slots=True)
class Format:
    """How documents become one file. `write` may be given any number of documents, streamed."""

    name: str
    ending: str  # of the file's name, with its dot
    write: Callable[[BinaryIO, Iterable[Document]], None]


def write_text(out: BinaryIO, documents: Iterable[Document]) -> None:
    """The texts alone, each with a line feed at its end."""
    for document in documents:
        out.write(document.text.encode() + b"\n")


FORMATS = {
    "jsonl": Format("jsonl", ".jsonl", write_lines),
    "csv": Format("csv", ".csv", write_cells),
    "parquet": Format("parquet", ".parquet", columns.write_columns),
    "jsonld": Format("jsonld", ".jsonld", partial(write_lines, shape=as_news_article)),
    "text": Format("text", ".txt", write_text),
}


def find_format(name: str, names: str | None = None) -> Format:
    """The format called `name`, with the field names of another extractor where `names` says so. Raises ConfigError."""
    if names is not None and names not in SHAPES:
        raise ConfigError(f"--as: expected {', '.join(SHAPES)}, not {names!r}")
    if names is not None and name != "jsonl":
        raise ConfigError(f"--as {names} renames the fields of JSON lines; it cannot be combined with --format {name}")
    if name not in FORMATS:
        raise ConfigError(f"--format: expected {', '.join(FORMATS)} or warc, not {name!r}")
    if name == "parquet":
        columns.check()
    return FORMATS[name] if names is None else Format("jsonl", ".jsonl", partial(write_lines, shape=SHAPES[names]))

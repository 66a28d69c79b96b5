"""The formats of an export, by name: JSON lines, CSV, Parquet, JSON-LD, text and Markdown.

`FORMATS` write a file. `STREAMED_FORMATS` are read while they are written: the results of a search, as a download or in a terminal.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from functools import partial
from importlib.util import find_spec
from typing import Any, BinaryIO

from pydantic import TypeAdapter
from pydantic_core import to_json

from newsmill.exceptions import ConfigError
from newsmill.exports.markdown import encode_value, render_front_matter, render_markdown, write_markdown
from newsmill.exports.records import FIELDS, OPTIONAL_FIELDS, PEER_FORMATS, as_news_article, read_marks, to_record
from newsmill.exports.spreadsheet import require_xlsxwriter, write_workbook
from newsmill.model import Document, DocumentMarks
from newsmill.version import install_hint

WriteDocuments = Callable[[BinaryIO, Iterable[Document]], int | None]  # the places of a keyword
IN_TEXT = "in-text"
FOLDER_FORMATS = ("text", "markdown", "warc")  # formats that write a folder

# Legal in a JSON string, but Python's str.splitlines and some readers of JSON lines break lines at them.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))

# Spreadsheets calculate a cell that begins with one of these characters or its full-width form; some first skip tabs and line ends
# (https://owasp.org/www-community/attacks/CSV_Injection). Leading apostrophes match too, so that a reader can remove
# one (docs/reference/export-formats.md).
_FORMULA_START = re.compile("'*[\t\r\n ]*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
# `blocks` repeats the text, and `provenance` is about extraction: other formats have them.
CSV_COLUMNS = tuple(name for name in FIELDS if name not in ("blocks", "provenance"))


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


# ---- JSON lines ----------------------------------------------------------------------------------------------------------------


def encode_json_line(value: object) -> bytes:
    """One JSON value and a line feed. Dataclasses become objects, datetimes ISO 8601 in UTC.

    >>> encode_json_line({"title": "Zürich\\u2028x"}).decode()
    '{"title":"Zürich\\\\u2028x"}\\n'
    """
    text = to_json(value)
    for line_end, escaped in _LINE_ENDS:
        if line_end in text:
            text = text.replace(line_end, escaped)
    return text + b"\n"


def write_json_lines(out: BinaryIO, documents: Iterable[Document], convert: Callable[[Document], object]) -> None:
    """Write each document, converted, as one line."""
    for document in documents:
        out.write(encode_json_line(convert(document)))


# ---- CSV (RFC 4180, UTF-8) -----------------------------------------------------------------------------------------------------


def write_csv(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """Write a line of names, then a line for each document. `include`: optional fields."""
    out.writelines(encode_csv(documents, include))


def encode_csv(documents: Iterable[Document], include: Sequence[str] = ()) -> Iterator[bytes]:
    """The lines of `write_csv`. The field `marks` has a column for each mark."""
    yield encode_csv_row(list_columns(include))
    for document in documents:
        yield encode_csv_row([format_cell(cell) for cell in list_cells(document, include)])


def list_columns(include: Sequence[str]) -> list[str]:
    """The names of the columns of a table. `include`: optional fields; `marks` has a column for each mark."""
    return [*CSV_COLUMNS, *(name for name in include if name != "marks"), *(f"marks_{name}" for name in _list_marks(include))]


def list_cells(document: Document, include: Sequence[str]) -> list[Any]:
    """The values in the columns of `list_columns`."""
    values, marks = to_record(document, include), read_marks(document)
    plain = (*CSV_COLUMNS, *(name for name in include if name != "marks"))
    return [*(values[name] for name in plain), *(getattr(marks, name) for name in _list_marks(include))]


def _list_marks(include: Sequence[str]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(DocumentMarks)) if "marks" in include else ()


def format_cell(value: Any) -> str:
    """A field as a cell. None is empty; lists of strings and of authors are joined with "; "; other nested values are JSON.

    >>> format_cell("=1+1"), format_cell(-1.5), format_cell(None), format_cell(("a", "b")), format_cell(True)
    ("'=1+1", '-1.5', '', 'a; b', 'true')
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
    return escape_formula(format_text(value))


def format_text(value: Any) -> str:
    """A text, a list or another nested value as the text of a cell."""
    match value:
        case str():
            return value
        case tuple():
            return _join_values(value)
    return to_json(value).decode()  # begins with { or [


def _join_values(values: tuple[Any, ...]) -> str:
    if all(isinstance(value, str) for value in values):
        return "; ".join(values)
    if all(hasattr(value, "name") for value in values):
        return "; ".join(value.name for value in values)
    return to_json(values).decode()


def escape_formula(text: str) -> str:
    """The text with an apostrophe before it if it would begin a formula in a spreadsheet."""
    return f"'{text}" if _FORMULA_START.match(text) else text


def encode_csv_row(cells: Sequence[str]) -> bytes:
    """One line of CSV."""
    row = io.StringIO()
    csv.writer(row).writerow(cells)
    return row.getvalue().encode("utf-8", "backslashreplace")  # the id of `newsmill extract` is a file name, which may not be UTF-8


# ---- Excel


def write_xlsx(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """Write one workbook with the columns of CSV. `include`: optional fields."""
    rows = ([_to_excel(cell) for cell in list_cells(document, include)] for document in documents)
    write_workbook(out, list_columns(include), rows)


def _to_excel(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, datetime)) else format_text(value)


# ---- Parquet -----------------------------------------------------------------------------------------------------------------


# DuckDB, pandas, polars and Hugging Face datasets all read these types: no maps (lists of key and value instead), no dictionaries, times in
# microseconds of UTC. pyarrow comes with the extra `parquet`.

MAX_GROUP_DOCUMENTS = 1000  # of a row group, which readers skip or read as a whole
MAX_GROUP_CHARACTERS = 8_000_000  # of texts; writing a group takes about five times as much memory

_DOCUMENT = TypeAdapter(Document)  # ten times as fast as dataclasses.asdict
_TIMES = ("published_at", "modified_at", "first_seen_at", "fetched_at", "gone_at")
_PAIRS = ("rights", "provenance")


def require_pyarrow() -> None:
    """Raises ConfigError where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise ConfigError(f"Parquet needs pyarrow: {install_hint('parquet')}")


def write_parquet(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """Write one Parquet file, zstd-compressed, a row group at a time. `include`: optional fields."""
    import pyarrow  # type: ignore[import-untyped]  # without type hints
    import pyarrow.parquet  # type: ignore[import-untyped]

    schema = build_schema(pyarrow, include)
    with pyarrow.parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for group in _row_groups(documents):
            writer.write_batch(pyarrow.RecordBatch.from_pylist([_build_row(document, include) for document in group], schema=schema))


def build_schema(pa: Any, include: Sequence[str] = ()) -> Any:
    """The columns, in the order of the model's fields. `pa` is the module pyarrow."""
    words, number, at = pa.string(), pa.int32(), pa.timestamp("us", tz="UTC")
    span = [("start", number), ("end", number)]
    markup = pa.struct(
        [
            ("level", number),
            ("links", pa.list_(pa.struct([*span, ("url", words)]))),
            ("items", pa.list_(pa.struct([*span, ("depth", number), ("number", number)]))),
            ("cells", pa.list_(pa.struct([*span, ("row", number), ("column", number), ("header", pa.bool_())]))),
        ]
    )
    image = pa.struct([("url", words), ("caption", words), ("credit", words)])
    block = pa.struct([("type", words), ("text", words), ("layer", words), ("reason", words), ("path", words), ("markup", markup)])
    pairs = pa.list_(pa.struct([("key", words), ("value", words)]))
    types = {  # of fields that are not text
        **dict.fromkeys(_TIMES, at),
        **dict.fromkeys(_PAIRS, pairs),
        "published_day": pa.date32(),
        "blocks": pa.list_(block),
        "authors": pa.list_(pa.struct([("name", words), ("type", words)])),
        "tags": pa.list_(words),
        "warnings": pa.list_(words),
        "images": pa.list_(image),
        "live_updates": pa.list_(pa.struct([("text", words), ("title", words), ("at", at)])),
        "is_free": pa.bool_(),
        "doubtful": pa.bool_(),
        "word_count": pa.int64(),
        "profile_version": pa.int64(),
        "revision": pa.int64(),
        "confidence": pa.float64(),
    }
    return pa.schema([(name, types.get(name, words)) for name in (*FIELDS, *include)])


def _build_row(document: Document, include: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = to_record(document, include) | _DOCUMENT.dump_python(document)
    for name in _PAIRS:
        row[name] = document.list_pairs(name)
    row["published_day"] = _parse_date(document.published_day)
    return row


def _parse_date(day: str | None) -> date | None:
    return None if day is None else date.fromisoformat(day)


def _row_groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if len(group) >= MAX_GROUP_DOCUMENTS or characters >= MAX_GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


# ---- text ----------------------------------------------------------------------------------------------------------------------


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


# ---- formats that are read while they are written ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamedFormat:
    """How documents become the pieces of one file. `encode` takes any number of documents, and the optional fields."""

    name: str
    suffix: str
    media_type: str
    encode: Callable[[Iterable[Document], Sequence[str]], Iterator[bytes]]


def encode_json_lines(documents: Iterable[Document], include: Sequence[str] = ()) -> Iterator[bytes]:
    """One object a line."""
    return (encode_json_line(to_record(document, include)) for document in documents)


def encode_json(documents: Iterable[Document], include: Sequence[str] = ()) -> Iterator[bytes]:
    """One array, with one object a line."""
    separator = b"["
    for document in documents:
        yield separator + b"\n" + encode_json_line(to_record(document, include)).rstrip(b"\n")
        separator = b","
    yield b"[]\n" if separator == b"[" else b"\n]\n"


def encode_markdown(documents: Iterable[Document], include: Sequence[str] = ()) -> Iterator[bytes]:
    """Each document as front matter and text."""
    for document in documents:
        front = render_front_matter(document)
        if "marks" in include:
            marks = "".join(f"marks_{name}: {encode_value(value)}\n" for name, value in asdict(read_marks(document)).items())
            front = front.removesuffix("---\n") + marks + "---\n"
        yield f"{front}\n{render_markdown(document)}\n\n".encode("utf-8", "replace")


STREAMED_FORMATS: Mapping[str, StreamedFormat] = {
    one.name: one
    for one in (
        StreamedFormat("csv", ".csv", "text/csv; charset=utf-8", encode_csv),
        StreamedFormat("json", ".json", "application/json", encode_json),
        StreamedFormat("jsonl", ".jsonl", "application/jsonl", encode_json_lines),
        StreamedFormat("markdown", ".md", "text/markdown; charset=utf-8", encode_markdown),
    )
}

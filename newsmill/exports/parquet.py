"""Parquet files of documents.

DuckDB, pandas, polars and Hugging Face datasets all read the types: no maps (lists of key and value instead), no dictionaries, times in
microseconds of UTC. pyarrow comes with the extra `parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib.util import find_spec
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from newsmill.exceptions import ConfigError
from newsmill.exports.records import FIELDS, to_record
from newsmill.model import Document
from newsmill.model.document_fields import BY_NAME, FieldType, list_fields_of
from newsmill.version import install_hint

MAX_GROUP_DOCUMENTS = 1000  # of a row group, which readers skip or read as a whole
MAX_GROUP_CHARACTERS = 8_000_000  # of texts; writing a group takes about five times as much memory
_DOCUMENT = TypeAdapter(Document)  # ten times as fast as dataclasses.asdict
_PAIRS, _DAYS = list_fields_of(FieldType.PAIRS), list_fields_of(FieldType.DAY)


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
    types = {
        **dict.fromkeys((FieldType.TEXT, FieldType.URL), words),
        FieldType.TIME: at,
        FieldType.DAY: pa.date32(),
        FieldType.NUMBER: pa.int64(),
        FieldType.FRACTION: pa.float64(),
        FieldType.FLAG: pa.bool_(),
        FieldType.TEXTS: pa.list_(words),
        FieldType.PAIRS: pairs,
        FieldType.AUTHORS: pa.list_(pa.struct([("name", words), ("type", words)])),
        FieldType.BLOCKS: pa.list_(block),
        FieldType.IMAGES: pa.list_(image),
        FieldType.UPDATES: pa.list_(pa.struct([("text", words), ("title", words), ("at", at)])),
    }
    return pa.schema([*((name, types[BY_NAME[name].type]) for name in FIELDS), *((name, words) for name in include)])


def _build_row(document: Document, include: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = to_record(document, include) | _DOCUMENT.dump_python(document)
    for name in _PAIRS:
        row[name] = document.list_pairs(name)
    for name in _DAYS:
        row[name] = _parse_date(row[name])
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

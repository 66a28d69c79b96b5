"""Parquet files of documents.

DuckDB, pandas, polars and Hugging Face datasets all read the types: no maps (lists of key and value instead), no dictionaries, times in
microseconds of UTC. pyarrow comes with the extra `parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, BinaryIO

from newsmill.exceptions import ConfigError
from newsmill.exports.records import FIELDS, OPTIONAL_FIELDS
from newsmill.model import Document
from newsmill.model.document_fields import BY_NAME, FieldType
from newsmill.version import install_hint

MAX_GROUP_ROWS = 1000  # of a row group, which readers skip or read as a whole
MAX_GROUP_CHARACTERS = 8_000_000  # of texts; writing a group takes about five times as much memory


def require_pyarrow() -> None:
    """Raises ConfigError where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise ConfigError(f"Parquet needs pyarrow: {install_hint('parquet')}")


class RowWriter:
    """Writes rows to a Parquet file, zstd-compressed, a row group at a time: the same rows make the same bytes. A context manager."""

    def __init__(self, out: BinaryIO, schema: Any) -> None:
        """`schema`: of pyarrow."""
        import pyarrow.parquet  # type: ignore[import-untyped]  # without type hints

        self._schema, self._from_rows = schema, pyarrow.RecordBatch.from_pylist
        self._writer = pyarrow.parquet.ParquetWriter(out, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._characters = 0

    def add(self, row: dict[str, Any], characters: int) -> None:
        """Add a row with this many characters."""
        self._rows.append(row)
        self._characters += characters
        if len(self._rows) >= MAX_GROUP_ROWS or self._characters >= MAX_GROUP_CHARACTERS:
            self._flush()

    def finish(self) -> None:
        """Write the rest."""
        if self._rows:
            self._flush()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_batch(self._from_rows(self._rows, schema=self._schema))
        self._rows, self._characters = [], 0


def write_parquet(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """Write one Parquet file. `include`: optional fields."""
    with RowWriter(out, arrow_schema(include)) as writer:
        for document in documents:
            writer.add(document.to_dict() | {name: OPTIONAL_FIELDS[name](document) for name in include}, len(document.text))
        writer.finish()


def read_row_groups(file: BinaryIO, schema: Any) -> Iterator[Any]:
    """The tables of a file's row groups, all with this schema of pyarrow; one without rows for an empty file. Memory holds one."""
    import pyarrow.parquet

    parquet = pyarrow.parquet.ParquetFile(file)
    for number in range(parquet.num_row_groups):
        yield parquet.read_row_group(number).cast(schema)
    if not parquet.num_row_groups:
        yield schema.empty_table()


def outcome_schema() -> Any:
    """The columns of the records of WARC files that gave no document."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema([("file", text), ("offset", pa.int64()), ("url", text), ("at", _time(pa)), ("outcome", text), ("detail", text)])


def learning_schema() -> Any:
    """The columns of pages to learn site profiles from; `page` is compressed JSON."""
    import pyarrow as pa

    return pa.schema([("site", pa.string()), ("hash", pa.binary()), ("page", pa.binary())])


def read_learning_rows(file: BinaryIO) -> Iterator[tuple[str, bytes, bytes]]:
    """The rows of a file with the columns of `learning_schema`."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as rows:
        for batch in rows.iter_batches():
            yield from zip(*(batch.column(name).to_pylist() for name in ("site", "hash", "page")), strict=True)


def _time(pa: Any) -> Any:
    return pa.timestamp("us", tz="UTC")


def arrow_schema(include: Sequence[str] = ()) -> Any:
    """The columns of documents, in the order of the model's fields."""
    import pyarrow as pa

    words, number, at = pa.string(), pa.int32(), _time(pa)
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
    optional = {"markdown": words, "fingerprint": pa.list_(number), "duplicate_of": words, "wire_agency": words, "story_id": number}
    return pa.schema([*((name, types[BY_NAME[name].type]) for name in FIELDS), *((name, optional[name]) for name in include)])

"""The child that reads Parquet files, which may unpack to more than fits: it answers with rows as JSON, and its parent validates them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from newsmill.sandbox.child import Handler

MAX_ROW_BYTES = 32 << 20  # of JSON; the longest document has 8 million
ANSWER_BYTES = 4 << 20  # of rows that are answered at once


def make_handler() -> Handler:
    """A handler whose request is a part of a file, see `parquet_reader`. It loads Arrow before the limits hold."""
    import pyarrow.parquet  # type: ignore[import-untyped]  # without type hints

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the others reserve address space that they may never use
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    return lambda head, body: _read(json.loads(head))


def _read(request: Mapping[str, Any]) -> Iterator[bytes]:
    """Yields at least one answer: rows, each an object or the reason why it is none, or the error that ended the reading."""
    import pyarrow.parquet

    skipped, rows, size = request["skipped"], list[str](), 0
    try:
        with pyarrow.parquet.ParquetFile(request["path"], pre_buffer=False) as file:
            columns = [name for name in request["columns"] if name in file.schema_arrow.names]
            for batch in file.iter_batches(request["batch_rows"], row_groups=[request["group"]], columns=columns, use_threads=False):
                wanted = batch.slice(min(skipped, batch.num_rows))
                skipped -= batch.num_rows - wanted.num_rows
                for row in _list_rows(wanted):
                    rows.append(row)
                    size += len(row)
                    if size >= ANSWER_BYTES:
                        yield _answer(rows)
                        rows, size = [], 0
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, MemoryError):
            raise
        if rows:
            yield _answer(rows)
        yield json.dumps({"error": str(error)}).encode()
        return
    yield _answer(rows)


def _answer(rows: list[str]) -> bytes:
    return f'{{"rows":[{",".join(rows)}]}}'.encode()


def _list_rows(batch: Any) -> Iterator[str]:
    """The rows as JSON, or the error of one with a value that Python cannot hold, such as a time in the year 10,000."""
    try:
        found = batch.to_pylist()
    except (ValueError, ArithmeticError, LookupError) as error:
        if batch.num_rows == 1:
            yield json.dumps(str(error))
            return
        for number in range(batch.num_rows):
            yield from _list_rows(batch.slice(number, 1))
        return
    for row in found:
        try:
            text = json.dumps(row, ensure_ascii=False, default=_write_value)
        except (ValueError, TypeError) as error:
            text = json.dumps(str(error))
        yield text if len(text) <= MAX_ROW_BYTES else json.dumps(f"a row of {len(text):,} characters; the cap is {MAX_ROW_BYTES:,}")


def _write_value(value: Any) -> str:
    if isinstance(value, date):  # or a time
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"a value of the type {type(value).__name__}")

"""CSV (RFC 4180, UTF-8)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from newsmill.exports.cells import format_cell, list_cells, list_columns
from newsmill.model import Document


def write_csv(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """Write a line of names, then a line for each document. `include`: optional fields."""
    out.writelines(encode_csv(documents, include))


def encode_csv(documents: Iterable[Document], include: Sequence[str] = ()) -> Iterator[bytes]:
    """The lines of `write_csv`. The field `marks` has a column for each mark."""
    yield encode_csv_row(list_columns(include))
    for document in documents:
        yield encode_csv_row([format_cell(cell) for cell in list_cells(document, include)])


def encode_csv_row(cells: Sequence[str]) -> bytes:
    """One line of CSV."""
    row = io.StringIO()
    csv.writer(row).writerow(cells)
    return row.getvalue().encode("utf-8", "backslashreplace")  # the id of `newsmill extract` is a file name, which may not be UTF-8

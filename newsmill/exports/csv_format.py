"""Documents as CSV for spreadsheets (RFC 4180, UTF-8). What pages say never becomes a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, BinaryIO

from pydantic_core import to_json

from newsmill.exports.record import FIELDS, record
from newsmill.model import Document

# Spreadsheets calculate a cell that begins with one of these, or with its full-width twin; some skip tabs and line ends before they look
# (https://owasp.org/www-community/attacks/CSV_Injection). Apostrophes in front are counted in, so that one can be taken away again.
_FORMULA = re.compile("'*[\t\r\n ]*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")

# `blocks` repeats the text and `provenance` is about extraction: both are in the other formats.
COLUMNS = tuple(name for name in FIELDS if name not in ("blocks", "provenance"))


def write_cells(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """A line of names, then a line for each document. `include`: fields on request."""
    columns = (*COLUMNS, *include)
    out.write(_line(columns))
    for document in documents:
        values = record(document, include)
        out.write(_line([cell(values[name]) for name in columns]))


def cell(value: Any) -> str:
    """A field as a cell: nothing for None, lists of words and of authors joined with "; ", the rest of the nested ones as JSON.

    >>> cell("=1+1"), cell(-1.5), cell(None), cell(("a", "b")), cell(True)
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
        case str():
            return harmless(value)
        case tuple():
            return harmless(_joined(value))
    return to_json(value).decode()  # begins with { or [


def _joined(values: tuple[Any, ...]) -> str:
    if all(isinstance(value, str) for value in values):
        return "; ".join(values)
    if all(hasattr(value, "name") for value in values):
        return "; ".join(value.name for value in values)
    return to_json(values).decode()


def harmless(text: str) -> str:
    """Text that no spreadsheet calculates: an apostrophe goes in front of one that would begin a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def as_written(text: str) -> str:
    """What `harmless` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()

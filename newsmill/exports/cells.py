"""Fields as cells of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from newsmill.exports.records import FIELDS, read_marks, to_record
from newsmill.model import Document, DocumentMarks
from newsmill.model.document_fields import Use, list_fields

# Spreadsheets calculate a cell that begins with one of these characters or its full-width form; some first skip tabs and line ends
# (https://owasp.org/www-community/attacks/CSV_Injection). Leading apostrophes match too, so that a reader can remove
# one (docs/reference/export-formats.md).
_FORMULA_START = re.compile("'*[\t\r\n ]*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


CSV_COLUMNS = tuple(name for name in FIELDS if name not in list_fields(Use.NO_CELL))


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

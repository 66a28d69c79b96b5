"""One Excel workbook with one sheet, written row by row. XlsxWriter comes with the extra `xlsx`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, BinaryIO

from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.exports.cells import format_text, list_cells, list_columns
from newsmill.model import Document
from newsmill.model.document_fields import BY_NAME, FieldType
from newsmill.version import install_hint

# Limits of the format, https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
MAX_ROWS, MAX_CELL_CHARACTERS, FIRST_YEAR = 1_048_576, 32_767, 1900
# Every text is a text: nothing that a page says becomes a formula, a link or a number.
OPTIONS = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}

_WIDTHS = {FieldType.URL: 40, FieldType.NUMBER: 12, FieldType.FRACTION: 12, FieldType.FLAG: 10, FieldType.DAY: 12}
_NAMED_WIDTHS = {"title": 60, "text": 80, "description": 60, "language": 10, "id": 34, "content_hash": 34}


def require_xlsxwriter() -> None:
    """Raises ConfigError where XlsxWriter is not installed."""
    if find_spec("xlsxwriter") is None:
        raise ConfigError(f"xlsx needs XlsxWriter: {install_hint('xlsx')}")


def write_workbook(out: BinaryIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a row of names, then the rows. Too long texts are cut. Raises NewsmillError for more rows than a sheet holds."""
    import xlsxwriter  # type: ignore[import-untyped, import-not-found, unused-ignore]

    with xlsxwriter.Workbook(out, OPTIONS) as book:
        book.set_properties({"created": datetime(1980, 1, 1)})  # noqa: DTZ001  # as its parts: equal documents make equal files
        sheet, bold, time = (
            book.add_worksheet("documents"),
            book.add_format({"bold": True}),
            book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
        )
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(names):
            sheet.set_column(column, column, find_width(name))
            sheet.write_string(0, column, name, bold)
        row = 0
        for row, values in enumerate(rows, 1):
            if row >= MAX_ROWS:
                raise NewsmillError(f"a sheet of Excel holds {MAX_ROWS:,} rows; narrow the query, or export csv or parquet")
            for column, value in enumerate(values):
                match value:
                    case None:
                        continue
                    case bool():
                        sheet.write_boolean(row, column, value)
                    case int() | float():
                        sheet.write_number(row, column, value)
                    case datetime() if value.year >= FIRST_YEAR:
                        sheet.write_datetime(row, column, value.astimezone(UTC).replace(tzinfo=None), time)
                    case _:
                        sheet.write_string(row, column, _cut(str(value)))
        sheet.autofilter(0, 0, row, len(names) - 1)


def find_width(name: str) -> int:
    """The width of a column in characters, for the usual values of the field.

    >>> find_width("title"), find_width("word_count"), find_width("marks_note")
    (60, 12, 18)
    """
    field = BY_NAME.get(name)
    return _NAMED_WIDTHS.get(name, 18 if field is None else _WIDTHS.get(field.type, 18))


def _cut(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()  # a file name may not be UTF-8
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def write_xlsx(out: BinaryIO, documents: Iterable[Document], include: Sequence[str] = ()) -> None:
    """Write one workbook with the columns of CSV. `include`: optional fields."""
    rows = ([_to_excel(cell) for cell in list_cells(document, include)] for document in documents)
    write_workbook(out, list_columns(include), rows)


def _to_excel(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, datetime)) else format_text(value)

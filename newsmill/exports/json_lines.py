"""Documents as JSON lines, under our own field names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from pydantic_core import to_json

from newsmill.model import Document

# Legal inside a JSON string, but Python's str.splitlines and some readers of JSON lines end a line at them.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def line(value: object) -> bytes:
    """One JSON value and a line feed; dataclasses become objects with their field names, datetimes ISO 8601 in UTC.

    >>> line({"title": "Zürich\\u2028x"}).decode()
    '{"title":"Zürich\\\\u2028x"}\\n'
    """
    text = to_json(value)
    for found, escaped in _LINE_ENDS:
        if found in text:
            text = text.replace(found, escaped)
    return text + b"\n"


def write_lines(out: BinaryIO, documents: Iterable[Document], shape: Callable[[Document], object] | None = None) -> None:
    """Write each document, or what `shape` makes of it, as one line."""
    for document in documents:
        out.write(line(document if shape is None else shape(document)))

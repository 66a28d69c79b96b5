"""JSON lines, each one line to every reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from pydantic_core import to_json

from newsmill.model import Document

# Legal in a JSON string, but Python's str.splitlines and some readers of JSON lines break lines at them.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


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

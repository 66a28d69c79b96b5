"""Formats that are read while they are written: the results of a search, as a download or in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from newsmill.exports.csv_tables import encode_csv
from newsmill.exports.json_lines import encode_json_line
from newsmill.exports.markdown import encode_value, render_front_matter, render_markdown
from newsmill.exports.records import read_marks, to_record
from newsmill.model import Document


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

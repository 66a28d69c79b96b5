"""A document as a record under our field names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from newsmill.exports.markdown import render_markdown
from newsmill.model import Document, DocumentMarks
from newsmill.model.document_fields import DOCUMENT_FIELDS
from newsmill.similarity.near_duplicates import Fingerprint, fingerprint

Record = dict[str, Any]
FIELDS = (*(field.name for field in fields(Document)), *(field.name for field in DOCUMENT_FIELDS if field.derived))
_NO_MARKS = DocumentMarks()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MarkedDocument(Document):
    """A document with the marks of one user."""

    marks: DocumentMarks

    @classmethod
    def of(cls, document: Document, marks: DocumentMarks | None) -> MarkedDocument:
        """The document with these marks; None: it has none."""
        return cls(**{field.name: getattr(document, field.name) for field in fields(Document)}, marks=marks or _NO_MARKS)


def read_marks(document: Document) -> DocumentMarks:
    """The marks of a MarkedDocument; none for another document."""
    return document.marks if isinstance(document, MarkedDocument) else _NO_MARKS


def read_fingerprint(document: Document) -> Fingerprint | None:
    """The numbers by which near duplicates of the text are found; None for a short text."""
    return fingerprint(document.text)


# Markdown takes more time than all other fields together, and a fingerprint a third of a Parquet row's; marks belong to a user.
OPTIONAL_FIELDS: Mapping[str, Callable[[Document], Any]] = {
    "markdown": render_markdown,
    "marks": read_marks,
    "fingerprint": read_fingerprint,
}


def to_record(document: Document, include: Sequence[str] = ()) -> Record:
    """Every field by name, with the optional fields in `include`."""
    values = {name: getattr(document, name) for name in FIELDS}
    return values | {name: OPTIONAL_FIELDS[name](document) for name in include}


# For programs that read the output of these extractors. Unknown fields are absent or null. Names as of zyte-common-items 0.31
# (`zyte_common_items/items/article.py`), news-please 1.6 (`newsplease/NewsArticle.py`) and trafilatura 2.3 (`trafilatura/xml.py`,
# build_json_output).


def drop_unknown(record: Record) -> Record:
    """The record without the fields that have no value."""
    return {name: value for name, value in record.items() if value not in (None, [], {})}

"""A document as a record under our field names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from newsmill.exports.markdown import render_markdown
from newsmill.model import Document, DocumentMarks
from newsmill.model.document_fields import DOCUMENT_FIELDS
from newsmill.similarity.copies import find_wire_agency
from newsmill.similarity.near_duplicates import Fingerprint, fingerprint

Record = dict[str, Any]
FIELDS = (*(field.name for field in fields(Document)), *(field.name for field in DOCUMENT_FIELDS if field.derived))
_NO_MARKS = DocumentMarks()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AnnotatedDocument(Document):
    """A document with the marks of one user, the ID of the document it is a copy of, and that of its story."""

    marks: DocumentMarks = _NO_MARKS
    duplicate_of: str | None = None
    story_id: int | None = None

    @classmethod
    def of(
        cls, document: Document, marks: DocumentMarks | None = None, duplicate_of: str | None = None, story_id: int | None = None
    ) -> AnnotatedDocument:
        """The document with these marks; None: it has none."""
        values = {field.name: getattr(document, field.name) for field in fields(Document)}
        return cls(**values, marks=marks or _NO_MARKS, duplicate_of=duplicate_of, story_id=story_id)


def read_marks(document: Document) -> DocumentMarks:
    """The marks of an AnnotatedDocument; none for another document."""
    return document.marks if isinstance(document, AnnotatedDocument) else _NO_MARKS


def read_duplicate_of(document: Document) -> str | None:
    """The first document of the group of copies; None for the first one itself, and for a document without copies."""
    return document.duplicate_of if isinstance(document, AnnotatedDocument) else None


def read_story_id(document: Document) -> int | None:
    """The story that the document tells; None if no other document tells the same news."""
    return document.story_id if isinstance(document, AnnotatedDocument) else None


def read_wire_agency(document: Document) -> str | None:
    """The news agency that a document credits; None for none."""
    return find_wire_agency(document.text, document.authors)


def read_fingerprint(document: Document) -> Fingerprint | None:
    """The numbers by which near duplicates of the text are found; None for a short text."""
    return fingerprint(document.text)


# Markdown takes more time than all other fields together, and a fingerprint a third of a Parquet row's. Marks belong to a user. A document
# becomes a copy when an earlier one is stored, and tells a story when another one does.
OPTIONAL_FIELDS: Mapping[str, Callable[[Document], Any]] = {
    "markdown": render_markdown,
    "marks": read_marks,
    "fingerprint": read_fingerprint,
    "duplicate_of": read_duplicate_of,
    "wire_agency": read_wire_agency,
    "story_id": read_story_id,
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

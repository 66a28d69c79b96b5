"""A document in a response of the API: its fields, and the optional fields of the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from fastapi import Query

from newsmill.exports.markdown import render_markdown
from newsmill.storage.documents import StoredDocument

Include = Annotated[
    list[Literal["markdown"]],
    Query(description="Optional fields. `markdown`: the text with headings, lists, quotes, tables and links; otherwise null."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentResponse(StoredDocument):
    """A document with the optional fields."""

    markdown: str | None = None


_FIELDS = tuple(field.name for field in fields(StoredDocument))


def to_response(document: StoredDocument, include: Sequence[str]) -> DocumentResponse:
    """The document with the optional fields in `include`."""
    return DocumentResponse(
        **{name: getattr(document, name) for name in _FIELDS}, markdown=render_markdown(document) if "markdown" in include else None
    )

"""A document as the API gives it: its fields, and those on request that the caller names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from fastapi import Query

from newsmill.exports.markdown import render_markdown
from newsmill.storage.documents import StoredDocument

Include = Annotated[
    list[Literal["markdown"]],
    Query(description="Fields on request. `markdown`: the text with its headings, lists, quotes, tables and links; null unless asked for."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentResponse(StoredDocument):
    """A document with the fields on request."""

    markdown: str | None = None


_FIELDS = tuple(field.name for field in fields(StoredDocument))


def to_response(document: StoredDocument, include: Sequence[str]) -> DocumentResponse:
    """The document with the fields that `include` names."""
    return DocumentResponse(
        **{name: getattr(document, name) for name in _FIELDS}, markdown=render_markdown(document) if "markdown" in include else None
    )

"""A document as a record: its fields by name, derived fields, and optional fields that cost more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from newsmill.exports.markdown import render_markdown
from newsmill.model import Document

FIELDS = (*(field.name for field in fields(Document)), "doubtful")
OPTIONAL_FIELDS: Mapping[str, Callable[[Document], Any]] = {
    "markdown": render_markdown
}  # each takes more time than all other fields together


def to_record(document: Document, include: Sequence[str] = ()) -> dict[str, Any]:
    """Every field by name, with the optional fields in `include`."""
    values = {name: getattr(document, name) for name in FIELDS}
    return values | {name: OPTIONAL_FIELDS[name](document) for name in include}

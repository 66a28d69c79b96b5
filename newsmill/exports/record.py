"""A document as the names and values of a record: its fields, what follows from them, and what is worked out on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from newsmill.exports.markdown import render_markdown
from newsmill.model import Document

FIELDS = (*(field.name for field in fields(Document)), "doubtful")
OPTIONAL_FIELDS: Mapping[str, Callable[[Document], Any]] = {"markdown": render_markdown}  # each costs more than all fields together


def to_record(document: Document, include: Sequence[str] = ()) -> dict[str, Any]:
    """Every field by name, with the fields on request that `include` names."""
    found = {name: getattr(document, name) for name in FIELDS}
    return found | {name: OPTIONAL_FIELDS[name](document) for name in include}

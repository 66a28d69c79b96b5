"""A document as the names and values of a record: its fields, what follows from them, and what is worked out on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from newsmill.exports.markdown import markdown
from newsmill.model import Document

FIELDS = (*(field.name for field in fields(Document)), "doubtful")
ON_REQUEST: Mapping[str, Callable[[Document], Any]] = {"markdown": markdown}  # each costs more than all fields together


def record(document: Document, include: Sequence[str] = ()) -> dict[str, Any]:
    """Every field by name, with the fields on request that `include` names."""
    found = {name: getattr(document, name) for name in FIELDS}
    return found | {name: ON_REQUEST[name](document) for name in include}

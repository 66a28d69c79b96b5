"""The nouns as JSON columns and back. Written out by pydantic from the dataclasses, so that a new field needs no code here."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from newsmill.model import Hint, Source

HINT = TypeAdapter(Hint)
SOURCE = TypeAdapter(Source)
NOTHING = Hint()


def hint_out(hint: Hint) -> Any:
    """JSON, or None for an empty hint (most rows of a section page)."""
    return None if hint == NOTHING else HINT.dump_python(hint, mode="json", exclude_defaults=True)


def hint_in(value: Any) -> Hint:
    return NOTHING if value is None else HINT.validate_python(value)


def source_out(source: Source) -> Any:
    return SOURCE.dump_python(source, mode="json")


def source_in(plan: Any, enabled: bool) -> Source:
    """`enabled` of the row wins over the plan's: it is what `set_enabled` changes."""
    return SOURCE.validate_python({**plan, "enabled": enabled})

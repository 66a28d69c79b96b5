"""Hints and sources as JSON columns. Pydantic derives both directions from the dataclasses, so that a new field needs no code here."""

from __future__ import annotations

from typing import Any

from newsmill.model import Hint, Source
from newsmill.model.lazy_adapter import make_adapter

_HINT = make_adapter(Hint)
_SOURCE = make_adapter(Source)
_NO_HINT = Hint()


def dump_hint(hint: Hint) -> Any:
    """JSON, or None for an empty hint (most rows of a section page)."""
    return None if hint == _NO_HINT else _HINT.dump_python(hint, mode="json", exclude_defaults=True)


def load_hint(value: Any) -> Hint:
    return _NO_HINT if value is None else _HINT.validate_python(value)


def dump_source(source: Source) -> Any:
    return _SOURCE.dump_python(source, mode="json")


def load_source(plan: Any, enabled: bool) -> Source:
    """`enabled` is the column, which `set_enabled` changes; the plan may hold an older value."""
    return _SOURCE.validate_python({**plan, "enabled": enabled})

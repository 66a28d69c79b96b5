"""A pydantic `TypeAdapter` that is built when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


def make_adapter(kind: type[T]) -> TypeAdapter[T]:
    """As `TypeAdapter(kind)`, which takes 2 to 20 ms: most commands would spend them on JSON that they never read.

    >>> make_adapter(dict[str, int]).validate_json('{"one": 1}')
    {'one': 1}
    """
    return cast("TypeAdapter[T]", _LazyAdapter(kind))


class _LazyAdapter:
    def __init__(self, kind: type) -> None:
        self._kind = kind

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._kind)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        vars(self)[name] = found = getattr(self._adapter, name)  # the next look-up does not come here
        return found

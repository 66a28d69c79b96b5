"""A cache of results for short texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

MAX_TEXTS = 512  # that `cache_short_texts` keeps of one function

Made = TypeVar("Made")


def cache_short_texts(max_characters: int) -> Callable[[Callable[[str], Made]], Callable[[str], Made]]:
    """Cache the results of a function of one text, for texts of up to `max_characters` characters.

    Longer texts are not cached, because the texts of a hostile page would fill the memory. The results must not be changed.
    """

    def decorate(make: Callable[[str], Made]) -> Callable[[str], Made]:
        known = lru_cache(maxsize=MAX_TEXTS)(make)
        return wraps(make)(lambda text: known(text) if len(text) <= max_characters else make(text))

    return decorate

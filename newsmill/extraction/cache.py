"""Caches for values that many pages need: one value per site profile, or one per short text. Pure.

A process keeps one object per profile, so identity identifies a profile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from newsmill.model import Profile

MAX_PROFILES = 64  # profiles; twice as many as a child of the sandbox receives
MAX_TEXTS = 512

Made = TypeVar("Made")


def cache_per_profile(make: Callable[[Profile], Made]) -> Callable[[Profile], Made]:
    """Cache the results of `make` by the identity of the profile, because a comparison of two profiles takes longer."""
    known: dict[int, tuple[Profile, Made]] = {}

    @wraps(make)
    def made(profile: Profile) -> Made:
        found = known.get(id(profile))
        if found is not None and found[0] is profile:
            return found[1]
        if len(known) >= MAX_PROFILES:
            known.clear()
        known[id(profile)] = profile, make(profile)
        return known[id(profile)][1]

    return made


def cache_short_texts(longest: int) -> Callable[[Callable[[str], Made]], Callable[[str], Made]]:
    """Cache the results of a function of one text, for texts of up to `longest` characters.

    Longer texts are not cached, because the texts of a hostile page would fill the memory. The results must not be changed.
    """

    def decorate(make: Callable[[str], Made]) -> Callable[[str], Made]:
        known = lru_cache(maxsize=MAX_TEXTS)(make)
        return wraps(make)(lambda text: known(text) if len(text) <= longest else make(text))

    return decorate

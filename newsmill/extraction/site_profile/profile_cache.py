"""A cache of results for each site profile."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from newsmill.model import Profile

MAX_CACHED_PROFILES = 64  # twice as many as a child of the sandbox receives

Made = TypeVar("Made")


def cache_per_profile(make: Callable[[Profile], Made]) -> Callable[[Profile], Made]:
    """Cache the results of `make` by the identity of the profile, because a comparison of two profiles takes longer.

    A process keeps one object per profile, so identity identifies a profile.
    """
    known: dict[int, tuple[Profile, Made]] = {}

    @wraps(make)
    def made(profile: Profile) -> Made:
        found = known.get(id(profile))
        if found is not None and found[0] is profile:
            return found[1]
        if len(known) >= MAX_CACHED_PROFILES:
            known.clear()
        known[id(profile)] = profile, make(profile)
        return known[id(profile)][1]

    return made

"""What is made of a profile once and asked for with page after page: a reader gets the same profile object each time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from newsmill.model import Profile

MOST = 64  # profiles; twice as many as a child of the sandbox is told of

Made = TypeVar("Made")


def once_per_profile(make: Callable[[Profile], Made]) -> Callable[[Profile], Made]:
    """`make`, called once for each profile object. By identity: to compare two profiles would take longer."""
    known: dict[int, tuple[Profile, Made]] = {}

    @wraps(make)
    def made(profile: Profile) -> Made:
        found = known.get(id(profile))
        if found is not None and found[0] is profile:
            return found[1]
        if len(known) >= MOST:
            known.clear()
        known[id(profile)] = profile, make(profile)
        return known[id(profile)][1]

    return made

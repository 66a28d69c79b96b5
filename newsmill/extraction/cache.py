"""What is asked for with page after page and made once: of a profile (a reader gets the same object each time), of a short text. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from newsmill.model import Profile

MAX_PROFILES = 64  # profiles; twice as many as a child of the sandbox is told of
MAX_TEXTS = 512

Made = TypeVar("Made")


def cache_per_profile(make: Callable[[Profile], Made]) -> Callable[[Profile], Made]:
    """`make`, called once for each profile object. By identity: to compare two profiles would take longer."""
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
    """A function of one text that remembers what it made of those of up to `longest` characters; a hostile page's long ones would stay.

    What it makes must not be changed by anybody.
    """

    def decorate(make: Callable[[str], Made]) -> Callable[[str], Made]:
        known = lru_cache(maxsize=MAX_TEXTS)(make)
        return wraps(make)(lambda text: known(text) if len(text) <= longest else make(text))

    return decorate

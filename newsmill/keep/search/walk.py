"""Going through the index from the newest on, a chunk at a time, until enough is found or the time is up.

A query of words that are common, or of two that hardly ever meet, would otherwise read every document there is. How much one chunk holds
is counted in documents, so what a page of results shows does not hang on the machine's load; only where PATIENCE ends it does, and then
the result says up to where it goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from newsmill.keep.search.places import FIRST, Place, Span

PATIENCE = 0.060  # seconds that finding a page of results may take, on an idle machine
TO_COUNT = 0.030  # seconds more to count the rest; nobody needs to know whether it is 8,000 or 9,000
ENOUGH = 60  # matches: three pages of results, after which ...
FAR = 50_000  # ... no more than so many documents are looked at for better ones
GROWTH = 4  # of a chunk to the one before


class TimeIsUp(Exception):
    """A look at a chunk took longer than it may."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The matches, newest first, and the place down to which every match is among them: FIRST for all. `cut`: the time was up."""

    places: list[Place]
    lower: Place
    seen: int = 0  # among so many documents, at most; 0 where nobody counted
    cut: bool = False


# What a database does: the place of the n-th document of a span, counted from the newest (None: there are not so many), and the newest
# matches in a span, at most so many, within some seconds. Raises TimeIsUp.
Edge = Callable[[Span, int], Place | None]
Look = Callable[[Span, int, float | None], list[Place]]
Count = Callable[[Span, int, float | None], int]  # of the matches in a span, at most one more than so many


def walk(edge: Edge, look: Look, span: Span, limit: int, enough: int, *, first: int, until: float) -> Walked:
    """At most `limit` matches of a span; `enough` of them end the search after FAR documents. `first`: documents in the first chunk,
    which is always looked at. `until`: a time of time.monotonic()."""
    found: list[Place] = []
    newest, size, seen = edge(span, 1), first, 0
    if newest is None:
        return Walked(found, FIRST)
    upper = (newest[0] + 1, "")
    while True:
        size = min(size, FAR - seen) if seen < FAR else size
        lower = edge(Span(span.lower, upper), size)
        began = time.monotonic()
        try:
            found += look(Span(lower or span.lower, upper), limit - len(found), None if seen == 0 or until == inf else until - began)
        except TimeIsUp:
            return Walked(found, upper, seen, cut=True)
        if len(found) >= limit:
            return Walked(found, found[-1], seen + size)
        if lower is None:
            return Walked(found, FIRST)
        upper, seen = lower, seen + size
        if len(found) >= enough and seen >= FAR:
            return Walked(found, lower, seen)
        size = _next(size, time.monotonic() - began, until - time.monotonic())
        if size == 0:
            return Walked(found, lower, seen, cut=True)


def counted(edge: Edge, count: Count, span: Span, most: int, *, until: float) -> int:
    """How many match; `most + 1` when they are more than `most`, or there is no time to find out."""
    found, upper, size = 0, span.upper, FAR
    while found <= most and size:
        lower = edge(Span(span.lower, upper), size)
        began = time.monotonic()
        try:
            found += count(Span(lower or span.lower, upper), most - found, until - began)
        except TimeIsUp:
            break
        if lower is None:
            return found
        upper, size = lower, _next(size, time.monotonic() - began, until - time.monotonic())
    return most + 1


def _next(size: int, took: float, left: float) -> int:
    """Documents in the next chunk: as many more as there is time for, were they like the last; 0 when it is not worth beginning."""
    if left <= 0:
        return 0
    fits = left / max(took, 1e-6)
    return int(size * min(GROWTH, fits)) if fits >= 0.25 else 0

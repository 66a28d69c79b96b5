"""Going through the index from the newest on, a chunk at a time, until enough is found or the time is up.

A query of words that are common, or of two that hardly ever meet, would otherwise read every document there is. How much one chunk holds
is counted in documents, so what a page of results shows does not hang on the machine's load; only where PATIENCE ends it does, and then
a page that is not full says up to where it goes; a full one is the best of fewer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from newsmill.search.positions import MIN_POSITION, IndexPosition, Span

PAGE_SECONDS = 0.060  # seconds that finding a page of results may take; on SQLite of our CPU, so that a busy machine is slow but complete
COUNT_SECONDS = 0.030  # seconds more to count the rest; nobody needs to know whether it is 8,000 or 9,000 ...
COUNT_OVERTIME_SECONDS = (
    0.020  # ... and none of them later than so many seconds after PATIENCE is over: ranking and fetching a page take 10 of them
)
ENOUGH_MATCHES = 60  # matches: three pages of results, after which ...
FAR_DOCUMENTS = 50_000  # ... no more than about so many documents are looked at for better ones
RARE_DOCUMENTS_PER_MATCH = 400  # documents to one match, and more
MAX_CHUNK_GROWTH = 4  # of a chunk to the one before
CHUNK_TIME_SHARE = 0.7  # of the time left is what the next chunk of a tally is meant to take: one that is stopped was for nothing


class ScanTimeoutError(Exception):
    """A look at a chunk took longer than it may."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The matches, newest first, and the place down to which every match is among them: FIRST for all. `cut`: the time was up."""

    places: list[IndexPosition]
    lower: IndexPosition
    seen: int = 0  # among so many documents, at most; 0 where nobody counted
    cut: bool = False


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """How many matches each stretch of time and each source has; of sources only the newest matches, see `tallied`. `lower`: the place
    down to which everything has been looked at: FIRST for all."""

    stretches: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    lower: IndexPosition = MIN_POSITION


# What a database does: the place of the n-th document of a span, counted from the newest (None: there are not so many); the newest and the
# oldest place of a span (None: it is empty); the newest matches in a span, or how many there are, at most so many, within some seconds;
# how many each stretch of time has (stretch, None, n) and, if asked, each source (None, source, n). Raises TimeIsUp.
Clock = Callable[[], float]
Edge = Callable[[Span, int], IndexPosition | None]
Ends = Callable[[Span], tuple[IndexPosition, IndexPosition] | None]
Look = Callable[[Span, int, float | None], list[IndexPosition]]
Count = Callable[[Span, int, float | None], int]
Rows = Callable[[Span, bool, float | None], Sequence[Any]]


def scan_matches(
    edge: Edge, ends: Ends, look: Look, span: Span, limit: int, enough: int, *, first: int, jump: bool, clock: Clock, until: float
) -> ScanResult:
    """At most `limit` matches of a span; `enough` of them end the search after FAR documents. `first`: documents in the first chunk,
    which is always looked at. `until`: a time of `clock`. `jump`: after a first chunk with hardly a match, all the rest is tried
    at once, for half of the time: what is rare is found soonest so. Only where a look can be stopped."""
    found: list[IndexPosition] = []
    both = ends(span)
    if both is None:
        return ScanResult(found, MIN_POSITION)
    chunks = _Chunks(edge, span, *both, first, far=FAR_DOCUMENTS)
    while True:
        chunk, began = chunks.next(), clock()
        try:
            found += look(chunk, limit - len(found), None if chunks.seen == 0 or until == inf else until - began)
        except ScanTimeoutError:
            return ScanResult(found, chunk.upper, chunks.seen, cut=True)
        if len(found) >= limit:
            return ScanResult(found, found[-1], chunks.seen + chunks.size)
        if chunk.lower == span.lower:
            return ScanResult(found, MIN_POSITION)
        chunks.done(chunk, clock() - began, until - clock())
        if jump and chunks.seen == first and len(found) * RARE_DOCUMENTS_PER_MATCH <= first and until > clock():
            try:
                rest = Span(span.lower, chunk.lower)
                found += look(rest, limit - len(found), None if until == inf else (until - clock()) / 2)
                return ScanResult(found, MIN_POSITION if len(found) < limit else found[-1])
            except ScanTimeoutError:
                pass
        if len(found) >= enough and chunks.seen >= FAR_DOCUMENTS:
            return ScanResult(found, chunk.lower, chunks.seen)
        if chunks.size == 0:
            return ScanResult(found, chunk.lower, chunks.seen, cut=True)


def count_matches(edge: Edge, ends: Ends, count: Count, span: Span, most: int, *, first: int, clock: Clock, until: float) -> int:
    """How many match; `most + 1` when they are more than `most`, or there is no time to find out."""
    both = ends(span)
    if both is None:
        return 0
    found, chunks = 0, _Chunks(edge, span, *both, first)
    while found <= most and chunks.size:
        chunk, began = chunks.next(), clock()
        try:
            found += count(chunk, most - found, until - began)
        except ScanTimeoutError:
            return most + 1
        if chunk.lower == span.lower:
            return found
        chunks.done(chunk, clock() - began, until - clock())
    return most + 1


def count_buckets(
    edge: Edge, ends: Ends, rows: Rows, span: Span, since: IndexPosition, enough: int, *, first: int, clock: Clock, until: float
) -> BucketCounts:
    """All matches down to `since`, and further until there are `enough`; or what there is time for. Of each chunk before which there were
    fewer than `enough`, the sources are counted too."""
    found = BucketCounts()
    both = ends(span)
    if both is None:
        return found
    chunks, lower = _Chunks(edge, span, *both, first), (both[0][0] + 1, "")
    while chunks.size and (began := clock()) < until:
        chunk = chunks.next()
        try:
            every = rows(chunk, found.sources.total() < enough, until - began)
        except ScanTimeoutError:
            break
        found.stretches.update({row.stretch: row.n for row in every if row.stretch is not None})
        found.sources.update({row.source or "": row.n for row in every if row.stretch is None})
        lower = chunk.lower
        if lower == span.lower:
            return found
        if lower <= since and found.sources.total() >= enough:
            break
        chunks.done(chunk, clock() - began, CHUNK_TIME_SHARE * (until - clock()))
    return replace(found, lower=lower)


class _Chunks:
    """From the newest to the oldest, each GROWTH times the one before if there is time. The documents of the first are counted off; after
    it, where that would take long, a chunk is as much time as would hold so many, were they as close together as those so far. One chunk
    ends at the `far`-th document."""

    def __init__(self, edge: Edge, span: Span, newest: IndexPosition, oldest: IndexPosition, first: int, far: int = 0) -> None:
        self._edge, self._span, self._newest, self._oldest, self._far = edge, span, newest, oldest, far
        self._upper: IndexPosition = (newest[0] + 1, "")
        self.size, self.seen = first, 0

    def next(self) -> Span:
        """The next chunk; the last one goes down to the span's own lower end."""
        if self.seen < self._far < self.seen + 2 * self.size:
            self.size = self._far - self.seen
        if self.seen == 0:
            lower = self._edge(Span(self._span.lower, self._upper), self.size)
        else:
            back = (self._newest[0] + 1 - self._upper[0]) * self.size // self.seen + 1
            lower = (self._upper[0] - back, "") if self._upper[0] - back > self._oldest[0] else None
        return Span(lower or self._span.lower, self._upper)

    def done(self, chunk: Span, took: float, left: float) -> None:
        """A chunk has been looked at in `took` seconds, and there are `left`. Then `size` is that of the next, 0 where none is worth it."""
        self._upper, self.seen = chunk.lower, self.seen + self.size
        fits = left / max(took, 1e-6)
        self.size = int(self.size * min(MAX_CHUNK_GROWTH, fits)) if fits >= 0.25 else 0

"""The index is scanned from the newest document on, chunk by chunk.

Common words, and two words that hardly ever meet, would otherwise read every document. Chunks are counted in documents, so results do not
depend on the machine's load; only the time limit does, and then a page says how far it looked.

Without time limits one kind of query takes 922 ms (p95) at a million documents on Postgres, with them 75 ms; on SQLite 267 and 49 ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from newsmill.search.backend import StatementTimeoutError
from newsmill.search.positions import MIN_POSITION, IndexPosition, Span

COUNT_SECONDS = 0.030  # to count the matches that are not on a page: the difference between 8,000 and 9,000 does not matter
FAR_DOCUMENTS = 50_000  # after about so many, a scan with enough matches ends
RARE_DOCUMENTS_PER_MATCH = 400
MAX_CHUNK_GROWTH = 4  # of a chunk to the one before
CHUNK_TIME_SHARE = 0.7  # of the time left, for the next chunk of counts: a chunk that is stopped was in vain

NthPosition = Callable[[Span, int], IndexPosition | None]  # the n-th newest document of a span; None if it has fewer
EndPositions = Callable[[Span], tuple[IndexPosition, IndexPosition] | None]  # the newest and the oldest; None if the span is empty
# Each takes at most so many seconds and raises StatementTimeoutError when that is too short.
NewestMatches = Callable[[Span, int, float | None], list[IndexPosition]]
CountMatches = Callable[[Span, int, float | None], int]  # at most so many
CountBuckets = Callable[[Span, float | None], Sequence[Any]]  # rows (bucket, n)


@dataclass(frozen=True, slots=True)
class ScannedIndex:
    """What a scan needs to cut a span into chunks. The first chunk is always read."""

    nth_position: NthPosition
    end_positions: EndPositions
    first_chunk_documents: int
    clock: Callable[[], float]  # seconds; `until` is a time of this clock


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The matches, newest first. Every match down to `lower` is among them; MIN_POSITION: all are."""

    positions: list[IndexPosition]
    lower: IndexPosition
    seen: int = 0  # documents read, at most; 0 where nothing counted them
    is_cut: bool = False  # the time was up


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """Matches per time bucket. Every match from `lower` on is counted; the span's own: all are."""

    lower: IndexPosition
    buckets: Counter[int] = field(default_factory=Counter)


def scan_matches(
    index: ScannedIndex, newest: NewestMatches, span: Span, limit: int, enough: int, *, jump: bool, until: float
) -> ScanResult:
    """At most `limit` matches of a span; `enough` of them end the scan after FAR_DOCUMENTS.

    `jump`: after a first chunk with hardly a match the whole rest is tried at once, for half of the time. That is the fastest way to find
    rare matches, where a statement can be stopped.
    """
    found: list[IndexPosition] = []
    ends = index.end_positions(span)
    if ends is None:
        return ScanResult(found, MIN_POSITION)
    chunks = _Chunks(index, span, *ends, far=FAR_DOCUMENTS)
    while True:
        chunk, began = chunks.next(), index.clock()
        try:
            found += newest(chunk, limit - len(found), None if chunks.seen == 0 or until == inf else until - began)
        except StatementTimeoutError:
            return ScanResult(found, chunk.upper, chunks.seen, is_cut=True)
        if len(found) >= limit:
            return ScanResult(found, found[-1], chunks.seen + chunks.size)
        if chunk.lower == span.lower:
            return ScanResult(found, MIN_POSITION)
        chunks.advance(chunk, index.clock() - began, until - index.clock())
        is_first = chunks.seen == index.first_chunk_documents
        if jump and is_first and len(found) * RARE_DOCUMENTS_PER_MATCH <= chunks.seen and until > index.clock():
            try:
                rest = Span(span.lower, chunk.lower)
                found += newest(rest, limit - len(found), None if until == inf else (until - index.clock()) / 2)
                return ScanResult(found, MIN_POSITION if len(found) < limit else found[-1])
            except StatementTimeoutError:
                pass
        if len(found) >= enough and chunks.seen >= FAR_DOCUMENTS:
            return ScanResult(found, chunk.lower, chunks.seen)
        if chunks.size == 0:
            return ScanResult(found, chunk.lower, chunks.seen, is_cut=True)


def count_matches(index: ScannedIndex, count: CountMatches, span: Span, max_count: int, *, until: float) -> int:
    """How many match; `max_count + 1` if more than `max_count` do, or if the time is up."""
    ends = index.end_positions(span)
    if ends is None:
        return 0
    found, chunks = 0, _Chunks(index, span, *ends)
    while found <= max_count and chunks.size:
        chunk, began = chunks.next(), index.clock()
        try:
            found += count(chunk, max_count - found, until - began)
        except StatementTimeoutError:
            return max_count + 1
        if chunk.lower == span.lower:
            return found
        chunks.advance(chunk, index.clock() - began, until - index.clock())
    return max_count + 1


def count_buckets(index: ScannedIndex, count: CountBuckets, span: Span, *, until: float) -> BucketCounts:
    """All matches of a span; fewer if the time is up."""
    counts = BucketCounts(span.lower)
    ends = index.end_positions(span)
    if ends is None:
        return counts
    chunks, lower = _Chunks(index, span, *ends), (ends[0][0] + 1, "")
    while chunks.size and (began := index.clock()) < until:
        chunk = chunks.next()
        try:
            rows = count(chunk, None if until == inf else until - began)
        except StatementTimeoutError:
            break
        counts.buckets.update({row.bucket: row.n for row in rows})
        lower = chunk.lower
        if lower == span.lower:
            return counts
        chunks.advance(chunk, index.clock() - began, CHUNK_TIME_SHARE * (until - index.clock()))
    return replace(counts, lower=lower)


class _Chunks:
    """The chunks of a span from the newest to the oldest, each at most MAX_CHUNK_GROWTH times as large as the one before.

    The first chunk is counted off, which takes long for large ones. A later chunk is as much time as held so many documents so far.
    One chunk ends at the `far`-th document.
    """

    def __init__(self, index: ScannedIndex, span: Span, newest: IndexPosition, oldest: IndexPosition, far: int = 0) -> None:
        self._index, self._span, self._newest, self._oldest, self._far = index, span, newest, oldest, far
        self._upper: IndexPosition = (newest[0] + 1, "")
        self.size, self.seen = index.first_chunk_documents, 0

    def next(self) -> Span:
        """The next chunk; the last one ends where the span does."""
        if self.seen < self._far < self.seen + 2 * self.size:
            self.size = self._far - self.seen
        if self.seen == 0:
            lower = self._index.nth_position(Span(self._span.lower, self._upper), self.size)
        else:
            back = (self._newest[0] + 1 - self._upper[0]) * self.size // self.seen + 1
            lower = (self._upper[0] - back, "") if self._upper[0] - back > self._oldest[0] else None
        return Span(lower or self._span.lower, self._upper)

    def advance(self, chunk: Span, seconds: float, seconds_left: float) -> None:
        """Go past a chunk that took `seconds`. Sets the size of the next one, 0 if the time is up."""
        self._upper, self.seen = chunk.lower, self.seen + self.size
        growth = seconds_left / max(seconds, 1e-6)
        self.size = int(self.size * min(MAX_CHUNK_GROWTH, growth)) if growth >= 0.25 else 0

"""The positions of documents in the index, which is ordered by time. Pure, and the same for both databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MOMENTS_PER_SECOND = 1024  # so that documents of the same second have an order
MOMENTS_PER_DAY = 86_400 * MOMENTS_PER_SECOND
# Moments below this one are of documents without a date, one for each second up to the year 2106: they have no rank as new, no bar in
# charts, and are not within after: and before:.
FIRST_DATED_MOMENT = 1 << 32

IndexPosition = tuple[int, str]  # an entry's moment and its document's id

MIN_POSITION: IndexPosition = (0, "")
MAX_POSITION: IndexPosition = (1 << 62, "")


@dataclass(frozen=True, slots=True)
class Span:
    """The positions from `lower` on and before `upper`."""

    lower: IndexPosition = MIN_POSITION
    upper: IndexPosition = MAX_POSITION

    def intersect(self, lower: IndexPosition = MIN_POSITION, upper: IndexPosition = MAX_POSITION) -> Span:
        return Span(max(self.lower, lower), min(self.upper, upper))

    def limit_to_times(self, since: datetime | None, until: datetime | None) -> Span:
        """The part from `since` on and before `until`; None: without that bound. With a bound, without undated documents."""
        lower = (FIRST_DATED_MOMENT if since is None else to_moment(since), "")
        if since is None and until is None:
            return self
        return self.intersect(lower, MAX_POSITION if until is None else (to_moment(until), ""))


DATED = Span((FIRST_DATED_MOMENT, ""))  # all documents with a date


def document_time(published_at: datetime | None, precision: str | None, first_seen_at: datetime) -> datetime:
    """A document's time: when it was published, but never later than it was first seen. A day without an hour counts to its end."""
    if published_at is None:
        return first_seen_at
    return min(published_at + timedelta(days=1, seconds=-1) if precision == "day" else published_at, first_seen_at)


def to_moment(at: datetime) -> int:
    """The number by which the index orders a time: the first moment of its second. Times before 19 February 1970 count as that day."""
    return max(FIRST_DATED_MOMENT, int(at.timestamp()) * MOMENTS_PER_SECOND)


def find_moment(row: Mapping[Any, Any]) -> int:
    """Undated documents lie before all others, in the order in which they were first seen."""
    if row["published_at"] is None:
        return min(FIRST_DATED_MOMENT - MOMENTS_PER_SECOND, max(0, int(row["first_seen_at"].timestamp())))
    return to_moment(document_time(row["published_at"], row["published_precision"], row["first_seen_at"]))


def to_time(moment: int) -> datetime:
    """The second that a moment lies in."""
    return datetime.fromtimestamp(moment // MOMENTS_PER_SECOND, UTC)

"""Positions of documents in the index, by time, and the spans between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.search.entry import to_moment
from newsmill.search.query import Query

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
        """The part from `since` on and before `until`; None: without that bound."""
        lower = MIN_POSITION if since is None else (to_moment(since), "")
        return self.intersect(lower, MAX_POSITION if until is None else (to_moment(until), ""))


def span_of_query(query: Query) -> Span:
    """The span that the query's after: and before: leave."""
    return replace(Span(), upper=MIN_POSITION) if query.matches_nothing else Span().limit_to_times(query.since, query.until)

"""Where a document stands in the index: newest first, everything between two places."""

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
    """Everything from `lower` on and before `upper`."""

    lower: IndexPosition = MIN_POSITION
    upper: IndexPosition = MAX_POSITION

    def within(self, lower: IndexPosition = MIN_POSITION, upper: IndexPosition = MAX_POSITION) -> Span:
        """What lies in both."""
        return Span(max(self.lower, lower), min(self.upper, upper))

    def between(self, since: datetime | None, until: datetime | None) -> Span:
        """What lies in here and between two times."""
        return self.within(
            MIN_POSITION if since is None else (to_moment(since), ""), MAX_POSITION if until is None else (to_moment(until), "")
        )


def span_of_query(query: Query) -> Span:
    """What after: and before: leave."""
    return replace(Span(), upper=MIN_POSITION) if query.nothing else Span().between(query.since, query.until)

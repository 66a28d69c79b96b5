"""Where a document stands in the index: newest first, everything between two places."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.search.entry import moment
from newsmill.search.query import Query

IndexPosition = tuple[int, str]  # an entry's moment and its document's id

FIRST: IndexPosition = (0, "")
END: IndexPosition = (1 << 62, "")


@dataclass(frozen=True, slots=True)
class Span:
    """Everything from `lower` on and before `upper`."""

    lower: IndexPosition = FIRST
    upper: IndexPosition = END

    def within(self, lower: IndexPosition = FIRST, upper: IndexPosition = END) -> Span:
        """What lies in both."""
        return Span(max(self.lower, lower), min(self.upper, upper))

    def between(self, since: datetime | None, until: datetime | None) -> Span:
        """What lies in here and between two times."""
        return self.within(FIRST if since is None else (moment(since), ""), END if until is None else (moment(until), ""))


def span_of(query: Query) -> Span:
    """What after: and before: leave."""
    return replace(Span(), upper=FIRST) if query.nothing else Span().between(query.since, query.until)

"""A query as its filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from newsmill.search.parsed_query import AnyOf, Query
from newsmill.search.query import parse_query, split_query
from newsmill.search.timelines import TimelineBar, format_bar_filters
from newsmill.web.pages.template_filters import params


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a query, and the query without it."""

    text: str
    query_without: str


class FilteredQuery:
    """A query whose filters are parts of their own. Parts with words or other filters beside them stay as they are."""

    def __init__(self, text: str) -> None:
        self._parts = split_query(text)
        self._filters = {part: parse_query(part.text) for part in self._parts if part.fields and "" not in part.fields}

    @property
    def text(self) -> str:
        """The query, with quotation marks and brackets closed."""
        return " ".join(part.text for part in self._parts)

    def list_filters(self) -> Iterator[Filter]:
        """The filters of the query, in order; filters joined by OR are one.

        >>> [filter.text for filter in FilteredQuery("rail OR lang:de -source:a type:b OR type:c").list_filters()]
        ['-source:a', 'type:b OR type:c']
        """
        for number, part in enumerate(self._parts):
            if part in self._filters:
                yield Filter(part.text, " ".join(other.text for at, other in enumerate(self._parts) if at != number))

    def has(self, filter: str) -> bool:
        """Whether the query has the filter, in any spelling."""
        return bool(self._filters) and parse_query(filter) in self._filters.values()

    def add(self, *filters: str) -> str:
        """The query for the documents that also match the filters. A filter that they make superfluous is replaced.

        >>> FilteredQuery('rail lang:de OR lang:en after:2026 NOT "open').add("lang:de", "after:2026-02-01")
        'rail NOT "open" lang:de after:2026-02-01'
        """
        added = parse_query(" ".join(filters) if self._filters else "")  # a page adds each value of its facets
        kept = [part.text for part in self._parts if not (part in self._filters and _implies(added, self._filters[part]))]
        return " ".join([*kept, *filters])

    def remove(self, field: str) -> str:
        """The query without the filters of a field. An excluded value stays excluded.

        >>> FilteredQuery('rail language:de OR lang:fr section:="Local News" -lang:en').remove("lang")
        'rail section:="Local News" -lang:en'
        """
        return " ".join(part.text for part in self._parts if part.has_exclusion or part.fields != {field})

    def link_bar(self, order: str, bar: TimelineBar) -> str:
        """The URL of the documents of one bar."""
        return f"/search{params({'q': self.add(*format_bar_filters(bar)), 'order': order})}"


def _implies(added: Query, filter: Query) -> bool:
    """Whether the documents that match `added` match the filter."""
    return (
        not filter.matches_nothing
        and (filter.node is None or filter.node == added.node or (isinstance(filter.node, AnyOf) and added.node in filter.node.nodes))
        and (filter.since is None or (added.since is not None and filter.since <= added.since))
        and (filter.until is None or (added.until is not None and filter.until >= added.until))
    )

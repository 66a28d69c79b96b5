"""Filters in the text of a query: listed, added and removed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from newsmill.search import TimelineBar
from newsmill.search.query import SIGN
from newsmill.search.query_notes import FILTERS
from newsmill.search.timeline import format_bar_filters
from newsmill.web.pages.rendering import params

_FILTER = re.compile(rf'(?<!\S){SIGN}?(?:{"|".join(FILTERS)}):=?(?:"[^"]*"|\S+)', re.IGNORECASE)
_SAME_FIELDS = {"language": "lang"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a query, and the query without it."""

    text: str
    query_without: str


def list_filters(query: str) -> Iterator[Filter]:
    """The filters of a query, in order."""
    for match in _FILTER.finditer(query):
        rest = f"{query[: match.start()]} {query[match.end() :]}"
        yield Filter(match[0], " ".join(rest.split()))


def add_filter(query: str, filter: str) -> str:
    """The query with the filter; a filter of the same field is replaced.

    >>> add_filter("harbour source:a", "source:b")
    'harbour source:b'
    """
    return " ".join([*remove_filters(query, field_of(filter)).split(), filter])


def remove_filters(query: str, field: str) -> str:
    """The query without the filters of a field. An excluded value stays excluded.

    >>> remove_filters('harbour language:de section:="Local News" -lang:en !lang:fr', "lang")
    'harbour section:="Local News" -lang:en !lang:fr'
    """
    return " ".join(_FILTER.sub(lambda match: "" if field_of(match[0]) == field else match[0], query).split())


def field_of(filter: str) -> str:
    """The field of a filter, with its sign."""
    name = filter.partition(":")[0].lower()
    return _SAME_FIELDS.get(name, name)


def link_bar(query: str, order: str, _name: str, bar: TimelineBar) -> str:
    """The URL of the documents of one bar."""
    for one in format_bar_filters(bar):
        query = add_filter(query, one)
    return f"/search{params({'q': query, 'order': order})}"

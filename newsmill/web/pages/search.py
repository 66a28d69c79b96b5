"""The search page: a box, the filters in force as chips, snippets, counts over time and by source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Depends, Request, Response

from newsmill.context import AppContext
from newsmill.exceptions import CursorError
from newsmill.search import Breakdown, Search, SearchResults
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages import charts
from newsmill.web.pages.rendering import PageView, params
from newsmill.web.pages.translations import Translations

MAX_HITS = 20  # a page
CHART_DAYS = 30  # of the chart, today included
MAX_SOURCES = 10  # in the list beside the results
MAX_QUERY_SECONDS = (
    0.070  # for the results and what is counted beside them, of the 0.1 that a page may take; the rest is for making the page
)
MAX_QUERY_CHARACTERS = 2000  # characters of a query
FILTER_FIELDS = ("source", "lang", "language", "author", "section", "title", "site", "is_free", "doubtful", "after", "before")
_FILTER = re.compile(rf'(?<!\S)-?(?:{"|".join(FILTER_FIELDS)}):(?:"[^"]*"|\S+)', re.IGNORECASE)

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a query, and the query without it."""

    said: str
    without: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Documents per day; each day's name."""

    series: charts.Series
    days: list[str]


@router.get("/search")
def show_search(request: Request, q: str = "", cursor: str | None = None, order: Literal["relevance", "newest"] = "relevance") -> Response:
    """Whatever is typed is a query; a cursor of another list starts again at the top."""
    context: AppContext = request.app.state.context
    view, finder, query = PageView(request), Search(context.engine), q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip()
    if not query:
        order = "newest"
    began, today = finder.read_clock(), view.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    results, since = _search_page(finder, query, cursor, order), today - timedelta(days=CHART_DAYS - 1)
    counted = not cursor and results.hits
    spread = finder.break_down(query, since=since, seconds=began + MAX_QUERY_SECONDS - finder.read_clock()) if counted else None
    sources = spread.sources[:MAX_SOURCES] if spread else ()
    return view.page(
        "search.html",
        q=query,
        order=order,
        results=results,
        total=spread.total if spread and results.total is None else results.total,
        chips=list(list_filters(query)),
        is_first=not cursor,
        chart=build_chart(spread, today, view.words) if spread else None,
        is_chart_whole=spread is None or spread.since <= since,
        sources=sources,
        sample=spread.among if spread and spread.among != spread.total else None,
        narrowed={name: add_filter(query, f"source:{name}") for name, _ in sources},
        feed=lambda kind: f"/feeds/{kind}{params({'q': query})}",
        later=params({"q": query, "order": order, "cursor": results.cursor}) if results.cursor else None,
    )


def _search_page(finder: Search, query: str, cursor: str | None, order: Literal["relevance", "newest"]) -> SearchResults:
    try:
        return finder.search(query, limit=MAX_HITS, cursor=cursor, order=order, count=cursor is not None)
    except CursorError:
        return finder.search(query, limit=MAX_HITS, order=order)


def list_filters(query: str) -> Iterator[Filter]:
    """The filters of a query in order."""
    for match in _FILTER.finditer(query):
        rest = f"{query[: match.start()]} {query[match.end() :]}"
        yield Filter(match[0], " ".join(rest.split()))


def add_filter(query: str, filter: str) -> str:
    """The query with one filter more; one of the same field is replaced.

    >>> added("harbour source:a", "source:b")
    'harbour source:b'
    """
    field = filter.partition(":")[0]
    rest = _FILTER.sub(lambda match: "" if match[0].lower().startswith(f"{field}:") else match[0], query)
    return " ".join([*rest.split(), filter])


def build_chart(spread: Breakdown, today: datetime, words: Translations) -> Chart | None:
    """The last days that were counted, the newest at the end; None when nothing was found in them. `today`: its first moment, UTC."""
    days = [spread.since + timedelta(days=at) for at in range((today - spread.since).days + 1)]
    found = dict(spread.days)
    values = tuple(found.get(day, 0) for day in days)
    return Chart(charts.Series(words("search.documents"), values), [words.day(day) for day in days]) if any(values) else None

"""The search page: search box, filters, matches with snippets, and counts over time and by source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import CursorError
from newsmill.search import FIRST_PAGE, Breakdown, Search, SearchResults
from newsmill.storage.marks import Marks
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.storage.tokens import Scope
from newsmill.web.auth import get_caller, require_scope
from newsmill.web.pages import charts
from newsmill.web.pages.rendering import PageView, params
from newsmill.web.pages.translations import Translations
from newsmill.web.search_export import MAX_DOCUMENTS

MAX_HITS = 20
CHART_DAYS = 30  # today included
MAX_SOURCES = 10
MAX_SAVED = 12
MAX_TAGS = 50  # suggested for the chosen documents
MAX_QUERY_SECONDS = 0.070  # for matches and counts; rendering takes the rest of the 0.1 s that a page may take
MAX_QUERY_CHARACTERS = 2000
FILTER_FIELDS = (
    "source",
    "lang",
    "language",
    "author",
    "section",
    "title",
    "site",
    "is_free",
    "doubtful",
    "after",
    "before",
    "is",
    "has",
    "tag",
    "note",
)
_FILTER = re.compile(rf'(?<!\S)-?(?:{"|".join(FILTER_FIELDS)}):(?:"[^"]*"|\S+)', re.IGNORECASE)

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a query, and the query without it."""

    text: str
    query_without: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Documents per day, and the name of each day."""

    series: charts.Series
    days: list[str]


@router.get("/search")
def show_search(
    request: Request,
    q: str = "",
    cursor: str | None = None,
    order: Literal["relevance", "newest"] = "relevance",
    previous: str | None = None,
) -> Response:
    """The matches of a query. Any text is a query; a cursor of another query starts at the first page.

    `previous`: the cursor of the page before, for the documents that are opened from this one.
    """
    context: AppContext = request.app.state.context
    view = PageView(request)
    index, query = Search(context.engine, view.user), q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip()
    if not query:
        order = "newest"
    started_at, today = index.read_clock(), view.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    results, since = _search_page(index, query, cursor, order), today - timedelta(days=CHART_DAYS - 1)
    has_counts = not cursor and results.hits
    breakdown = index.break_down(query, since=since, seconds=started_at + MAX_QUERY_SECONDS - index.read_clock()) if has_counts else None
    sources = breakdown.sources[:MAX_SOURCES] if breakdown else ()
    return view.page(
        "search.html",
        q=query,
        order=order,
        results=results,
        total=breakdown.total if breakdown and results.total is None else results.total,
        filters=list(list_filters(query)),
        is_first=not cursor,
        chart=build_chart(breakdown, today, view.words) if breakdown else None,
        is_chart_whole=breakdown is None or breakdown.since <= since,
        sources=sources,
        sample=breakdown.among if breakdown and breakdown.among != breakdown.total else None,
        narrowed={name: add_filter(query, f"source:{name}") for name, _ in sources},
        saved=list_saved(request, context),
        feed=lambda kind: f"/feeds/{kind}{params({'q': query})}",
        later=params({"q": query, "order": order, "cursor": results.cursor, "previous": cursor or FIRST_PAGE}) if results.cursor else None,
        place={"q": query, "order": order if order == "newest" else None, "page": cursor, "previous": previous if cursor else None},
        marks=view.marks(hit.id for hit in results.hits),
        tags=[one.tag for one in Marks(context.engine, view.user).list_tags()[:MAX_TAGS]],
        max_exported=MAX_DOCUMENTS,
    )


def list_saved(request: Request, context: AppContext) -> list[SavedSearch]:
    """The saved searches of the user, those with new documents first."""
    caller = get_caller(request)
    searches = [] if caller is None else SavedSearches(context.engine).list_all(caller.user)
    return sorted(searches, key=lambda search: not search.new)[:MAX_SAVED]


@router.get("/search/build")
def build_search(
    all: str = "",
    phrase: str = "",
    any: str = "",
    none: str = "",
    title: str = "",
    source: str = "",
    language: str = "",
    after: str = "",
    before: str = "",
) -> Response:
    """Leads from the fields of the query builder to the search."""
    fields = {"source": source, "lang": language, "after": after, "before": before}
    query = build_query(all=all, phrase=phrase, any=any, none=none, title=title, fields=fields)
    return RedirectResponse(f"/search{params({'q': query[:MAX_QUERY_CHARACTERS]})}", 303)


def build_query(*, all: str, phrase: str, any: str, none: str, title: str, fields: Mapping[str, str]) -> str:
    """The query for the fields of the query builder.

    >>> build_query(all="rail", phrase="night train", any="bus ferry", none="strike", title="", fields={"lang": "de"})
    'rail "night train" bus OR ferry -strike lang:de'
    """
    parts = [" ".join(_plain_words(all))]
    parts += [f'"{" ".join(words)}"'] if (words := _plain_words(phrase)) else []
    parts += [
        " OR ".join(_plain_words(any)),
        *(f"-{word}" for word in _plain_words(none)),
        *(f"title:{word}" for word in _plain_words(title)),
    ]
    for name, value in fields.items():
        words = _plain_words(value)
        parts += [f"{name}:{words[0]}" if len(words) == 1 else f'{name}:"{" ".join(words)}"'] if words else []
    return " ".join(part for part in parts if part)


def _plain_words(text: str) -> list[str]:
    """The words of a field, without quotation marks and brackets."""
    return [word for piece in re.sub('["“”„()]', " ", text).split() if (word := piece.lstrip("-="))]


def _search_page(index: Search, query: str, cursor: str | None, order: Literal["relevance", "newest"]) -> SearchResults:
    try:
        return index.search(query, limit=MAX_HITS, cursor=cursor, order=order, count=cursor is not None)
    except CursorError:
        return index.search(query, limit=MAX_HITS, order=order)


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
    field = filter.partition(":")[0]
    rest = _FILTER.sub(lambda match: "" if match[0].lower().startswith(f"{field}:") else match[0], query)
    return " ".join([*rest.split(), filter])


def build_chart(breakdown: Breakdown, today: datetime, words: Translations) -> Chart | None:
    """The counted days, newest last; None when none of them has a match. `today` is the start of the day (UTC)."""
    days = [breakdown.since + timedelta(days=number) for number in range((today - breakdown.since).days + 1)]
    counts = dict(breakdown.days)
    values = tuple(counts.get(day, 0) for day in days)
    return Chart(charts.Series(words("search.documents"), values), [words.day(day) for day in days]) if any(values) else None

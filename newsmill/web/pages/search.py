"""The search page: search box, filters, query builder, matches with snippets, facets, and counts over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import CursorError
from newsmill.search.facets import FACET_FIELDS, FacetName, Facets, count_facets
from newsmill.search.query import parse_query
from newsmill.search.query_parser import MAX_QUERY_CHARACTERS
from newsmill.search.results import FIRST_PAGE, Hit, SearchResults
from newsmill.search.search import Search
from newsmill.search.timelines import TimelineStep, choose_period, count_timeline
from newsmill.storage.marks import Marks
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.storage.stories import Stories
from newsmill.storage.tokens import Scope
from newsmill.web.api.search_export import MAX_EXPORTED_DOCUMENTS, FormatName, find_documents, stream_documents
from newsmill.web.auth import get_caller, get_user, require_scope
from newsmill.web.pages.filtered_query import FilteredQuery
from newsmill.web.pages.match_position import MAX_HITS
from newsmill.web.pages.query_builder import BuilderFields, build_query, is_day, read_fields
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.template_filters import params
from newsmill.web.pages.timelines import count_chart
from newsmill.web.pages.translations import Translations

MAX_SAVED = 12
MAX_TAGS = 50  # suggested for the chosen documents
MAX_FACET_VALUES = 24  # of each facet
MAX_SHOWN_VALUES = 6  # of each facet, before the others are opened
FACET_TIME_SHARE = 0.6  # of the time left after the matches
CHART_SECONDS = 1.0  # for the chart alone: a word of every second document takes a third of it at a million documents, and 0.01 s at 10,000
MAX_QUERY_SECONDS = 0.070  # for matches and facets; rendering takes the rest of the 0.1 s that a page may take

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class FacetLink:
    """One value of a facet on the page. `query`: narrowed to the value; None where no filter can express it."""

    value: str
    n: int
    query: str | None
    is_active: bool  # the query has the filter


@dataclass(frozen=True, slots=True)
class FacetList:
    """One facet on the page. `query_without`: the query without filters of this facet; None if it has none."""

    name: FacetName
    values: tuple[FacetLink, ...]
    more: tuple[FacetLink, ...]  # those that the reader opens
    is_cut: bool  # there are further ones
    query_without: str | None


@router.get("/search")
def show_search(
    request: Request,
    q: str = "",
    cursor: str | None = None,
    order: Literal["relevance", "newest"] = "relevance",
    step: TimelineStep | None = None,
    previous: str | None = None,
    format: FormatName | None = None,
    marks: bool = False,
    fold: bool = True,
) -> Response:
    """The matches of a query. Any text is a query; a cursor of another query starts at the first page, and the page says so.

    `previous`: the cursor of the page before, for the documents that are opened from this one. `format`: a file in place of the page, as
    from /search/export.
    """
    context: AppContext = request.app.state.context
    view = PageView(request)
    if format is not None:
        return export_search(request, view.user, q, format, order, marks)
    index, query = Search(context.engine, view.user), q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip()
    if not query:
        order = "newest"
    ends_at = index.read_clock() + MAX_QUERY_SECONDS
    results, cursor, is_restarted = search_from(index, query, cursor or None, order, fold=fold)
    has_counts = not cursor and bool(results.hits)
    left = FACET_TIME_SHARE * (ends_at - index.read_clock())
    facets = (
        count_facets(context.engine, query, user=view.user, limit=MAX_FACET_VALUES + 1, seconds=left, without_copies=fold)
        if has_counts and left > 0
        else None
    )
    chosen = choose_period(query, view.now, step=step)
    timeline = (
        count_timeline(context.engine, query, chosen, user=view.user, seconds=CHART_SECONDS, without_copies=fold) if has_counts else None
    )
    unfolded = None if fold else 0
    filtered = FilteredQuery(query)
    total = facets.counted if facets and facets.is_complete else results.total
    return view.page(
        "search.html",
        q=query,
        order=order,
        fold=fold,
        unfolded=unfolded,
        results=results,
        sections=list_sections(results.hits, view.words),
        total=total,
        at_least=facets.counted if facets else 0,
        filters=list(filtered.list_filters()),
        is_first=not cursor,
        is_restarted=is_restarted,
        is_store_empty=not results.hits and context.documents.newest_time() is None,
        saved=list_saved(request, context),
        builder=read_fields(query),
        dates=list_dates(query, view.now),
        timeline=timeline,
        undated=total - timeline.total if timeline and timeline.is_complete and total else 0,
        undated_query=filtered.add("dated:no"),
        chart=count_chart([("", timeline)], view.words, lambda _, bar: filtered.link_bar(order, bar)) if timeline else None,
        facets=list_facets(facets, filtered) if facets else (),
        facet_total=facets.counted if facets else 0,
        facet_sample=facets.counted if facets and not facets.is_complete else None,
        feed=lambda kind: f"/feeds/{kind}{params({'q': query})}",
        later=link_next_page(query, order, results.cursor, cursor, unfolded),
        place=make_place(query, order, cursor, previous, unfolded),
        marks=view.marks(hit.id for hit in results.hits),
        stories=Stories(context.engine).of_documents([hit.id for hit in results.hits]),
        tags=[one.tag for one in Marks(context.engine, view.user).list_tags()[:MAX_TAGS]],
        max_exported=MAX_EXPORTED_DOCUMENTS,
    )


def list_sections(hits: Sequence[Hit], words: Translations) -> list[tuple[str, list[Hit]]]:
    """The matches in their order, divided where those begin that only mention the words of the query, each part with its heading."""
    parts = [(is_mention, list(found)) for is_mention, found in groupby(hits, key=lambda hit: hit.is_answer is False)]
    return [
        (words("search.mentions") if is_mention else words("search.older") if number else "", found)
        for number, (is_mention, found) in enumerate(parts)
    ]


def link_next_page(query: str, order: str, next_cursor: str | None, cursor: str | None, unfolded: int | None) -> str | None:
    """The link to the next page; None on the last one."""
    if not next_cursor:
        return None
    return params({"q": query, "order": order, "cursor": next_cursor, "previous": cursor or FIRST_PAGE, "fold": unfolded})


def make_place(query: str, order: str, cursor: str | None, previous: str | None, unfolded: int | None) -> dict[str, object]:
    """The parameters of a document's link, by which its page finds the next match."""
    newest = order if order == "newest" else None
    return {"q": query, "order": newest, "page": cursor, "previous": previous if cursor else None, "fold": unfolded}


def search_from(
    index: Search, query: str, cursor: str | None, order: Literal["relevance", "newest"], *, fold: bool
) -> tuple[SearchResults, str | None, bool]:
    """The matches from a cursor on, the cursor, and whether they begin again because the cursor belongs to another query."""
    try:
        return index.search(query, limit=MAX_HITS, cursor=cursor, order=order, count=cursor is not None, fold=fold), cursor, False
    except CursorError:
        return index.search(query, limit=MAX_HITS, order=order, count=False, fold=fold), None, True


@router.get("/search/export")
def export_search(
    request: Request,
    user: Annotated[str, Depends(get_user)],
    q: str = "",
    format: FormatName = "csv",
    order: Literal["relevance", "newest"] = "relevance",
    marks: bool = False,
) -> Response:
    """The matches of a query as a file."""
    query = q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip()
    context: AppContext = request.app.state.context
    documents = find_documents(context, query, user=user, order=order, with_marks=marks)
    return stream_documents(format, documents, ["marks"] if marks else [], name=query, now=context.now())


def list_saved(request: Request, context: AppContext) -> list[SavedSearch]:
    """The saved searches of the user, those with new documents first."""
    caller = get_caller(request)
    searches = [] if caller is None else SavedSearches(context.engine).list_all(caller.user)
    return sorted(searches, key=lambda search: not search.new)[:MAX_SAVED]


def list_facets(facets: Facets, query: FilteredQuery) -> tuple[FacetList, ...]:
    """The facets of a query that tell something: a value of several matches that not all have, or a filter of the query."""
    found = []
    for name, counts in facets.values.items():
        is_filtered = any(one.filter is not None and query.has(one.filter) for one in counts)
        if not is_filtered and not any(1 < one.n < facets.counted for one in counts):
            continue
        links = tuple(
            FacetLink(one.value, one.n, one.filter and query.add(one.filter), one.filter is not None and query.has(one.filter))
            for one in counts[:MAX_FACET_VALUES]
        )
        without = query.remove(FACET_FIELDS[name])
        widened = without if without != query.text else None
        shown = sum(link.n > 1 or link.is_active for link in links[:MAX_SHOWN_VALUES])
        found.append(FacetList(name, links[:shown], links[shown:], len(counts) > MAX_FACET_VALUES, widened))
    return tuple(found)


def list_dates(query: str, now: datetime) -> dict[str, str]:
    """The days in the fields of the date range: those of the query's own filters, else none."""
    parsed = parse_query(query, now)
    days = {"after": parsed.since, "before": parsed.until}
    return {name: at.date().isoformat() if at else "" for name, at in days.items()}


@router.get("/search/range")
def set_range(
    request: Request, q: str = "", after: str = "", before: str = "", order: Literal["relevance", "newest"] = "relevance"
) -> Response:
    """Leads from the fields of the date range to the search. An empty field removes the filter; an unchanged one keeps it."""
    query = q[:MAX_QUERY_CHARACTERS].replace("\0", " ")
    shown = list_dates(query, request.app.state.context.now())
    for name, value in (("after", after), ("before", before)):
        if value == shown[name]:
            continue
        query = FilteredQuery(query).remove(name)
        query = FilteredQuery(query).add(f"{name}:{value}") if is_day(value) else query
    return RedirectResponse(f"/search{params({'q': query, 'order': order})}", 303)


@router.get("/search/build")
def build_search(
    keep: str = "",
    all: str = "",
    phrase: str = "",
    any: str = "",
    none: str = "",
    title: str = "",
    author: str = "",
    section: str = "",
    source: str = "",
    language: str = "",
    after: str = "",
    before: str = "",
) -> Response:
    """Leads from the fields of the query builder to the search. `keep`: the parts of the query that no field expresses."""
    filters = {"author": author, "section": section, "source": source, "lang": language, "after": after, "before": before}
    query = build_query(BuilderFields(keep, all, phrase, any, none, title, filters))
    return RedirectResponse(f"/search{params({'q': query[:MAX_QUERY_CHARACTERS]})}", 303)

"""The search page: search box, filters, query builder, matches with snippets, facets, and counts over time; and the place of a document in
its matches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import CursorError
from newsmill.search.counts import (
    FACET_FIELDS,
    MAX_DAYS,
    FacetName,
    Facets,
    TimelineBar,
    TimelineStep,
    choose_period,
    count_facets,
    count_timeline,
    format_bar_filters,
)
from newsmill.search.parsed_query import AnyOf, Query
from newsmill.search.query import MAX_QUERY_CHARACTERS, SIGN, close_query, parse_query, split_query
from newsmill.search.results import FIRST_PAGE, Neighbours
from newsmill.search.search import Search
from newsmill.storage.marks import Marks
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.storage.tokens import Scope
from newsmill.web.api.search import MAX_EXPORTED_DOCUMENTS, FormatName, find_documents, stream_documents
from newsmill.web.auth import get_caller, get_user, require_scope
from newsmill.web.pages.charts import count_chart
from newsmill.web.pages.rendering import PageView, params

MAX_HITS = 20
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
    cursor, is_restarted = cursor or None, False
    try:
        results = index.search(query, limit=MAX_HITS, cursor=cursor, order=order, count=cursor is not None, fold=fold)
    except CursorError:
        cursor, is_restarted = None, True
        results = index.search(query, limit=MAX_HITS, order=order, count=False, fold=fold)
    period = choose_period(query, view.now, step=step)
    has_counts = not cursor and bool(results.hits)
    left = FACET_TIME_SHARE * (ends_at - index.read_clock())
    facets = (
        count_facets(context.engine, query, user=view.user, limit=MAX_FACET_VALUES + 1, seconds=left, without_copies=fold)
        if has_counts and left > 0
        else None
    )
    timeline = (
        count_timeline(context.engine, query, period, user=view.user, seconds=CHART_SECONDS, without_copies=fold) if has_counts else None
    )
    unfolded = None if fold else 0
    title = view.words(f"timeline.title.{period.step}")
    filtered = FilteredQuery(query)
    return view.page(
        "search.html",
        q=query,
        order=order,
        fold=fold,
        unfolded=unfolded,
        results=results,
        total=facets.counted if facets and facets.is_complete else results.total,
        at_least=facets.counted if facets else 0,
        filters=list(filtered.list_filters()),
        is_first=not cursor,
        is_restarted=is_restarted,
        is_store_empty=not results.hits and context.documents.newest_time() is None,
        saved=list_saved(request, context),
        builder=read_fields(query),
        period=period,
        ten_years=(view.now - timedelta(days=MAX_DAYS - 1)).date(),
        dates=list_dates(query, view.now),
        timeline=timeline,
        chart=count_chart([("", timeline)], title, view.words, lambda _, bar: filtered.link_bar(order, bar)) if timeline else None,
        facets=list_facets(facets, filtered) if facets else (),
        facet_sample=facets.counted if facets and not facets.is_complete else None,
        feed=lambda kind: f"/feeds/{kind}{params({'q': query})}",
        later=params({"q": query, "order": order, "cursor": results.cursor, "previous": cursor or FIRST_PAGE, "fold": unfolded})
        if results.cursor
        else None,
        place={
            "q": query,
            "order": order if order == "newest" else None,
            "page": cursor,
            "previous": previous if cursor else None,
            "fold": unfolded,
        },
        marks=view.marks(hit.id for hit in results.hits),
        tags=[one.tag for one in Marks(context.engine, view.user).list_tags()[:MAX_TAGS]],
        max_exported=MAX_EXPORTED_DOCUMENTS,
    )


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
    """The facets of a query, without empty ones."""
    found = []
    for name, counts in facets.values.items():
        links = tuple(
            FacetLink(one.value, one.n, one.filter and query.add(one.filter), one.filter is not None and query.has(one.filter))
            for one in counts[:MAX_FACET_VALUES]
        )
        without = query.remove(FACET_FIELDS[name])
        widened = without if without != query.text else None
        found.append(FacetList(name, links[:MAX_SHOWN_VALUES], links[MAX_SHOWN_VALUES:], len(counts) > MAX_FACET_VALUES, widened))
    return tuple(one for one in found if one.values)


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


# ---- the place of a document in a list of matches ----------------------------------------------------------------------------


class Place:
    """The list of results that a document was opened from: its query, and the cursors of its page and the page before. It is in the URL."""

    def __init__(
        self,
        q: str = "",
        order: Literal["relevance", "newest"] | None = None,
        page: str | None = None,
        previous: str | None = None,
        fold: bool = True,
    ) -> None:
        self.fold = fold
        self.query, self.page, self.previous = q[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip(), page, previous
        self.order: Literal["relevance", "newest"] | None = order or ("relevance" if self.query else None)  # None: not from a list

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a URL, without empty ones."""
        order, cursors = ("newest" if self.order == "newest" else None), {"page": self.page, "previous": self.previous}
        values = {"q": self.query, "order": order, **(cursors if self.order else {}), "fold": None if self.fold else "0"}
        return {name: value for name, value in values.items() if value}

    def find_neighbours(self, index: Search, document_id: str) -> Neighbours:
        """The documents beside this one in the list; none for one that was not opened from a list."""
        if self.order is None:
            return Neighbours()
        try:
            cursors = {"cursor": self.page, "previous": self.previous}
            return index.neighbours(self.query, document_id, **cursors, order=self.order, limit=MAX_HITS, fold=self.fold)
        except CursorError:
            return Neighbours()


# ---- a query as its filters, which pages show and change ---------------------------------------------------------------------


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


# ---- the query builder, for people who type no operators: its fields from a query and back -----------------------------------

_PART = re.compile(
    rf'(?P<minus>{SIGN}?)(?:(?P<name>[a-z_]+):)?(?P<equals>=?)(?:["“”„](?P<quoted>[^"“”„]*)["“”„]|(?P<plain>[^\s()"“”„]+))', re.IGNORECASE
)
_WORD_OR_PHRASE = re.compile(r'["“”„](?P<quoted>[^"“”„]*)["“”„]?|[^\s()"“”„]+')
_ONE_VALUE = ("source", "lang", "author", "section", "after", "before")


@dataclass(slots=True)
class BuilderFields:
    """The fields of the query builder. `keep`: parts of the query that no field expresses, as they were typed."""

    keep: str = ""
    all: str = ""
    phrase: str = ""
    any: str = ""
    none: str = ""
    title: str = ""
    filters: dict[str, str] = field(default_factory=dict)  # of _ONE_VALUE


def read_fields(query: str) -> BuilderFields:
    """The fields that build a query again. Groups and words joined by operators are kept as they are.

    >>> read_fields('rail "night train" !strike lang:de is:starred')
    BuilderFields(keep='is:starred', all='rail', phrase='night train', any='', none='strike', title='', filters={'lang': 'de'})
    """
    fields = BuilderFields()
    for part in split_query(query):
        match = _PART.fullmatch(part.text)
        if match is None or not _read_part(fields, match):
            fields.keep = f"{fields.keep} {part.text}".strip()
    return fields


def _read_part(fields: BuilderFields, part: re.Match[str]) -> bool:
    """Put a part of a query into its field; false if no field has its meaning."""
    name, value, is_quoted = part["name"], part["quoted"] or part["plain"] or "", part["quoted"] is not None
    if not value or value != " ".join(_plain_words(value)) or part["equals"] or (part["minus"] and (name or is_quoted)):
        return False
    if name is None:
        target = "none" if part["minus"] else "phrase" if is_quoted else "all"
    elif name.lower() == "title" and not is_quoted:
        target = "title"
    else:
        target = "lang" if name.lower() == "language" else name.lower()
        is_free = target in _ONE_VALUE and target not in fields.filters
        if not is_free or (target in ("after", "before") and not is_day(value)):
            return False
        fields.filters[target] = value
        return True
    if target == "phrase" and fields.phrase:
        return False
    setattr(fields, target, f"{getattr(fields, target)} {value}".strip())
    return True


def build_query(fields: BuilderFields) -> str:
    """The query for the fields.

    >>> fields = BuilderFields(all="rail", phrase="night train", any='bus "old ferry"', none="strike", filters={"lang": "de"})
    >>> build_query(fields)
    'rail "night train" bus OR "old ferry" -strike lang:de'
    """
    parts = [close_query(fields.keep), close_query(" ".join(_words_and_phrases(fields.all)))]
    parts += [f'"{" ".join(words)}"'] if (words := _plain_words(fields.phrase)) else []
    parts += [
        " OR ".join(_words_and_phrases(fields.any)),
        *(f"-{one}" for one in _words_and_phrases(fields.none)),
        *(f"title:{one}" for one in _words_and_phrases(fields.title)),
    ]
    for name, value in fields.filters.items():
        words = _plain_words(value)
        parts += [f"{name}:{words[0]}" if len(words) == 1 else f'{name}:"{" ".join(words)}"'] if words else []
    return " ".join(part for part in parts if part)


def is_day(text: str) -> bool:
    """Whether a text is a date of the calendar, such as 2026-01-31."""
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def _words_and_phrases(text: str) -> list[str]:
    """The words of a field, and its phrases with their quotation marks. Without brackets.

    >>> _words_and_phrases('news (-"evening edition" "open')
    ['news', '"evening edition"', '"open"']
    """
    found = (
        match[0].lstrip("-=") if match["quoted"] is None else f'"{quoted}"' if (quoted := match["quoted"].strip()) else ""
        for match in _WORD_OR_PHRASE.finditer(text)
    )
    return [one for one in found if one]


def _plain_words(text: str) -> list[str]:
    """The words of a field, without quotation marks and brackets."""
    return [word for piece in re.sub('["“”„()]', " ", text).split() if (word := piece.lstrip("-!="))]

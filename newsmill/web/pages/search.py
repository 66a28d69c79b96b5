"""The search page: a box, the filters in force as chips, snippets, counts over time and by source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response

from newsmill.exceptions import CursorError
from newsmill.keep.search import COUNTED, Results, Search, Step
from newsmill.keep.tokens import Scope
from newsmill.web.callers import authorised
from newsmill.web.house import House
from newsmill.web.pages import charts
from newsmill.web.pages.view import View, params
from newsmill.web.pages.words import Words

HITS = 20  # a page
DAYS = 30  # of the chart, today included; on Postgres each matching document of these days is read
SOURCES = 10  # in the list beside the results
SAMPLE = 10_000  # matches that list is made of: 6 ms on SQLite, where every match of a common word would take 60
LONGEST = 2000  # characters of a query
FIELDS = ("source", "lang", "language", "author", "section", "title", "site", "is_free", "after", "before")
_FILTER = re.compile(rf'(?<!\S)-?(?:{"|".join(FIELDS)}):(?:"[^"]*"|\S+)', re.IGNORECASE)

router = APIRouter(include_in_schema=False, dependencies=[Depends(authorised(Scope.READ))])


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter of a query, and the query without it."""

    said: str
    without: str


@router.get("/search")
def search(request: Request, q: str = "", cursor: str | None = None, order: Literal["relevance", "newest"] = "relevance") -> Response:
    """Whatever is typed is a query; a cursor of another list starts again at the top."""
    house: House = request.app.state.house
    view, finder, query = View(request), Search(house.engine), q[:LONGEST].replace("\0", " ").strip()
    if not query:
        order = "newest"
    results = _page(finder, query, cursor, order)
    sources = () if cursor else finder.by_source(query, most=SAMPLE)
    first = view.now.date() - timedelta(days=DAYS - 1)
    return view.page(
        "search.html",
        q=query,
        order=order,
        results=results,
        chips=list(chips(query)),
        is_first=not cursor,
        **(over_time(finder, query, first, view) if not cursor else {"series": []}),
        sources=sources[:SOURCES],
        sample=SAMPLE if sum(n for _, n in sources) >= SAMPLE else None,
        narrowed={name: added(query, f"source:{name}") for name, _ in sources[:SOURCES]},
        feed=lambda kind: f"/feeds/{kind}{params({'q': query})}",
        later=params({"q": query, "order": order, "cursor": results.cursor}) if results.cursor else None,
    )


def _page(finder: Search, query: str, cursor: str | None, order: Literal["relevance", "newest"]) -> Results:
    try:
        return finder.search(query, limit=HITS, cursor=cursor, order=order)
    except CursorError:
        return finder.search(query, limit=HITS, order=order)


def chips(query: str) -> Iterator[Chip]:
    """The filters of a query in order."""
    for match in _FILTER.finditer(query):
        rest = f"{query[: match.start()]} {query[match.end() :]}"
        yield Chip(match[0], " ".join(rest.split()))


def added(query: str, filter: str) -> str:
    """The query with one filter more; one of the same field is replaced.

    >>> added("harbour source:a", "source:b")
    'harbour source:b'
    """
    field = filter.partition(":")[0]
    rest = _FILTER.sub(lambda match: "" if match[0].lower().startswith(f"{field}:") else match[0], query)
    return " ".join([*rest.split(), filter])


def over_time(finder: Search, query: str, first: date, view: View) -> dict[str, Any]:
    """The chart of the last DAYS days."""
    step: Step = "day"
    since = datetime(first.year, first.month, first.day, tzinfo=view.now.tzinfo)
    values, counted = [0] * DAYS, finder.over_time(query, step, since=since)
    for at, n in counted:
        place = (at.date() - first).days
        if 0 <= place < DAYS:
            values[place] += n
    if not any(values):
        return {"series": []}
    days = [since + timedelta(days=at) for at in range(DAYS)]
    return {
        "series": [charts.Series(view.words("search.documents"), tuple(values))],
        "labels": [view.words.day(day) for day in days],
        "ticks": ticks(days, view.words),
        "days": DAYS,
        "only": COUNTED if sum(n for _, n in counted) >= COUNTED else None,
    }


def ticks(days: Sequence[datetime], words: Words) -> list[str]:
    """The first day, the one in the middle, and the last."""
    return [words.day(days[0]), words.day(days[len(days) // 2]), words.day(days[-1])]

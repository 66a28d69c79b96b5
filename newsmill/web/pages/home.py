"""The home page: newest documents, a chart over time, and the hosts being fetched or, if nothing is followed, what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from newsmill.context import AppContext
from newsmill.search.timelines import Period, count_timeline
from newsmill.storage.newest_documents import list_newest
from newsmill.storage.operation_statistics import OperationStatistics
from newsmill.storage.processes import list_live_processes
from newsmill.storage.publication_counts import By, count_by_publication
from newsmill.storage.statistics import Statistics
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages import charts
from newsmill.web.pages.filtered_query import FilteredQuery
from newsmill.web.pages.holdings import count_holdings, count_years, is_followed
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source_health_view import MAX_PROBLEMS, list_problems
from newsmill.web.pages.timelines import count_chart
from newsmill.web.pages.translations import Translations

CHART_DAYS, TICK_DAYS = 28, 7
CHART_HOURS, TICK_HOURS = 48, 6
MAX_COUNT_SECONDS = 0.5  # for the chart of a large store; four weeks of 80,000 documents take a tenth of it
MAX_DOCUMENTS = 14
MAX_HOSTS = 8
REFRESH_SECONDS = 10  # between two requests of the script for the hosts being fetched

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars, a label for each bar, and a label for each group of bars of the same size."""

    series: list[charts.Series]
    labels: list[str]
    ticks: list[str]
    is_whole: bool = True  # False: the older days were not counted

    @property
    def total(self) -> int:
        return sum(one.total for one in self.series)


@router.get("/")
def show_home(request: Request, by: str = "published") -> Response:
    """The home page. `by`: whether the chart and the list go by the time of publication or by when a document was first seen."""
    context: AppContext = request.app.state.context
    view = PageView(request)
    order: By = "seen" if by == "seen" else "published"
    years = None if is_followed(context) else count_years(context, view)
    return view.page(
        "home.html",
        names=set(Statistics(context.engine).names()),
        years=years,
        holdings=years and count_holdings(context),
        timeline=count_chart([("", years)], view.words, lambda _, bar: FilteredQuery("").link_bar("newest", bar)) if years else None,
        chart=build_hour_chart(context, view) if order == "seen" else None if years else build_day_chart(context, view),
        refresh_seconds=REFRESH_SECONDS,
        **read_newest(context, view, order),
        **read_fetching(context, view),
    )


@router.get("/newest")
def show_newest(request: Request, by: str = "published") -> Response:
    """A part of the home page that a script refreshes during a crawl: the problems and the newest documents."""
    view = PageView(request, path="/")
    return view.page("newest.html", **read_newest(request.app.state.context, view, "seen" if by == "seen" else "published"))


@router.get("/fetching")
def show_fetching(request: Request) -> Response:
    """A part of the home page that a script refreshes: the figures and the hosts being fetched."""
    view = PageView(request)
    return view.page("fetching.html", **read_fetching(request.app.state.context, view))


def read_newest(context: AppContext, view: PageView, by: By) -> dict[str, Any]:
    """What needs attention, and the newest documents."""
    newest = list_newest(context.engine, MAX_DOCUMENTS, by)
    problems = list_problems(context, view.words, view.now)
    return {
        "by": by,
        "newest": newest,
        "marks": view.marks(head.id for head in newest.heads),
        "problems": problems[:MAX_PROBLEMS],
        "has_more_problems": len(problems) > MAX_PROBLEMS,
    }


def read_fetching(context: AppContext, view: PageView) -> dict[str, Any]:
    """The figures, and the hosts being fetched; for the case that there are none, whether a crawler runs and when it continues."""
    statistics = Statistics(context.engine)
    stored, is_exact = context.documents.estimate_count()
    return {
        "stored_count": stored,
        "stored": view.words.number(stored) if is_exact else view.words("home.about", n=view.words.number(stored)),
        "pending": context.ledger.progress.count().pending,
        "sources": len(statistics.names()),
        "last_day": sum(row.n for row in statistics.per_hour(view.now - timedelta(hours=24))),
        "fetching": OperationStatistics(context.engine).list_fetching_hosts(MAX_HOSTS),
        "is_crawling": any(process.role == "crawler" for process in list_live_processes(context.engine, now=view.now)),
        "next_tick": Statistics(context.engine).next_tick(),
    }


def build_day_chart(context: AppContext, view: PageView) -> Chart:
    """Documents per day of publication, by source; in a large store without the sources."""
    today = view.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in range(CHART_DAYS - 1, -1, -1)]
    rows, is_whole = _count_days(context, days[0], view.words)
    columns = {day.date(): column for column, day in enumerate(days)}
    series = build_series(view.words, [(columns[at.date()], name, n) for at, name, n in rows if at.date() in columns], CHART_DAYS)
    ticks = [view.words.date(day) for day in days[::TICK_DAYS]]
    return Chart(series, [view.words.day(day) for day in days], ticks, is_whole)


def _count_days(context: AppContext, since: datetime, words: Translations) -> tuple[list[tuple[datetime, str | None, int]], bool]:
    rows = count_by_publication(context.engine, since)
    if rows is not None:
        return [(row.at, row.source, row.n) for row in rows], True
    counted = count_timeline(context.engine, "", Period(since, since + timedelta(days=CHART_DAYS), "day"), seconds=MAX_COUNT_SECONDS)
    return [(bar.start, words("search.documents"), bar.n or 0) for bar in counted.bars], counted.is_complete


def build_hour_chart(context: AppContext, view: PageView) -> Chart:
    """Documents per hour in which they were first seen, by source."""
    hours = list_hours(view)
    columns = {hour: column for column, hour in enumerate(hours)}
    counts = Statistics(context.engine).per_hour(hours[0])
    series = build_series(view.words, [(columns[row.hour], row.source, row.n) for row in counts if row.hour in columns], CHART_HOURS)
    ticks = [view.words.clock(hour) if to_hour(hour, view) else view.words.date(hour, is_local=True) for hour in hours[::TICK_HOURS]]
    return Chart(series, [view.words.moment(hour) for hour in hours], ticks)


def to_hour(at: datetime, view: PageView) -> int:
    """The hour of the day in the reader's time zone."""
    return at.astimezone(view.words.zone).hour


def list_hours(view: PageView) -> list[datetime]:
    """The starts (UTC) of CHART_HOURS hours, oldest first, the current hour included.

    They begin at a multiple of TICK_HOURS in the reader's time zone.
    """
    current = view.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = current + timedelta(hours=TICK_HOURS - to_hour(current, view) % TICK_HOURS)
    return [end - timedelta(hours=back) for back in range(CHART_HOURS, 0, -1)]


def build_series(words: Translations, rows: Sequence[tuple[int, str | None, int]], columns: int) -> list[charts.Series]:
    """Series of the largest sources from rows (column, source, number)."""
    return charts.stack_series(rows, columns, words("chart.others"), words("chart.no_source"))

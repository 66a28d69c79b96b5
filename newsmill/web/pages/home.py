"""The home page: newest documents, documents per hour and source, and the hosts being fetched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from newsmill.context import AppContext
from newsmill.model import State
from newsmill.storage.processes import list_live_processes
from newsmill.storage.statistics import OperationStatistics, SourceHourCount, Statistics
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages import charts
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source_health_view import MAX_PROBLEMS, list_problems
from newsmill.web.pages.translations import Translations

CHART_HOURS = 48
CHART_TICKS = 5  # times below the chart
MAX_DOCUMENTS = 20
MAX_HOSTS = 8

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@router.get("/")
def show_home(request: Request) -> Response:
    """The home page."""
    context: AppContext = request.app.state.context
    view = PageView(request)
    statistics, operation = Statistics(context.engine), OperationStatistics(context.engine)
    names, queues = statistics.names(), operation.count_by_state()
    hours = list_hours(view.now)
    counts = statistics.per_hour(hours[0])
    stored, is_exact = context.documents.estimate_count()
    documents = statistics.newest(MAX_DOCUMENTS)
    problems = list_problems(context, view.words, view.now)
    return view.page(
        "home.html",
        stored=view.words.number(stored) if is_exact else view.words("home.about", n=view.words.number(stored)),
        pending=sum(n for state, n in queues.items() if state is not State.QUARANTINED),
        sources=len(names),
        names=set(names),
        last_day=sum(row.n for row in counts if row.hour > view.now - timedelta(hours=24)),
        documents=documents,
        marks=view.marks(document.id for document in documents),
        in_chart=sum(row.n for row in counts),
        **build_chart(counts, hours, view.words),
        fetching=operation.list_fetching_hosts(MAX_HOSTS),
        problems=problems[:MAX_PROBLEMS],
        has_more_problems=len(problems) > MAX_PROBLEMS,
        is_crawling=any(process.role == "crawler" for process in list_live_processes(context.engine, now=view.now)),
        next_tick=statistics.next_tick(),
    )


def list_hours(now: datetime) -> list[datetime]:
    """The starts (UTC) of the last CHART_HOURS hours, oldest first, the current hour included."""
    current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - timedelta(hours=back) for back in range(CHART_HOURS - 1, -1, -1)]


def build_chart(counts: Sequence[SourceHourCount], hours: Sequence[datetime], words: Translations) -> dict[str, Any]:
    """The values of the chart in the template: series, labels of the bars, and times below them."""
    columns = {hour: column for column, hour in enumerate(hours)}
    rows = [(columns[row.hour], row.source, row.n) for row in counts if row.hour in columns]
    ticks = [hours[round(number * (len(hours) - 1) / (CHART_TICKS - 1))] for number in range(CHART_TICKS)]
    return {
        "series": charts.stack_series(rows, len(hours), words("chart.others"), words("chart.no_source")),
        "labels": [words.moment(hour) for hour in hours],
        "ticks": [words.clock(tick) if 0 < number < CHART_TICKS - 1 else words.short(tick) for number, tick in enumerate(ticks)],
    }

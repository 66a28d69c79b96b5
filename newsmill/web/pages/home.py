"""Home: what is new, what is being fetched now, documents per hour and source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from newsmill.context import AppContext
from newsmill.model import State
from newsmill.storage.processes import list_live_processes
from newsmill.storage.statistics import HourCount, OperationStatistics, Statistics
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages import charts
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.translations import Translations

CHART_HOURS = 48  # of the chart
MAX_DOCUMENTS = 20  # documents in the list
CHART_TICKS = 5  # times written under the chart

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@router.get("/")
def show_home(request: Request) -> Response:
    """The first page."""
    context: AppContext = request.app.state.context
    view = PageView(request)
    overview, operation = Statistics(context.engine), OperationStatistics(context.engine)
    names, queues = overview.names(), operation.count_by_state()
    hours = list_hours(view.now)
    counted = overview.per_hour(hours[0])
    stored, exact = context.documents.estimate_count()
    crawling = any(process.role == "crawler" for process in list_live_processes(context.engine, now=view.now))
    return view.page(
        "home.html",
        stored=view.words.number(stored) if exact else view.words("home.about", n=view.words.number(stored)),
        owed=sum(n for state, n in queues.items() if state is not State.QUARANTINED),
        sources=len(names),
        names=set(names),
        last_day=sum(row.n for row in counted if row.hour > view.now - timedelta(hours=24)),
        documents=overview.newest(MAX_DOCUMENTS),
        in_chart=sum(row.n for row in counted),
        **build_chart(counted, hours, view.words),
        fetching=operation.list_fetching_hosts(8),
        crawlers=crawling,
        next_tick=overview.next_tick(),
    )


def list_hours(now: datetime) -> list[datetime]:
    """The last HOURS hours, oldest first, each by its first moment (UTC); the current one is among them."""
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [this - timedelta(hours=back) for back in range(CHART_HOURS - 1, -1, -1)]


def build_chart(counted: Sequence[HourCount], hours: Sequence[datetime], words: Translations) -> dict[str, Any]:
    """What the chart's template needs: series, the bars' labels, and the times under them."""
    places = {hour: at for at, hour in enumerate(hours)}
    rows = [(places[row.hour], row.source, row.n) for row in counted if row.hour in places]
    ticks = [hours[round(at * (len(hours) - 1) / (CHART_TICKS - 1))] for at in range(CHART_TICKS)]
    return {
        "series": charts.stack_series(rows, len(hours), words("chart.others"), words("chart.by_hand")),
        "labels": [words.moment(hour) for hour in hours],
        "ticks": [words.clock(tick) if 0 < at < CHART_TICKS - 1 else words.short(tick) for at, tick in enumerate(ticks)],
    }

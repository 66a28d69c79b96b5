"""The page that compares queries over time and its downloads as CSV and SVG. Copies are left out, as in a search."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from newsmill.context import AppContext
from newsmill.exports.cells import format_cell
from newsmill.search.query_notes import QueryNote
from newsmill.search.query_parser import MAX_QUERY_CHARACTERS
from newsmill.search.search import Search
from newsmill.search.timelines import (
    Period,
    PeriodChoice,
    Timeline,
    TimelineBar,
    TimelineStep,
    choose_period,
    count_timeline,
    join_periods,
)
from newsmill.storage.tokens import Scope
from newsmill.version import __version__
from newsmill.web.auth import get_user, require_scope
from newsmill.web.pages.charts import COLOURS
from newsmill.web.pages.filtered_query import FilteredQuery
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.timeline_file import draw_file
from newsmill.web.pages.timelines import BarChart, count_chart, format_share, share_chart
from newsmill.web.pages.translations import Translations

MAX_QUERIES = COLOURS
COUNT_SECONDS = 1.5  # for all queries of a page, twice, and for all documents, in equal parts; CPU seconds on SQLite
CSV_COLUMNS = ("query", "start", "end", "documents", "all_documents", "share")

Measure = Literal["count", "share"]

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Timelines of queries over one period, and that of all documents."""

    period: Period
    queries: tuple[str, ...]
    timelines: tuple[Timeline, ...]
    whole: Timeline
    measure: Measure
    asked: PeriodChoice  # what the form shows as chosen
    changes: tuple[str, ...]  # what differs from the request: the end of a key of `explore.changed`

    @property
    def is_complete(self) -> bool:
        return all(one.is_complete for one in (self.whole, *self.timelines))


@dataclass(frozen=True, slots=True)
class ComparedQuery:
    """One row of the totals, as text."""

    name: str
    link: str
    total: str
    share: str


@dataclass(frozen=True, slots=True)
class FoundNote:
    """What is wrong with one of the queries."""

    query: str
    kind: str
    value: str
    options: tuple[str, ...]


def read_comparison(
    request: Request,
    q: Annotated[list[str], Query()] = [],  # noqa: B006  # FastAPI copies it
    after: str = "",
    before: str = "",
    step: TimelineStep | Literal[""] | None = None,
    measure: Measure = "count",
) -> Comparison:
    """A dependency: what a request compares. A value that is not a day sets no bound."""
    context: AppContext = request.app.state.context
    texts = (text[:MAX_QUERY_CHARACTERS].replace("\0", " ").strip() for text in q)
    queries = tuple(dict.fromkeys(filter(None, texts)))[:MAX_QUERIES] or ("",)
    since, until, step = _parse_day(after), _parse_day(before), step or None
    chosen = choose_period(queries[0], context.now(), since=since, until=until, step=step)
    seconds = COUNT_SECONDS / (2 * len(queries) + 1)
    user = get_user(request)

    def count(query: str, period: Period | PeriodChoice) -> Timeline:
        return count_timeline(context.engine, query, period, user=user, seconds=seconds, without_copies=True)

    fitted = [count(query, chosen) for query in queries]
    period = join_periods([one.period for one in fitted if one.total] or [fitted[0].period], step)
    timelines = tuple(one if one.period == period else count(query, period) for query, one in zip(queries, fitted, strict=True))
    whole = timelines[0] if queries == ("",) else count("", period)
    asked = replace(chosen, since=since and chosen.since, until=until and chosen.until)
    return Comparison(period, queries, timelines, whole, measure, asked, tuple(list_changes(period, since, until, step)))


def list_changes(period: Period, since: datetime | None, until: datetime | None, step: TimelineStep | None) -> Iterator[str]:
    """What a period does not have as it was requested."""
    if since and until and since >= until:
        yield "order"
    if step and step != period.step:
        yield "step"


Compared = Annotated[Comparison, Depends(read_comparison)]


@router.get("/explore")
def show_comparison(request: Request, compared: Compared) -> Response:
    """Queries over time, as numbers or shares of all documents."""
    context: AppContext = request.app.state.context
    view, period = PageView(request), compared.period
    queries = [query for query in compared.queries if query]
    fields = [*queries, "", ""][: max(2, min(MAX_QUERIES, len(queries) + 1))]
    same = {"q": queries, "after": period.since.date(), "before": period.until.date(), "step": period.step, "measure": compared.measure}
    return view.page(
        "explore.html",
        fields=fields,
        period=period,
        measure=compared.measure,
        asked=compared.asked,
        same=same,
        today=lambda days: (view.now.astimezone(UTC).date() - timedelta(days=days - 1)).isoformat(),
        changes=compared.changes,
        notes=list(list_notes(Search(context.engine), queries)),
        chart=build_chart(compared, view.words),
        is_complete=compared.is_complete,
        rows=list(list_totals(compared, view.words)),
        whole=view.words.number(compared.whole.total),
    )


@router.get("/explore.csv")
def export_csv(compared: Compared) -> Response:
    """The numbers of the comparison: a line for each query and bar. Cells are safe to open in a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for query, timeline in zip(compared.queries, compared.timelines, strict=True):
        for bar, all_ in zip(timeline.bars, compared.whole.bars, strict=True):
            share = bar.share_of(all_)
            cells = (query, bar.start, bar.end, bar.n, all_.n, None if share is None else f"{share:.6f}")
            writer.writerow([format_cell(cell) for cell in cells])
    return _download(out.getvalue(), "text/csv; charset=utf-8", "newsmill-timeline.csv")


@router.get("/explore.svg")
def export_svg(request: Request, compared: Compared) -> Response:
    """The chart as a file that needs no style sheet. A note says when it was counted, because the number of documents grows."""
    view, period = PageView(request), compared.period
    words = view.words
    days = words("timeline.days", first=words.day(period.since), last=words.day(period.last))
    counted = words("explore.counted", at=words.moment(view.now), zone=words.zone_name(view.now))
    return _download(
        draw_file(build_chart(compared, words), f"Newsmill {__version__}, {days} (UTC), {counted}"),
        "image/svg+xml",
        "newsmill-timeline.svg",
    )


def _download(text: str, media_type: str, name: str) -> Response:
    return Response(text, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _parse_day(text: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text.strip()), time(), UTC)
    except ValueError:
        return None


def build_chart(compared: Comparison, words: Translations) -> BarChart:
    """The chart in the measure of the comparison."""
    names = {query or words("explore.every"): FilteredQuery(query) for query in compared.queries}
    timelines = list(zip(names, compared.timelines, strict=True))

    def link(name: str, bar: TimelineBar) -> str:
        return names[name].link_bar("newest", bar)

    if compared.measure == "count":
        return count_chart(timelines, words, link)
    return share_chart(timelines, compared.whole, words, link)


def list_totals(compared: Comparison, words: Translations) -> Iterator[ComparedQuery]:
    """The totals of the period. Shares are of the bars that were counted for both."""
    period = compared.period
    for query, timeline in zip(compared.queries, compared.timelines, strict=True):
        pairs = [(bar.n, all_.n) for bar, all_ in zip(timeline.bars, compared.whole.bars, strict=True) if bar.n is not None]
        counted = [(n, of) for n, of in pairs if of is not None]
        whole = sum(of for _, of in counted)
        total = f"{'' if timeline.is_complete else '≥ '}{words.number(timeline.total)}"
        share = format_share(sum(n for n, _ in counted) / whole, words) if whole else ""
        narrowed = FilteredQuery(query).link_bar("newest", TimelineBar(period.since, period.until, timeline.total))
        yield ComparedQuery(query or words("explore.every"), narrowed, total, share)


def list_notes(index: Search, queries: list[str]) -> Iterator[FoundNote]:
    """What is wrong with the queries."""
    for query in queries:
        note: QueryNote
        for note in index.check(query):
            yield FoundNote(query, note.kind, note.value, note.options)

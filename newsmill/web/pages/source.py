"""The page of one source: statistics, settings, site profile and newest pages; pausing, resuming and changing it; its rules and its
schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from anyio import from_thread
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill import reextract
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.listing_schedule import ListingSchedule, read_schedule
from newsmill.model import Kind, Outcome, Rules, Source
from newsmill.reextract import ReextractionDiff
from newsmill.sources.additions import find_follower
from newsmill.sources.table import parse_source
from newsmill.spider_logs import read_log_end, spider_log
from newsmill.storage.completeness import CompletenessReader, choose_week
from newsmill.storage.statistics import STATISTICS_DAYS, OperationStatistics, SourceStatistics, Statistics
from newsmill.storage.tokens import Scope
from newsmill.urls import make_spider_url
from newsmill.web.auth import require_csrf, require_scope
from newsmill.web.pages import charts, source_form
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.site_profile_view import describe_profile
from newsmill.web.pages.source_health_view import list_past_alarms, read_health, write_time
from newsmill.web.pages.translations import Translations

MAX_DOCUMENTS = 8
MAX_ROWS = 10  # in a table before the reader asks for all
MAX_ALL = 100  # rows then; each has about 500 bytes of markup

SUMMARY_FIELDS = ("every", "cron", "language", "delay", "render")  # of the settings, beside their closed section

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]
# Patterns and selectors run as written, in every process, so even a preview needs the scope admin, as in the API.
ADMIN_ACCESS = [Depends(require_scope(Scope.ADMIN)), Depends(require_csrf)]
PREVIEW_PAGES = 20  # as in `newsmill sources preview`; each is extracted twice, which takes about 0.05 s
NOTICES = ("added", "extended", "changed", "paused", "resumed", "due", "rules")  # values of `done` after a redirect


@router.get("/{name}")
def show_source(request: Request, name: str, done: str = "", show: str = "") -> Response:
    """The page of a source. `show`: the table that is shown whole, `listings`, `schedule` or `recent`."""
    return render_source(request, name, notice=f"source.notice.{done}" if done in NOTICES else None, show=show)


@router.post("/{name}/state", dependencies=WRITE_ACCESS)
def change_state(request: Request, name: str, do: Literal["pause", "resume", "read"] = Form()) -> Response:
    """Pause or resume the source, or read its listings now."""
    context: AppContext = request.app.state.context
    get_source(context, name)
    if do == "read":
        context.ledger.read_listings(name, now=context.now())
        return RedirectResponse(f"/sources/{name}?done=due", 303)
    context.ledger.set_enabled(name, do == "resume", now=context.now())
    return RedirectResponse(f"/sources/{name}?done={'resumed' if do == 'resume' else 'paused'}", 303)


@router.post("/{name}", dependencies=WRITE_ACCESS)
async def change_plan(request: Request, name: str) -> Response:
    """Save the settings without the rules. A mistake is shown on the page, beside the submitted text."""
    form = await request.form()
    return await run_sync(save_plan, request, name, form)


def save_plan(request: Request, name: str, form: FormData) -> Response:
    """Save the settings, in a worker thread because the database blocks."""
    context: AppContext = request.app.state.context
    before = get_source(context, name)
    values = source_form.read_form(form)
    try:
        after = parse_source(name, source_form.plan_table(before, values), "form")
        source_form.check_urls(after, request.app.state.config.allow_nets)
    except ConfigError as error:
        return render_source(request, name, status=422, values=values, problem=PageView(request).describe_refusal(error))
    if (after.allow, after.deny) != (before.allow, before.deny):
        require_scope(Scope.ADMIN)(request)  # patterns run as written, in every process
    if other := find_follower(context.ledger.sources(), after, before):
        problem = PageView(request).words("sources.followed", name=other)
        return render_source(request, name, status=409, values=values, problem=problem)
    context.ledger.put_source(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=changed", 303)


def get_source(context: AppContext, name: str) -> Source:
    """The source of that name. Raises HTTPException 404."""
    source = context.ledger.source(name)
    if source is None:
        raise HTTPException(404, f"source {name[:100]!r} does not exist; /sources lists all")
    return source


def render_source(
    request: Request,
    name: str,
    *,
    status: int = 200,
    notice: str | None = None,
    problem: str | None = None,
    show: str = "",
    values: Mapping[str, str] | None = None,
    rules: Mapping[str, str] | None = None,
    changes: Sequence[ReextractionDiff] | None = None,
) -> Response:
    """The page; `values` and `rules` are submitted form fields, `changes` the result of a preview."""
    context: AppContext = request.app.state.context
    view = PageView(request, path=f"/sources/{name}")
    statistics, operation = Statistics(context.engine), OperationStatistics(context.engine)
    rows = statistics.list_sources(view.now.date(), name)
    if not rows:
        raise HTTPException(404, f"source {name[:100]!r} does not exist; /sources lists all")
    stats, totals, documents = rows[0], statistics.page_totals(name), statistics.newest(MAX_DOCUMENTS, name)
    max_listings, max_polls, max_traces = (MAX_ALL if show == table else MAX_ROWS for table in ("listings", "schedule", "recent"))
    listings = [trace for trace in context.ledger.listings(name, limit=max_listings + 1) if trace.kind is not Kind.SPIDER]
    polls = read_schedule(context, stats.source).by_time
    recent = operation.recent(name, max_traces + 1)
    plan = source_form.describe_plan(stats.source, view.words)
    return view.page(
        "source.html",
        status,
        source=stats.source,
        stats=stats,
        health=read_health(context, [stats.source], view.words, view.now)[name],
        past_alarms=list_past_alarms(context, name, view.words, view.now),
        stored=context.documents.count(name),
        found=totals.found,
        pending=totals.pending,
        rendered=context.ledger.count_rendered(name).get(name, 0),
        completeness=choose_week(CompletenessReader(context.engine).read([name], view.now)[name]),
        ranked=charts.rank_outcomes(stats.outcomes),
        counted=sum(stats.outcomes.values()),
        **build_chart(stats, view),
        documents=documents,
        marks=view.marks(document.id for document in documents),
        plan=plan,
        plan_summary=" · ".join(values[0] for key, values in plan if key in SUMMARY_FIELDS),
        values=source_form.plan_values(stats.source) if values is None else values,
        changing=values is not None,
        show=show,
        listings=listings[:max_listings],
        has_more_listings=len(listings) > max_listings,
        polls=list_schedule_rows(polls[:max_polls], view.words, view.now),
        poll_count=len(polls),
        spider=read_spider(context, stats.source),
        profile=describe_profile(context.profiles, stats),
        rules=source_form.rules_values(stats.source.rules) if rules is None else rules,
        rule_count=count_rules(stats.source.rules),
        changing_rules=rules is not None,
        recent=recent[:max_traces],
        has_more_recent=len(recent) > max_traces,
        notice=view.words(notice) if notice else None,
        problem=problem,
        **sum_changes(changes),
    )


def read_spider(context: AppContext, source: Source) -> dict[str, Any] | None:
    """The last run of the source's spider, and the end of its log if this machine has it; None for a source without a spider."""
    if source.spider is None:
        return None
    trace = context.ledger.trace(make_spider_url(source.name))
    return {"trace": trace, "log": read_log_end(spider_log(context.settings, source.name))}


def build_chart(stats: SourceStatistics, view: PageView) -> dict[str, Any]:
    """The chart of documents per day."""
    words: Translations = view.words
    dates = [view.now - timedelta(days=back) for back in range(STATISTICS_DAYS - 1, -1, -1)]  # two weeks
    return {
        "series": [charts.Series(words("search.documents"), stats.stored)],
        "labels": [words.day(day) for day in dates],
        "ticks": [words.date(date) for date in dates[::7]],
    }


def count_rules(rules: Rules) -> int:
    """The number of selectors and patterns."""
    return sum(len(getattr(rules, name)) for name in source_form.RULE_LINE_FIELDS) + len(rules.fields)


def sum_changes(changes: Sequence[ReextractionDiff] | None) -> dict[str, Any]:
    """The totals of a preview."""
    diffs = changes or ()
    return {
        "changes": changes,
        "changed": sum(diff.has_changes for diff in diffs),
        "removed": sum(diff.removed for diff in diffs),
        "added": sum(diff.added for diff in diffs),
        "lost": sum(diff.before == Outcome.STORED != diff.after for diff in diffs),
    }


# ---- the rule editor


@router.post("/{name}/rules", dependencies=ADMIN_ACCESS)
async def change_rules(request: Request, name: str) -> Response:
    """Preview or save the rules, depending on the button."""
    form = await request.form()
    return await run_sync(preview_or_save, request, name, form)


def preview_or_save(request: Request, name: str, form: FormData) -> Response:
    """Preview or save the rules, in a worker thread. A mistake is shown on the page, beside the submitted text."""
    context: AppContext = request.app.state.context
    before, values = get_source(context, name), source_form.read_form(form)
    try:
        after = parse_source(name, source_form.plan_table_with_rules(before, values), "form")
        if form.get("do") != "save":
            changes = from_thread.run(request.app.state.extraction_executor.run, preview_rules, context, before, after)
            return render_source(request, name, rules=values, changes=changes)
    except ConfigError as error:
        return render_source(request, name, status=422, rules=values, problem=PageView(request).describe_refusal(error))
    except HTTPException as error:  # the executor is busy; the submitted text must not be lost
        return render_source(request, name, status=error.status_code, rules=values, problem=PageView(request).translate(str(error.detail)))
    context.ledger.put_source(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=rules", 303)


def preview_rules(context: AppContext, before: Source, after: Source) -> list[reextract.ReextractionDiff]:
    """What the changed rules would do to the pages of the newest documents."""
    positions = context.documents.newest_pages(before.name, PREVIEW_PAGES)
    return list(reextract.compare_rules(context.archive, context.profiles, before.rules, after, positions))


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One listing: its interval and the reason for it in the reader's language."""

    listing: ListingSchedule
    interval: str
    why: str


def list_schedule_rows(listings: Sequence[ListingSchedule], words: Translations, now: datetime) -> list[ScheduleRow]:
    """The rows of the table."""
    return [ScheduleRow(one, _write_interval(one, words), _write_why(one, words, now)) for one in listings]


def _write_interval(listing: ListingSchedule, words: Translations) -> str:
    """The shortest interval is a minute, so it is written in whole minutes."""
    return "" if listing.interval_seconds is None else words.span(60 * round(listing.interval_seconds / 60))


def _write_why(listing: ListingSchedule, words: Translations, now: datetime) -> str:
    at = "" if listing.failing_since is None else write_time(words, listing.failing_since, now)
    span = "" if listing.span is None else words.span(listing.span.total_seconds())
    return words(f"schedule.why.{listing.why}", at=at, span=span)

"""The page of one source: statistics, settings, site profile and newest pages; pausing, resuming and changing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.intake.reextract import ReextractionDiff
from newsmill.logs.spider_log import read_log_end, spider_log
from newsmill.model import Kind, Outcome, Rules, Source
from newsmill.polling.listing_schedule import read_schedule
from newsmill.sources.additions import find_follower
from newsmill.sources.table import parse_source
from newsmill.storage.completeness import CompletenessReader, choose_week
from newsmill.storage.operation_statistics import OperationStatistics
from newsmill.storage.statistics import STATISTICS_DAYS, SourceStatistics, Statistics
from newsmill.storage.tokens import Scope
from newsmill.text import urls
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.pages import charts
from newsmill.web.pages.outcome_counts import rank_outcomes
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.schedule_rows import list_schedule_rows
from newsmill.web.pages.site_profile_view import describe_profile
from newsmill.web.pages.source_form import RULE_LINE_FIELDS, check_urls, describe_plan, plan_table, plan_values, read_form, rules_values
from newsmill.web.pages.source_health_view import list_past_alarms, read_health
from newsmill.web.pages.translations import Translations

MAX_DOCUMENTS = 8
MAX_ROWS = 10  # in a table before the reader asks for all
MAX_ALL = 100  # rows then; each has about 500 bytes of markup

SUMMARY_FIELDS = ("every", "cron", "freshness", "language", "delay", "render")  # of the settings, beside their closed section

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]
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
        context.ledger.sources.make_listings_due(name, now=context.now())
        return RedirectResponse(f"/sources/{name}?done=due", 303)
    context.ledger.sources.set_enabled(name, do == "resume", now=context.now())
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
    values = read_form(form)
    try:
        after = parse_source(name, plan_table(before, values), "form")
        check_urls(after, request.app.state.config.allow_nets)
    except ConfigError as error:
        return render_source(request, name, status=422, values=values, problem=PageView(request).describe_refusal(error))
    if (after.allow, after.deny) != (before.allow, before.deny):
        require_scope(Scope.ADMIN)(request)  # patterns run as written, in every process
    if other := find_follower(context.ledger.sources.list_all(), after, before):
        problem = PageView(request).words("sources.followed", name=other)
        return render_source(request, name, status=409, values=values, problem=problem)
    context.ledger.sources.put(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=changed", 303)


def get_source(context: AppContext, name: str) -> Source:
    """The source of that name. Raises HTTPException 404."""
    source = context.ledger.sources.get(name)
    if source is None:
        raise HTTPException(404, Sentence("source {name} does not exist; /sources lists all", name=repr(name[:100])))
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
        raise HTTPException(404, Sentence("source {name} does not exist; /sources lists all", name=repr(name[:100])))
    stats, progress, documents = rows[0], context.ledger.progress.count(name), statistics.newest(MAX_DOCUMENTS, name)
    max_listings, max_polls, max_traces = (MAX_ALL if show == table else MAX_ROWS for table in ("listings", "schedule", "recent"))
    listings = [trace for trace in context.ledger.traces.list_listings(name, limit=max_listings + 1) if trace.kind is not Kind.SPIDER]
    polls = read_schedule(context, stats.source).by_time
    recent = operation.recent(name, max_traces + 1)
    plan = describe_plan(stats.source, view.words)
    return view.page(
        "source.html",
        status,
        source=stats.source,
        stats=stats,
        health=read_health(context, [stats.source], view.words, view.now)[name],
        past_alarms=list_past_alarms(context, name, view.words, view.now),
        stored=context.documents.count(name),
        found=progress.pages,
        pending=progress.pending,
        rendered=context.ledger.rendering.count_rendered(name).get(name, 0),
        completeness=choose_week(CompletenessReader(context.engine).read([name], view.now)[name]),
        ranked=rank_outcomes(stats.outcomes),
        counted=sum(stats.outcomes.values()),
        **build_chart(stats, view),
        documents=documents,
        is_crawling=context.is_running("crawler"),
        marks=view.marks(document.id for document in documents),
        plan=plan,
        plan_summary=" · ".join(values[0] for key, values in plan if key in SUMMARY_FIELDS),
        values=plan_values(stats.source) if values is None else values,
        changing=values is not None,
        show=show,
        listings=listings[:max_listings],
        has_more_listings=len(listings) > max_listings,
        polls=list_schedule_rows(polls[:max_polls], view.words, view.now),
        poll_count=len(polls),
        spider=read_spider(context, stats.source),
        profile=describe_profile(context.profiles, stats),
        rules=rules_values(stats.source.rules) if rules is None else rules,
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
    trace = context.ledger.traces.get(urls.make_spider_url(source.name))
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
    return sum(len(getattr(rules, name)) for name in RULE_LINE_FIELDS) + len(rules.fields)


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

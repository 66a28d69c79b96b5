"""One source: how it fares, its plan, what was learnt of its site; pause, resume, change."""

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
from newsmill.model import Outcome, Source
from newsmill.reextract import ReextractionDiff
from newsmill.sources import parse_source
from newsmill.storage.statistics import STATISTICS_DAYS, OperationStatistics, SourceStatistics, Statistics
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_csrf, require_scope
from newsmill.web.pages import charts, outcome_charts, source_form
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.site_profile_view import describe_profile
from newsmill.web.pages.translations import Translations

MAX_DOCUMENTS, MAX_TRACES, MAX_LISTINGS = 8, 20, 30  # shown

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]
NOTICES = ("added", "changed", "paused", "resumed", "due", "rules")  # what a redirect may ask to be said


@router.get("/{name}")
def show_source(request: Request, name: str, done: str = "") -> Response:
    """All about it."""
    return render_source(request, name, notice=f"source.done.{done}" if done in NOTICES else None)


@router.post("/{name}/state", dependencies=WRITE_ACCESS)
def change_state(request: Request, name: str, do: Literal["pause", "resume", "read"] = Form()) -> Response:
    """Pause it, follow it again, or read its listings now."""
    context: AppContext = request.app.state.context
    get_source(context, name)
    if do == "read":
        context.ledger.read_listings(name, now=context.now())
        return RedirectResponse(f"/sources/{name}?done=due", 303)
    context.ledger.set_enabled(name, do == "resume")
    return RedirectResponse(f"/sources/{name}?done={'resumed' if do == 'resume' else 'paused'}", 303)


@router.post("/{name}", dependencies=WRITE_ACCESS)
async def change_plan(request: Request, name: str) -> Response:
    """Change the plan; the rules stay. What is wrong is said on the page, beside what was written."""
    form = await request.form()
    return await run_sync(save_plan, request, name, form)


def save_plan(request: Request, name: str, form: FormData) -> Response:
    """The same, in a thread: it asks the database."""
    context: AppContext = request.app.state.context
    before = get_source(context, name)
    values = source_form.read_form(form)
    try:
        after = parse_source(name, source_form.plan_table(before, values), "form")
        source_form.check_urls(after, request.app.state.config.allow_nets)
    except ConfigError as error:
        return render_source(request, name, status=422, values=values, problem=PageView(request).words("forms.wrong", why=error))
    if (after.allow, after.deny) != (before.allow, before.deny):
        require_scope(Scope.ADMIN)(request)  # patterns run as written, in every process
    context.ledger.put_source(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=changed", 303)


def get_source(context: AppContext, name: str) -> Source:
    """The source of that name. Raises HTTPException 404."""
    source = context.ledger.source(name)
    if source is None:
        raise HTTPException(404, f"there is no source called {name[:100]}")
    return source


def render_source(
    request: Request,
    name: str,
    *,
    status: int = 200,
    notice: str | None = None,
    problem: str | None = None,
    values: Mapping[str, str] | None = None,
    rules: Mapping[str, str] | None = None,
    changes: Sequence[ReextractionDiff] | None = None,
) -> Response:
    """The page; `values` and `rules` are what a form was sent with, `changes` what trying the rules gave."""
    context: AppContext = request.app.state.context
    view, overview, operation = PageView(request), Statistics(context.engine), OperationStatistics(context.engine)
    found = overview.list_sources(view.now.date(), name)
    if not found:
        raise HTTPException(404, f"there is no source called {name[:100]}")
    fare = found[0]
    return view.page(
        "source.html",
        status,
        source=fare.source,
        fare=fare,
        stored=context.documents.count(name),
        sums=overview.page_totals(name),
        ranked=outcome_charts.rank_outcomes(fare.outcomes),
        counted=sum(fare.outcomes.values()),
        **build_chart(fare, view),
        documents=overview.newest(MAX_DOCUMENTS, name),
        plan=source_form.describe_plan(fare.source, view.words),
        values=source_form.plan_values(fare.source) if values is None else values,
        changing=values is not None,
        listings=context.ledger.listings(name, limit=MAX_LISTINGS),
        profile=describe_profile(context.profiles, fare),
        rules=source_form.rules_values(fare.source.rules) if rules is None else rules,
        recent=operation.recent(name, MAX_TRACES),
        notice=view.words(notice) if notice else None,
        problem=problem,
        **sum_changes(changes),
    )


def build_chart(fare: SourceStatistics, view: PageView) -> dict[str, Any]:
    """The chart of documents per day."""
    words: Translations = view.words
    dates = [view.now - timedelta(days=back) for back in range(STATISTICS_DAYS - 1, -1, -1)]
    return {
        "series": [charts.Series(words("search.documents"), fare.stored)],
        "labels": [words.day(day) for day in dates],
        "ticks": [words.day(dates[0]), words.day(dates[-1])],
    }


def sum_changes(changes: Sequence[ReextractionDiff] | None) -> dict[str, Any]:
    """The sums over a preview."""
    some = changes or ()
    return {
        "changes": changes,
        "changed": sum(one.has_changes for one in some),
        "removed": sum(one.removed for one in some),
        "added": sum(one.added for one in some),
        "lost": sum(one.before == Outcome.STORED != one.after for one in some),
    }

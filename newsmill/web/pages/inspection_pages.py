"""The inspection of a site before it is added."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.network import submitted_urls
from newsmill.network.address_guard import Guard
from newsmill.site_inspection.findings import Obstacle, SiteInspection
from newsmill.site_inspection.plan import find_advice, get_article_host
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.additions import Action, Addition, SourceIndex, plan_addition
from newsmill.sources.files import render_table
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence, keyed
from newsmill.text.urls import normalize
from newsmill.web.auth import require_scope
from newsmill.web.inspections import Inspections, SubmittedInspection
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source_health_view import describe_failure
from newsmill.web.pages.sources import WRITE_ACCESS, Text, render_sources
from newsmill.web.pages.template_filters import shorten

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])

REFRESH_SECONDS = 2


@router.post("/inspections", dependencies=WRITE_ACCESS)
def start_inspection(request: Request, homepage: Text, name: Text = "", every: Text = "", language: Text = "") -> Response:
    """Start the inspection of a URL. A mistake is shown on the page of all sources, beside the submitted text."""
    view, url = PageView(request), homepage.strip()
    values = {"homepage": url, "name": name.strip(), "every": every.strip(), "language": language.strip()}
    try:
        normal = normalize(add_scheme(url))
    except UrlError:
        return render_sources(request, status=422, values=values, problem=view.words("sources.not_a_url", given=shorten(url, 80)))
    if reason := submitted_urls.refusal_reason(normal, Guard.from_networks(request.app.state.config.allow_nets)):
        return render_sources(request, status=422, values=values, problem=view.describe_refusal(ConfigError(keyed("homepage", reason))))
    inspections: Inspections = request.app.state.inspections
    return RedirectResponse(f"/sources/inspections/{inspections.start(url, view.user, values)}", 303)


@router.get("/inspections/{key}", dependencies=[Depends(require_scope(Scope.WRITE))])
def show_inspection(request: Request, key: str) -> Response:
    """The result, or a page that reloads itself until there is one."""
    return render_inspection(request, find_inspection(request, key))


@router.post("/inspections/{key}", dependencies=WRITE_ACCESS)
def add_inspected(request: Request, key: str) -> Response:
    """Add what the page shows."""
    context: AppContext = request.app.state.context
    submitted = find_inspection(request, key)
    if not submitted.future.done() or submitted.future.exception() is not None:
        raise HTTPException(409, Sentence("the site is still being inspected: wait for the result"))
    try:
        addition = decide_addition(context, submitted, submitted.future.result())
    except ConfigError as error:
        return render_inspection(request, submitted, status=422, problem=PageView(request).describe_refusal(error))
    if addition is None or addition.source is None or addition.action not in (Action.NEW, Action.EXTENDED):
        return render_inspection(request, submitted, status=409)
    context.ledger.sources.put(addition.source, now=context.now())
    return RedirectResponse(f"/sources/{addition.name}?done={'added' if addition.action is Action.NEW else 'extended'}", 303)


def find_inspection(request: Request, key: str) -> SubmittedInspection:
    """The inspection of this caller. Raises HTTPException 404."""
    found: SubmittedInspection | None = request.app.state.inspections.get(key, PageView(request).user)
    if found is None:
        raise HTTPException(404, Sentence("the inspection has expired: inspect the site again"))
    return found


def decide_addition(context: AppContext, submitted: SubmittedInspection, inspection: SiteInspection) -> Addition | None:
    """What adding the inspected site means now; None if it cannot be followed. Raises ConfigError for invalid fields of the form."""
    if not inspection.can_follow:
        return None
    given = {key: submitted.values[key] for key in ("every", "language") if submitted.values.get(key)}
    known = SourceIndex(context.ledger.sources.list_all())
    return plan_addition(known, inspection.plan | given, get_article_host(inspection) or "", submitted.values.get("name") or None)


def render_inspection(request: Request, submitted: SubmittedInspection, *, status: int = 200, problem: str | None = None) -> Response:
    """The page of an inspection."""
    view = PageView(request)
    values: dict[str, Any] = {
        "found": None,
        "addition": None,
        "table": "",
        "obstacle": None,
        "problem": problem,
        "failures": {},
        "damages": {},
    }
    values |= {"given": submitted.values.get("homepage", ""), "refresh": None, "reason": None, "days": {}}
    if not submitted.future.done():
        return view.page("site_inspection.html", **values | {"refresh": REFRESH_SECONDS, "findings": [*submitted.findings]})
    try:
        inspection = submitted.future.result()
    except NewsmillError as error:
        return view.page("site_inspection.html", 422, **values | {"problem": view.translate(str(error))})
    try:
        addition = decide_addition(request.app.state.context, submitted, inspection)
    except ConfigError as error:
        addition, status, values["problem"] = None, 422, view.describe_refusal(error)
    if addition is not None:
        values["reason"] = view.translate(addition.reason) if addition.reason else None
        values["table"] = render_table(addition.name, addition.table) if addition.action is Action.NEW else ""
    failed = {one.url: OutcomeRecord(one.outcome, one.detail) for one in inspection.articles if one.outcome is not Outcome.STORED}
    failed |= {one.url: one.failure for one in (*inspection.feeds, *inspection.sitemaps) if one.failure is not None}
    values["failures"] = {failed_url: describe_failure(failure, view.words) for failed_url, failure in failed.items()}
    values["damages"] = {one.url: view.translate(one.damage) for one in (*inspection.feeds, *inspection.sitemaps) if one.damage}
    values["days"] = {one.url: one.published_day and view.words.day(read_day(one.published_day)) for one in inspection.articles}
    values |= {"found": inspection, "addition": addition, "obstacle": describe_obstacle(inspection, view)}
    return view.page("site_inspection.html", status, **values)


def read_day(day: str) -> datetime:
    """The beginning of an ISO date in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def describe_obstacle(inspection: SiteInspection, view: PageView) -> str | None:
    """Why the site cannot be followed, or not well, and what would help."""
    if inspection.obstacle is None:
        return None
    if inspection.obstacle is Obstacle.UNREACHABLE and inspection.failure is not None:
        key = find_advice(inspection.failure) or Obstacle.UNREACHABLE
        return view.words(f"inspection.obstacle.{key}", failure=describe_failure(inspection.failure, view.words))
    return view.words(f"inspection.obstacle.{inspection.obstacle}")

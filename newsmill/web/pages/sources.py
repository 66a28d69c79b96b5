"""The list of sources, and how one is added: a form, the inspection of the site with its result, and a button that adds the source."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill import address_guard
from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.site_inspection import (
    FoundListing,
    InspectionProcesses,
    Obstacle,
    SiteInspection,
    add_scheme,
    find_advice,
    get_article_host,
    inspect_site,
)
from newsmill.sources.additions import Action, Addition, SourceIndex, find_follower, plan_addition
from newsmill.sources.files import render_table
from newsmill.sources.table import make_name, parse_source
from newsmill.storage.statistics import Statistics
from newsmill.storage.tokens import Scope
from newsmill.text.urls import normalize
from newsmill.web.auth import require_csrf, require_scope
from newsmill.web.pages.rendering import PageView, shorten
from newsmill.web.pages.source import check_urls
from newsmill.web.pages.source_health_view import describe_failure, read_health

MAX_SOURCES = 30  # on one page; each has about 2 KB of markup

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]
Text = Annotated[str, Form(max_length=8000)]


@router.get("")
def show_sources(request: Request, after: str | None = None) -> Response:
    """The sources with their statistics."""
    return render_sources(request, after=after)


@router.post("", dependencies=WRITE_ACCESS)
def add_source(request: Request, homepage: Text, name: Text = "", every: Text = "", language: Text = "") -> Response:
    """Add a source. A mistake is shown on the page, beside the submitted text."""
    context: AppContext = request.app.state.context
    values = {"homepage": homepage, "name": name, "every": every, "language": language}
    try:
        source = build_source(**values)
        check_urls(source, request.app.state.config.allow_nets)
    except UrlError:
        return render_sources(
            request, status=422, values=values, problem=PageView(request).words("sources.not_a_url", given=shorten(homepage, 80))
        )
    except ConfigError as error:
        return render_sources(request, status=422, values=values, problem=PageView(request).describe_refusal(error))
    if context.ledger.sources.get(source.name) is not None:
        problem = PageView(request).words("sources.known", name=source.name)
        return render_sources(request, status=409, values=values, problem=problem)
    if other := find_follower(context.ledger.sources.list_all(), source):
        problem = PageView(request).words("sources.followed", name=other)
        return render_sources(request, status=409, values=values, problem=problem)
    context.ledger.sources.put(source, now=context.now())
    return RedirectResponse(f"/sources/{source.name}?done=added", 303)


def build_source(homepage: str, name: str, every: str, language: str) -> Source:
    """The source that the form describes; its default name is made of the host. Raises ConfigError, UrlError."""
    url = add_scheme(homepage.strip())
    table = {"homepage": url, "every": every.strip(), "language": language.strip()}
    return parse_source(name.strip() or make_name(url), {key: value for key, value in table.items() if value}, "form")


def render_sources(
    request: Request,
    *,
    status: int = 200,
    after: str | None = None,
    values: dict[str, str] | None = None,
    problem: str | None = None,
) -> Response:
    """The page; `values` and `problem` are a form with a mistake."""
    context: AppContext = request.app.state.context
    view = PageView(request, path="/sources")
    rows = Statistics(context.engine).list_sources(view.now.date(), after=after, limit=MAX_SOURCES + 1)
    page = rows[:MAX_SOURCES]
    return view.page(
        "sources.html",
        status,
        sources=page,
        health=read_health(context, [stats.source for stats in page], view.words, view.now),
        later=f"?after={page[-1].source.name}" if len(rows) > MAX_SOURCES else None,
        values=values or {},
        problem=problem,
        notice=None,
    )


# ---- the inspection of a site before it is added --------------------------------------------------------------------------------

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
    if reason := address_guard.refusal_reason(normal, Guard.from_networks(request.app.state.config.allow_nets)):
        return render_sources(request, status=422, values=values, problem=view.describe_refusal(ConfigError(f"form: homepage: {reason}")))
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
        raise HTTPException(409, "the site is still being inspected: wait for the result")
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
        raise HTTPException(404, "the inspection has expired: inspect the site again")
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
    values: dict[str, Any] = {"found": None, "addition": None, "table": "", "obstacle": None, "problem": problem, "failures": {}}
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
    failed = [one for one in inspection.articles if one.outcome is not Outcome.STORED]
    values["failures"] = {one.url: describe_failure(OutcomeRecord(one.outcome, one.detail), view.words) for one in failed}
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


# ---- the inspections that run, each in a process, and their results, which are kept for a while ----------------------------------
#
# A thread waits for each process, beside those that serve requests, so a slow site delays no other page.

MAX_RUNNING = 2  # processes of about 150 MB
MAX_WAITING = 6  # running ones included
MAX_KEPT = 30  # results
KEPT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class SubmittedInspection:
    """An inspection, running or done. `values` are the fields of the form; `user` may see the result. `findings` grow while it runs."""

    user: str
    values: Mapping[str, str]
    started_at: float  # time.monotonic()
    future: Future[SiteInspection]
    findings: Sequence[FoundListing] = ()


class Inspections:
    """Runs and keeps inspections for these pages and for the API. Used by several threads."""

    def __init__(self, inspect: Callable[..., SiteInspection] = inspect_site) -> None:
        self._inspect = inspect
        self._executor = ThreadPoolExecutor(MAX_RUNNING, thread_name_prefix="inspection")
        self._kept: dict[str, SubmittedInspection] = {}
        self._processes = InspectionProcesses()
        self._lock = threading.Lock()

    def start(self, url: str, user: str, values: Mapping[str, str]) -> str:
        """Start an inspection; returns its id. Raises HTTPException 503 while too many run or wait."""
        with self._lock:
            self._forget_old()
            if sum(not one.future.done() for one in self._kept.values()) >= MAX_WAITING:
                raise HTTPException(503, "other sites are being inspected: try again in a minute", headers={"Retry-After": "60"})
            key = secrets.token_hex(12)
            findings: list[FoundListing] = []
            future = self._executor.submit(self._inspect, url, on_start=self._processes.keep, on_finding=findings.append)
            self._kept[key] = SubmittedInspection(user, values, time.monotonic(), future, findings)
        return key

    def get(self, key: str, user: str) -> SubmittedInspection | None:
        """The inspection that this user started; None for an unknown or forgotten one."""
        found = self._kept.get(key)
        return found if found is not None and found.user == user else None

    async def run(self, url: str, user: str) -> SiteInspection:
        """Inspect and wait for the result. Raises HTTPException 503 as `start`, NewsmillError if no process can do it."""
        found = self._kept[self.start(url, user, {})]
        return await asyncio.wrap_future(found.future)

    def close(self) -> None:
        """End the running processes, and the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._processes.end()
        self._executor.shutdown()

    def _forget_old(self) -> None:
        limit = time.monotonic() - KEPT_SECONDS
        done = [key for key, one in self._kept.items() if one.future.done()]
        for key in done:
            if self._kept[key].started_at < limit or len(self._kept) >= MAX_KEPT:
                del self._kept[key]

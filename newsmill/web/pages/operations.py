"""The operations page (problems, processes, storage, quarantine, results) and the details of one URL."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError, UrlError
from newsmill.model import Kind, Outcome, State
from newsmill.site_inspection.processes import add_scheme
from newsmill.storage.operation_statistics import FAILURES, OperationStatistics
from newsmill.storage.processes import list_live_processes
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.pages.holdings import is_followed
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source_health_view import MAX_PROBLEMS, list_problems

PERIOD_DAYS = 7  # of results
SHOWN_STATES = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING, State.QUARANTINED)
MAX_QUARANTINED = 25
MAX_PROCESSES = 40
BATCH_SIZE = 500  # quarantined pages that one transaction requeues
MAX_URL_CHARACTERS = 8000
Urls = Annotated[list[str], Form()]

router = APIRouter(prefix="/ops", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]


@router.get("")
def show_operations(request: Request, after: Annotated[int, Query(ge=0, lt=1 << 62)] = 0, done: str = "", n: int = 0) -> Response:
    """The operations page. `done` and `n` select the notice after a redirect."""
    context: AppContext = request.app.state.context
    view, operation = PageView(request), OperationStatistics(context.engine)
    results = operation.results(view.now.date() - timedelta(days=PERIOD_DAYS - 1))
    problems = list_problems(context, view.words, view.now)
    states = operation.count_by_state()
    processes = list_live_processes(context.engine, now=view.now)
    quarantined = context.ledger.traces.list_quarantined(limit=MAX_QUARANTINED + 1, after=after)
    return view.page(
        "operations.html",
        problems=problems[:MAX_PROBLEMS],
        has_more_problems=len(problems) > MAX_PROBLEMS,
        needs_crawler=is_followed(context) and not any(process.role == "crawler" for process in processes),
        stored=sum(group.n for group in results if group.outcome is Outcome.STORED),
        failed=sum(group.kinds.get(Kind.PAGE, 0) for group in results if group.outcome in FAILURES),
        pending=context.ledger.progress.count().pending,
        waiting={state.value: states[state] for state in SHOWN_STATES if states.get(state)},
        doubtful=context.documents.count_doubtful(),
        depth=read_queue_depth(context),
        processes=processes[:MAX_PROCESSES],
        more_processes=max(0, len(processes) - MAX_PROCESSES),
        space=operation.space(),
        disk=context.archive.disk_usage(),
        quarantined=quarantined[:MAX_QUARANTINED],
        later=f"?after={quarantined[MAX_QUARANTINED - 1].id}#quarantine" if len(quarantined) > MAX_QUARANTINED else None,
        results=results,
        notice=view.words.n(f"operations.notice.{done}", max(0, n)) if done in ("retry", "drop") else None,
        problem=None,
    )


def read_queue_depth(context: AppContext) -> int | None:
    """Segments in the queue; None when the queue does not run or answer."""
    try:
        return context.queue_depth()
    except ServiceError:
        return None


@router.post("/quarantine", dependencies=WRITE_ACCESS)
def change_quarantine(request: Request, do: Annotated[Literal["retry", "retry-all", "drop"], Form()], url: Urls = []) -> Response:  # noqa: B006
    """Requeue the selected pages or all, or drop the selected ones."""
    context: AppContext = request.app.state.context
    if do == "drop":
        require_scope(Scope.ADMIN)(request)  # dropping is final, so it needs the same scope as in the API
        return _redirect_with_notice("drop", context.ledger.retries.discard(url[:BATCH_SIZE], now=context.now()))
    if do == "retry":
        return _redirect_with_notice("retry", context.ledger.retries.retry_quarantined(url[:BATCH_SIZE], now=context.now()))
    return _redirect_with_notice("retry", retry_all(context))


def retry_all(context: AppContext) -> int:
    """Requeue every page that is in quarantine now; the number of pages. A page that returns meanwhile is left."""
    requeued = after = 0
    while batch := context.ledger.traces.list_quarantined(limit=BATCH_SIZE, after=after):
        requeued += context.ledger.retries.retry_quarantined([trace.url for trace in batch], now=context.now())
        after = batch[-1].id
    return requeued


@router.get("/url")
def show_url(request: Request, url: str = "") -> Response:
    """What Newsmill knows about one URL."""
    context: AppContext = request.app.state.context
    view, trace, problem, status = PageView(request), None, None, 200
    if url.strip():
        try:
            trace = context.ledger.traces.get(add_scheme(url.strip()))
            problem, status = (None, 200) if trace else (view.words("url.unknown"), 404)
        except UrlError as error:
            problem, status = view.words("url.invalid", why=view.translate(str(error))), 422
    return view.page("url.html", status, url=url[:MAX_URL_CHARACTERS], trace=trace, problem=problem)


@router.post("/retry", dependencies=WRITE_ACCESS)
def retry_url(request: Request, url: Annotated[str, Form(max_length=MAX_URL_CHARACTERS)]) -> Response:
    """Requeue one URL."""
    context: AppContext = request.app.state.context
    try:
        n = context.ledger.retries.retry(now=context.now(), urls=[url])
    except UrlError as error:
        raise HTTPException(422, f"url: {error}") from None
    return _redirect_with_notice("retry", n)


def _redirect_with_notice(done: str, n: int) -> Response:
    return RedirectResponse(f"/ops?done={done}&n={n}", 303)

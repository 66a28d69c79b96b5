"""The rule editor of a source."""

from __future__ import annotations

from anyio import from_thread
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.intake import reextract
from newsmill.model import Source
from newsmill.sources.table import parse_source
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source import get_source, render_source
from newsmill.web.pages.source_form import plan_table_with_rules, read_form

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
# Patterns and selectors run as written, in every process, so even a preview needs the scope admin, as in the API.
ADMIN_ACCESS = [Depends(require_scope(Scope.ADMIN)), Depends(require_csrf)]
PREVIEW_PAGES = 20  # as in `newsmill sources preview`; each is extracted twice, which takes about 0.05 s


@router.post("/{name}/rules", dependencies=ADMIN_ACCESS)
async def change_rules(request: Request, name: str) -> Response:
    """Preview or save the rules, depending on the button."""
    form = await request.form()
    return await run_sync(preview_or_save, request, name, form)


def preview_or_save(request: Request, name: str, form: FormData) -> Response:
    """Preview or save the rules, in a worker thread. A mistake is shown on the page, beside the submitted text."""
    context: AppContext = request.app.state.context
    before, values = get_source(context, name), read_form(form)
    try:
        after = parse_source(name, plan_table_with_rules(before, values), "form")
        if form.get("do") != "save":
            changes = from_thread.run(request.app.state.extraction_executor.run, preview_rules, context, before, after)
            return render_source(request, name, rules=values, changes=changes)
    except ConfigError as error:
        return render_source(request, name, status=422, rules=values, problem=PageView(request).describe_refusal(error))
    except HTTPException as error:  # the executor is busy; the submitted text must not be lost
        return render_source(request, name, status=error.status_code, rules=values, problem=PageView(request).translate(str(error.detail)))
    context.ledger.sources.put(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=rules", 303)


def preview_rules(context: AppContext, before: Source, after: Source) -> list[reextract.ReextractionDiff]:
    """What the changed rules would do to the pages of the newest documents."""
    positions = context.documents.newest_pages(before.name, PREVIEW_PAGES)
    return list(reextract.compare_rules(context.archive, context.profiles, before.rules, after, positions))

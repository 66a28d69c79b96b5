"""The rule editor: try rules over archived pages, then use them. Pages are read in the sandbox, a few, and never in the event loop.

Patterns and selectors run as written, in every process, so even trying them is for those who may do everything (as in the API).
"""

from __future__ import annotations

from anyio import from_thread
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill import reextract
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.sources import parse_source
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_csrf, require_scope
from newsmill.web.pages import source, source_form
from newsmill.web.pages.rendering import PageView

PREVIEW_PAGES = 20  # the newest documents' pages are tried, as in `newsmill sources preview`: each is read twice, 0.05 s as a rule

router = APIRouter(prefix="/sources", include_in_schema=False)


@router.post("/{name}/rules", dependencies=[Depends(require_scope(Scope.ADMIN)), Depends(require_csrf)])
async def change_rules(request: Request, name: str) -> Response:
    """Preview or save, as the button says."""
    form = await request.form()
    return await run_sync(preview_or_save, request, name, form)


def preview_or_save(request: Request, name: str, form: FormData) -> Response:
    """The same, in a thread. A preview stores nothing; what is wrong is said on the page, beside what was written."""
    context: AppContext = request.app.state.context
    used, values = source.get_source(context, name), source_form.read_form(form)
    try:
        wanted = parse_source(name, source_form.plan_table_with_rules(used, values), "form")
        if form.get("do") != "save":
            changes = from_thread.run(request.app.state.rereader.run, preview_rules, context, used, wanted)
            return source.render_source(request, name, rules=values, changes=changes)
    except ConfigError as error:
        return source.render_source(request, name, status=422, rules=values, problem=PageView(request).words("forms.wrong", why=error))
    except HTTPException as error:  # others are being served; what was written must not be lost
        return source.render_source(request, name, status=error.status_code, rules=values, problem=str(error.detail))
    context.ledger.put_source(wanted, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=rules", 303)


def preview_rules(context: AppContext, used: Source, wanted: Source) -> list[reextract.ReextractionDiff]:
    """What the wanted rules would do to the newest documents' pages."""
    places = context.documents.newest_pages(used.name, PREVIEW_PAGES)
    return list(reextract.compare_rules(context.archive, context.profiles, used.rules, wanted, places))

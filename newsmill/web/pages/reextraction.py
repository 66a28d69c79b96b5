"""The page of the last pass that extracted stored documents again."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from newsmill.context import AppContext
from newsmill.model import Judgement
from newsmill.model.reextraction import FAILED
from newsmill.storage.reextractions import Reextractions
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages.rendering import PageView

MAX_EXAMPLES = 24
MAX_WORSE = 100
COLUMNS = (*(judgement.value for judgement in Judgement), FAILED)

router = APIRouter(prefix="/ops/reextraction", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@router.get("")
def show_reextraction(request: Request) -> Response:
    """The counts by source, examples with their differences, and the documents whose new text is worse."""
    context: AppContext = request.app.state.context
    reextractions = Reextractions(context.engine)
    latest = reextractions.find_latest()
    examples = reextractions.list_documents(latest.id, limit=MAX_EXAMPLES, has_diff=True) if latest else []
    worse = reextractions.list_documents(latest.id, Judgement.WORSE, limit=MAX_WORSE) if latest else []
    shown = {one.document_id for one in examples}
    others = [one for one in worse if one.document_id not in shown]
    command = "newsmill reextract" if latest else "newsmill reextract --dry-run"
    return PageView(request).page("reextraction.html", latest=latest, columns=COLUMNS, examples=examples, worse=others, command=command)

"""Documents: one, a list to page through, and why a document's text is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field, TypeAdapter
from starlette.exceptions import HTTPException

from newsmill import reextract
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.model import ExtractionResult, NearDuplicate
from newsmill.storage.documents import ChangePosition, Changes
from newsmill.storage.fingerprints import MAX_NEAR_DUPLICATES, MIN_SIMILARITY
from newsmill.storage.tokens import Scope
from newsmill.web.api.document_fields import DocumentResponse, Include, to_response
from newsmill.web.api.responses import Context, Cursor, Id, ItemList, Limit, SourceName, Timestamp, Url, error_responses
from newsmill.web.auth import require_scope

router = APIRouter(tags=["documents"], dependencies=[Depends(require_scope(Scope.READ))])


class DocumentList(ItemList[DocumentResponse]):
    """One page of documents."""

    last: str | None = Field(description="The cursor of the last item: keep it, and with order=stored ask later for what came after.")


LIST_ADAPTER = TypeAdapter(DocumentList)
DOCUMENT_ADAPTER = TypeAdapter(DocumentResponse)
EXPLANATION_ADAPTER = TypeAdapter(ExtractionResult)


def json_response(body: bytes) -> Response:
    """Written by pydantic straight from the dataclasses: FastAPI would validate every field once more."""
    return Response(body, media_type="application/json")


@router.get("/documents", response_model=DocumentList)
def list_documents(
    context: Context,
    stored_since: Annotated[Timestamp | None, Query(description="Only what was stored or changed at that time or later.")] = None,
    source: SourceName = None,
    order: Annotated[Literal["stored", "newest"], Query(description="`stored`: as they came, to keep a copy up to date.")] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Documents by when they were stored or changed last. To keep a copy up to date: `order=stored`, and `last` as the next `cursor`."""
    changes, place = Changes(context.engine), ChangePosition.of(cursor) if cursor else None
    if order == "newest":
        found = changes.before(place, limit=limit + 1, source=source, since=stored_since)
    else:
        start = place or (ChangePosition(stored_since) if stored_since else None)
        found = changes.after(start, limit=limit + 1, source=source)
    items = tuple(to_response(document, include) for document in found[:limit])
    last = items[-1].cursor if items else cursor
    page = DocumentList(items=items, next=last if len(found) > limit else None, last=last)
    return json_response(LIST_ADAPTER.dump_json(page))


@router.get("/documents/by-url", response_model=DocumentResponse, responses=error_responses(404))
def get_document_by_url(context: Context, url: Url, include: Include = []) -> Response:  # noqa: B006
    """One document by any address that led to it, in any spelling."""
    found = context.documents.get(url)
    return document_response(context, found.id if found else url, include)


@router.get("/documents/{id}", response_model=DocumentResponse, responses=error_responses(404))
def get_document(context: Context, id: Id, include: Include = []) -> Response:  # noqa: B006
    """One document by id."""
    return document_response(context, id, include)


@router.get("/documents/{id}/near-duplicates", responses=error_responses(404))
def list_near_duplicates(
    context: Context,
    id: Id,
    least: Annotated[
        float, Query(ge=0, le=1, description="How similar they must be. Below 0.7 more and more are not found.")
    ] = MIN_SIMILARITY,
    limit: Annotated[int, Query(ge=1, le=MAX_NEAR_DUPLICATES, description="How many at most.")] = 20,
) -> ItemList[NearDuplicate]:
    """Documents with (nearly) the same text: copies of an agency's report, syndicated articles, one article at two addresses. The most
    similar first. `similarity` is the share of runs of five words that both texts have, of those that either has."""
    found = context.near_duplicates.of(id, least=least, limit=limit)
    if found is None:
        raise HTTPException(404, "there is no such document")
    return ItemList(items=found, next=None)


def document_response(context: AppContext, document_id: Id, include: Sequence[str]) -> Response:
    found = Changes(context.engine).get(document_id)
    if found is None:
        raise HTTPException(404, "there is no such document; /api/v1/ledger/trace says how an address ended")
    return json_response(DOCUMENT_ADAPTER.dump_json(to_response(found, include)))


@router.get("/explain", response_model=ExtractionResult, responses=error_responses(404, 409, 503), tags=["explain"])
async def get_explanation(request: Request, context: Context, url: Url) -> Response:
    """Why a page's text is what it is: its archived bytes are read again, with the rules and the profile in use. Every block is kept or
    removed by a layer with a reason; `document.provenance` says where each field came from. Nothing stored changes."""
    reading = await request.app.state.rereader.run(explain_page, context, url)
    return json_response(EXPLANATION_ADAPTER.dump_json(reading))


def explain_page(context: AppContext, url: str) -> ExtractionResult:
    """In the thread of the rereader. Raises HTTPException 404 and 409."""
    found = context.documents.get(url)
    trace = context.ledger.trace(found.requested_url if found else url)
    if trace is None:
        raise HTTPException(404, "this address was never seen")
    try:
        return reextract.explain(context.ledger, context.archive, context.profiles, trace)
    except ServiceError:
        raise
    except NewsmillError as error:
        raise HTTPException(409, str(error)) from None

"""Documents: their form in a response, lists, single documents, copies, revisions, explanations of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.exports.markdown import render_markdown
from newsmill.intake import reextract
from newsmill.model import CopyGroup, DocumentMarks, ExtractionResult, NearDuplicate, Revision, RevisionSummary
from newsmill.storage.changes import ChangePosition, Changes, RemovedDocument, StoredDocument
from newsmill.storage.document_copies import DocumentCopies
from newsmill.storage.fingerprints import MAX_NEAR_DUPLICATES, MIN_SIMILARITY
from newsmill.storage.marks import Marks
from newsmill.storage.revisions import Revisions
from newsmill.storage.tokens import Scope
from newsmill.text import urls
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, Cursor, Id, ItemList, Limit, SourceName, Timestamp, Url, User
from newsmill.web.problem_details import error_responses

Include = Annotated[
    list[Literal["markdown", "marks"]],
    Query(
        description="Optional fields, otherwise null. `markdown`: the text with headings, lists, quotes, tables and links. "
        "`marks`: your star, whether you have read it, your tags and note."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentResponse(StoredDocument):
    """A document with the optional fields."""

    markdown: str | None = None
    marks: DocumentMarks | None = None


_FIELDS = tuple(field.name for field in fields(StoredDocument))


def to_responses(
    context: AppContext, user: str, documents: Sequence[StoredDocument], include: Sequence[str]
) -> tuple[DocumentResponse, ...]:
    """The documents with the optional fields in `include`."""
    marks = Marks(context.engine, user).get(document.id for document in documents) if "marks" in include else {}
    return tuple(
        DocumentResponse(
            **{name: getattr(document, name) for name in _FIELDS},
            markdown=render_markdown(document) if "markdown" in include else None,
            marks=marks.get(document.id, DocumentMarks()) if "marks" in include else None,
        )
        for document in documents
    )


router = APIRouter(tags=["documents"], dependencies=[Depends(require_scope(Scope.READ))])


class RemovedDocumentResponse(BaseModel):
    """A document that was removed, with its source or by a takedown. It may be stored again later."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source: str | None
    removed_at: datetime


class DocumentList(ItemList[DocumentResponse]):
    """One page of documents."""

    removed: tuple[RemovedDocumentResponse, ...] = Field(
        description="With order=stored: the documents that were removed in this part of the order. Empty with order=newest."
    )
    last: str | None = Field(
        description="The cursor of the last item or removed document. With order=stored, send it later as `cursor` to get what follows."
    )


LIST_ADAPTER = TypeAdapter(DocumentList)
DOCUMENT_ADAPTER = TypeAdapter(DocumentResponse)
REVISION_ADAPTER = TypeAdapter(Revision)
EXPLANATION_ADAPTER = TypeAdapter(ExtractionResult)


def json_response(body: bytes) -> Response:
    """A response with JSON that pydantic wrote from the dataclasses; FastAPI would validate every field again."""
    return Response(body, media_type="application/json")


@router.get("/documents", response_model=DocumentList)
def list_documents(
    context: Context,
    user: User,
    stored_since: Annotated[Timestamp | None, Query(description="Only documents stored or changed at that time or later.")] = None,
    source: SourceName = None,
    order: Annotated[
        Literal["stored", "newest"], Query(description="`newest`: last stored first. `stored`: in the order of storage.")
    ] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """List documents by the time they were stored or changed. To keep a copy up to date, use `order=stored`, remove the documents in
    `removed`, and send `last` as the next `cursor`. A page has at most `limit` of both together."""
    changes, position = Changes(context.engine), None if cursor is None else ChangePosition.of(cursor)
    found: Sequence[StoredDocument | RemovedDocument]
    if order == "newest":
        found = changes.before(position, limit=limit + 1, source=source, since=stored_since)
    else:
        if position is not None:
            changes.check(position)
        start = position or (ChangePosition(stored_since) if stored_since else None)
        found = changes.after(start, limit=limit + 1, source=source)
    stored, removed = split_changes(found[:limit])
    last = found[:limit][-1].cursor if found else cursor
    page = DocumentList(
        items=to_responses(context, user, stored, include),
        removed=tuple(map(RemovedDocumentResponse.model_validate, removed)),
        next=last if len(found) > limit else None,
        last=last,
    )
    return json_response(LIST_ADAPTER.dump_json(page))


def split_changes(found: Sequence[StoredDocument | RemovedDocument]) -> tuple[list[StoredDocument], list[RemovedDocument]]:
    """The stored and the removed documents."""
    return [one for one in found if isinstance(one, StoredDocument)], [one for one in found if isinstance(one, RemovedDocument)]


@router.get("/documents/by-url", response_model=DocumentResponse, responses=error_responses(404))
def get_document_by_url(context: Context, user: User, url: Url, include: Include = []) -> Response:  # noqa: B006
    """Get a document by any of its URLs, in any spelling."""
    urls.normalize(url)  # raises UrlError, which is answered with 422
    found = context.documents.get(url)
    return document_response(context, user, found.id if found else url, include)


@router.get("/documents/{id}", response_model=DocumentResponse, responses=error_responses(404))
def get_document(context: Context, user: User, id: Id, include: Include = []) -> Response:  # noqa: B006
    """Get a document by its ID."""
    return document_response(context, user, id, include)


@router.get("/documents/{id}/near-duplicates", responses=error_responses(404))
def list_near_duplicates(
    context: Context,
    id: Id,
    least: Annotated[
        float, Query(ge=0, le=1, description="The lowest similarity. Below 0.7, many near duplicates are missed.")
    ] = MIN_SIMILARITY,
    limit: Annotated[int, Query(ge=1, le=MAX_NEAR_DUPLICATES, description="The maximum number of documents.")] = 20,
) -> ItemList[NearDuplicate]:
    """List documents with nearly the same text, most similar first. `similarity` is the number of five-word runs in both texts, divided by
    the number in either."""
    found = context.near_duplicates.of(id, least=least, limit=limit)
    if found is None:
        raise HTTPException(404, Sentence("document {id} does not exist", id=repr(id)))
    return ItemList(items=found, next=None)


@router.get("/documents/{id}/copies", responses=error_responses(404))
def show_copies(context: Context, id: Id) -> CopyGroup:
    """Show the group of copies that a document is in: the first document, the agency that the copies credit, and up to 100 documents.

    Each has the number of words that it adds to the first one and leaves out. A document without copies is alone.
    """
    found = DocumentCopies(context.engine).of(id)
    if found is None:
        raise HTTPException(404, Sentence("document {id} does not exist", id=repr(id)))
    return found


@router.get("/documents/{id}/revisions", responses=error_responses(404))
def list_revisions(context: Context, id: Id, limit: Limit = 50, cursor: Cursor = None) -> ItemList[RevisionSummary]:
    """List the contents that a document has had, the current one first. Each is compared with the kept revision before it: the changed
    fields, the words added and removed, and whether a new fetch or another extraction of the same archived page made it."""
    page = Revisions(context.engine).page(id, cursor=cursor, limit=limit)
    if page is None:
        raise HTTPException(404, Sentence("document {id} does not exist", id=repr(id)))
    items, following = page
    return ItemList(items=tuple(items), next=following)


@router.get("/documents/{id}/revisions/{revision}", response_model=Revision, responses=error_responses(404))
def get_revision(
    context: Context, id: Id, revision: Annotated[int, Path(ge=1, lt=1 << 31, description="The number of the revision.")]
) -> Response:
    """Get the content that a document had at one revision."""
    found = Revisions(context.engine).get(id, revision)
    if found is None:
        raise HTTPException(
            404, f"revision {revision} of document {id!r} is not kept; /api/v1/documents/{{id}}/revisions lists those that are"
        )
    return json_response(REVISION_ADAPTER.dump_json(found))


def document_response(context: AppContext, user: str, document_id: Id, include: Sequence[str]) -> Response:
    found = Changes(context.engine).get(document_id)
    if found is None:
        raise HTTPException(404, f"document {document_id[:500]!r} does not exist; /api/v1/ledger/trace shows the result of a URL")
    return json_response(DOCUMENT_ADAPTER.dump_json(to_responses(context, user, [found], include)[0]))


@router.get("/explain", response_model=ExtractionResult, responses=error_responses(404, 409, 503), tags=["explain"])
async def get_explanation(request: Request, context: Context, url: Url) -> Response:
    """Explain the text of a page: extract the archived page again with the current rules and profile. Each block has its layer and reason,
    and `document.provenance` names the origin of each field. Stored documents do not change."""
    result = await request.app.state.extraction_executor.run(explain_page, context, url)
    return json_response(EXPLANATION_ADAPTER.dump_json(result))


def explain_page(context: AppContext, url: str) -> ExtractionResult:
    """Extract the archived page of the URL. Raises HTTPException 404 and 409, ServiceError."""
    document = context.documents.get(url)
    trace = context.ledger.traces.get(document.requested_url if document else url)
    if trace is None:
        raise HTTPException(404, "Newsmill has not seen this URL; POST /api/v1/urls submits it")
    try:
        return reextract.explain(context.ledger, context.archive, context.profiles, trace)
    except ServiceError:
        raise
    except NewsmillError as error:
        raise HTTPException(409, str(error)) from None

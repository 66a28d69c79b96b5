"""The documents that match a query, as a file: streamed, so memory use does not depend on their number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from newsmill.context import AppContext
from newsmill.exports.records import AnnotatedDocument
from newsmill.exports.streams import STREAMED_FORMATS
from newsmill.model import Document
from newsmill.search.results import Order
from newsmill.search.search import Search
from newsmill.storage.changes import Changes
from newsmill.storage.marks import Marks
from newsmill.storage.tokens import Scope
from newsmill.web.api.documents import Include
from newsmill.web.api.search import Fold, SearchQuery
from newsmill.web.auth import require_scope
from newsmill.web.parameters import User
from newsmill.web.past_stores import SearchContext

router = APIRouter(tags=["search"], dependencies=[Depends(require_scope(Scope.READ))])

MAX_EXPORTED_DOCUMENTS = 10_000  # of one download: about 50 MB, 20 s of CPU; `newsmill export` has no limit
EXPORTED_AT_ONCE = 50  # documents in memory
MAX_NAME_CHARACTERS = 60  # of a query in the name of a file

FormatName = Literal["csv", "json", "jsonl", "markdown"]


@router.get(
    "/search/export",
    response_class=StreamingResponse,
    responses={200: {"content": {one.media_type: {"schema": {"type": "string"}} for one in STREAMED_FORMATS.values()}}},
)
def export_search(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    format: Annotated[FormatName, Query(description="As of `newsmill export`; `json` is one array.")] = "csv",
    order: Literal["relevance", "newest"] = "relevance",
    limit: Annotated[int, Query(ge=1, le=MAX_EXPORTED_DOCUMENTS, description="The maximum number of documents.")] = MAX_EXPORTED_DOCUMENTS,
    include: Include = [],  # noqa: B006
    fold: Fold = False,
) -> StreamingResponse:
    """Download matches as one file with all fields, at most 10,000. `newsmill export` writes more.

    A file that ends early is not complete: the connection then breaks instead of ending."""
    documents = find_documents(context, q, user=user, order=order, limit=limit, with_marks="marks" in include, fold=fold)
    return stream_documents(format, documents, include, name=q, now=context.now())


def stream_documents(
    format_name: FormatName, documents: Iterator[Document], include: Sequence[str] = (), *, name: str, now: datetime
) -> StreamingResponse:
    """The documents as a file to save. `name` is the query, or what else the documents are."""
    chosen = STREAMED_FORMATS[format_name]
    headers = {"Content-Disposition": f'attachment; filename="{make_file_name(name, now)}{chosen.suffix}"', "Cache-Control": "no-store"}
    return StreamingResponse(_join(chosen.encode(documents, include)), media_type=chosen.media_type, headers=headers)


def make_file_name(name: str, now: datetime) -> str:
    """The name of a download without its suffix: what it holds and when it was made (UTC), in ASCII letters that need no quoting.

    >>> make_file_name('energy OR "wind power" 风', datetime(2026, 11, 29, 6, 31))
    'newsmill-energy-or-wind-power-2026-11-29-0631'
    """
    words = re.findall(r"[a-z0-9]+", name[: 4 * MAX_NAME_CHARACTERS].lower())
    return "-".join(["newsmill", *filter(None, ["-".join(words)[:MAX_NAME_CHARACTERS].strip("-")]), f"{now:%Y-%m-%d-%H%M}"])


def find_documents(
    context: AppContext,
    query: str,
    *,
    user: str,
    order: Order = "relevance",
    limit: int = MAX_EXPORTED_DOCUMENTS,
    with_marks: bool = False,
    fold: bool = False,
) -> Iterator[Document]:
    """The first `limit` matches, in the order of the list of results."""
    index, cursor, left = Search(context.engine, user), None, limit
    while left > 0:
        ids, cursor = index.find_ids(query, limit=min(EXPORTED_AT_ONCE, left), cursor=cursor, order=order, fold=fold)
        yield from load_documents(context, ids, user=user, with_marks=with_marks)
        left -= len(ids)
        if cursor is None:
            return


def load_documents(context: AppContext, ids: Sequence[str], *, user: str, with_marks: bool = False) -> Iterator[Document]:
    """The existing documents with these ids, in this order."""
    by_id = {document.id: document for document in Changes(context.engine).get_many(ids)}
    marks = Marks(context.engine, user).get(ids) if with_marks else {}
    for document_id in dict.fromkeys(ids):
        if (document := by_id.get(document_id)) is not None:  # one may be deleted by now
            yield AnnotatedDocument.of(document, marks.get(document_id)) if with_marks else document


def _join(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, some of them joined: each costs a thread of the server and a packet."""
    waiting: list[bytes] = []
    for piece in pieces:
        waiting.append(piece)
        if len(waiting) >= EXPORTED_AT_ONCE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)

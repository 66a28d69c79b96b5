"""A download of the results of a search, streamed: memory use does not depend on their number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from starlette.responses import StreamingResponse

from newsmill.context import AppContext
from newsmill.exports.formats import STREAMED_FORMATS
from newsmill.exports.records import MarkedDocument
from newsmill.model import Document
from newsmill.search import Order, Search
from newsmill.storage.documents import Changes
from newsmill.storage.marks import Marks

MAX_DOCUMENTS = 10_000  # of one download: about 50 MB, 20 s of CPU; `newsmill export` has no limit
PAGE_DOCUMENTS = 50  # in memory at once
MAX_NAME_CHARACTERS = 60  # of a query in the name of a file

FormatName = Literal["csv", "json", "jsonl", "markdown"]


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
    context: AppContext, query: str, *, user: str, order: Order = "relevance", limit: int = MAX_DOCUMENTS, with_marks: bool = False
) -> Iterator[Document]:
    """The first `limit` matches, in the order of the list of results."""
    index, cursor, left = Search(context.engine, user), None, limit
    while left > 0:
        ids, cursor = index.find_ids(query, limit=min(PAGE_DOCUMENTS, left), cursor=cursor, order=order)
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
            yield MarkedDocument.of(document, marks.get(document_id)) if with_marks else document


def _join(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, some of them joined: each costs a thread of the server and a packet."""
    waiting: list[bytes] = []
    for piece in pieces:
        waiting.append(piece)
        if len(waiting) >= PAGE_DOCUMENTS:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)

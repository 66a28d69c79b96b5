"""Search: matches with snippets, as whole documents or as a file, and counts by facet, by source and over time. Any text is a query."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter

from newsmill.context import AppContext
from newsmill.exports.records import MarkedDocument
from newsmill.exports.streams import STREAMED_FORMATS
from newsmill.model import Document
from newsmill.search.counts import (
    MAX_DAY_BARS,
    MAX_FACET_VALUES,
    FacetName,
    TimelineStep,
    choose_period,
    count_facets,
    count_timeline,
    list_counts,
)
from newsmill.search.parsed_query import QueryNote
from newsmill.search.results import Hit, Order
from newsmill.search.search import Search
from newsmill.search.unusual_terms import find_unusual_terms
from newsmill.storage.changes import Changes
from newsmill.storage.marks import Marks
from newsmill.storage.tokens import Scope
from newsmill.web.api.documents import DocumentResponse, Include, json_response, to_responses
from newsmill.web.auth import require_scope
from newsmill.web.responses import Context, Cursor, ItemList, Limit, QueryText, Timestamp, User, complete_list

router = APIRouter(tags=["search"], dependencies=[Depends(require_scope(Scope.READ))])

MAX_EXPORTED_DOCUMENTS = 10_000  # of one download: about 50 MB, 20 s of CPU; `newsmill export` has no limit
EXPORTED_AT_ONCE = 50  # documents in memory
MAX_NAME_CHARACTERS = 60  # of a query in the name of a file

FormatName = Literal["csv", "json", "jsonl", "markdown"]

LIST_ADAPTER = TypeAdapter(ItemList[DocumentResponse])

SearchQuery = Annotated[
    QueryText,
    Query(description='Words, =exactly, "phrases", begin*, NOT this, this OR that, and source: lang: author: section: after: before:'),
]


class Note(BaseModel):
    """One thing that is wrong with a query."""

    kind: str
    message: str = Field(description="What is wrong, and what to write instead.")
    value: str
    options: tuple[str, ...] = Field(description="What to write instead, or what there is.")

    @classmethod
    def of(cls, note: QueryNote) -> Note:
        """The response for a note."""
        return cls(kind=note.kind, message=note.message, value=note.value, options=note.options)


class SearchResponse(BaseModel):
    """One page of matches."""

    items: tuple[Hit, ...]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")
    total: int | None = Field(description="Matching documents; null above 10,000 and when counting takes too long.")
    reached: datetime | None = Field(description="The time down to which a short page was searched; `next` continues with older documents.")
    notes: tuple[Note, ...] = Field(description="On the first page: what is wrong with the query.")
    suggestion: str | None = Field(description="Where nothing is found: the query in a spelling that the index has.")


class HourCount(BaseModel):
    """The number of matches in one hour or day."""

    at: datetime
    n: int


class SourceCount(BaseModel):
    """The number of matches of one source; "" is the name for documents without a source."""

    source: str
    n: int


Fold = Annotated[bool, Query(description="Of a group of copies, count and list the earliest match only.")]


@router.get("/search")
def search(
    context: Context,
    user: User,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "relevance",
    limit: Limit = 20,
    cursor: Cursor = None,
    explain: Annotated[bool, Query(description="Give each item the parts of its score; only in the order of relevance.")] = False,
    fold: Fold = True,
) -> SearchResponse:
    """Search documents. Each piece of a snippet states whether it matches the query. `copies`: the other matches of a group of copies,
    which are left out."""
    results = Search(context.engine, user).search(q, limit=limit, cursor=cursor, order=order, explain=explain, fold=fold)
    return SearchResponse(
        items=results.hits,
        next=results.cursor,
        total=results.total,
        reached=results.reached,
        notes=tuple(map(Note.of, results.notes)),
        suggestion=results.suggestion,
    )


@router.get("/search/over-time")
def count_over_time(
    context: Context,
    user: User,
    q: SearchQuery = "",
    step: Literal["hour", "day"] = "day",
    since: Timestamp | None = None,
    until: Timestamp | None = None,
    fold: Fold = True,
) -> ItemList[HourCount]:
    """Count the matches per hour or day (UTC), without hours or days that have none."""
    counts = Search(context.engine, user).count_over_time(q, step, since=since, until=until, fold=fold)
    return complete_list(HourCount(at=at, n=n) for at, n in counts)


@router.get("/search/by-source")
def count_by_source(
    context: Context, user: User, q: SearchQuery = "", since: Timestamp | None = None, until: Timestamp | None = None, fold: Fold = True
) -> ItemList[SourceCount]:
    """Count the matches per source, largest count first."""
    counts = Search(context.engine, user).count_by_source(q, since=since, until=until, fold=fold)
    return complete_list(SourceCount(source=source, n=n) for source, n in counts)


@router.get("/search/documents", response_model=ItemList[DocumentResponse])
def search_documents(
    context: Context,
    user: User,
    q: SearchQuery = "",
    order: Literal["relevance", "newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    include: Include = [],  # noqa: B006  # FastAPI copies it
    fold: Fold = False,
) -> Response:
    """Search documents and get them with all fields, copies too."""
    results = Search(context.engine, user).search(q, limit=limit, cursor=cursor, order=order, wait=True, fold=fold)
    by_id = {document.id: document for document in Changes(context.engine).get_many([hit.id for hit in results.hits])}
    found = [by_id[hit.id] for hit in results.hits if hit.id in by_id]  # one may be deleted by now
    items = to_responses(context, user, found, include)
    return json_response(LIST_ADAPTER.dump_json(ItemList[DocumentResponse](items=items, next=results.cursor)))


# ---- downloads: streamed, so memory use does not depend on the number of documents ----------------------------------------------


@router.get(
    "/search/export",
    response_class=StreamingResponse,
    responses={200: {"content": {one.media_type: {"schema": {"type": "string"}} for one in STREAMED_FORMATS.values()}}},
)
def export_search(
    context: Context,
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
            yield MarkedDocument.of(document, marks.get(document_id)) if with_marks else document


def _join(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, some of them joined: each costs a thread of the server and a packet."""
    waiting: list[bytes] = []
    for piece in pieces:
        waiting.append(piece)
        if len(waiting) >= EXPORTED_AT_ONCE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)


# ---- counts ------------------------------------------------------------------------------------------------------------------

MAX_FACET_MATCHES = 20_000  # the newest matches, of which a response counts the values: 0.1 s
COUNT_SECONDS = 2.0  # for each count of a response; CPU seconds on SQLite
STEP_DESCRIPTION = f"By default chosen by the length of the period; in a period of more than {MAX_DAY_BARS} days, `day` becomes `week`."


class FacetItem(BaseModel):
    """One value of a facet."""

    facet: FacetName
    value: str
    n: int
    filter: str | None = Field(description="Added to the query, it selects these documents; null where no filter can express the value.")


class FacetList(ItemList[FacetItem]):
    """The most frequent values of each facet."""

    counted: int = Field(description="The newest matches, whose values were counted.")
    is_complete: bool = Field(description='All matches were counted, so that every `n` is exact; otherwise it means "at least".')


class TimelineItem(BaseModel):
    """One bar of a timeline."""

    start: datetime
    end: datetime = Field(description="Exclusive.")
    n: int | None = Field(description="Matching documents; null where counting takes too long.")
    all_documents: int | None = Field(description="All documents of this time.")
    share: float | None = Field(description="`n` divided by `all_documents`.")


class TimelineList(ItemList[TimelineItem]):
    """The bars of a period, oldest first, with those that are zero."""

    step: TimelineStep = Field(description="Of the bars; `week` if `day` was requested for a period that is too long for it.")


class TermItem(BaseModel):
    """One unusual term."""

    term: str
    documents: int = Field(description="Documents of the week with the term, among those that were read.")
    sources: int
    share: float = Field(description="`documents` divided by the documents of the week that were read.")
    share_before: float
    score: float = Field(description="Dunning's log-likelihood ratio G².")


class TermList(ItemList[TermItem]):
    """Terms whose share rose, most unusual first."""

    language: str | None
    languages: tuple[str, ...] = Field(description="Languages of the week's documents, the most frequent first.")
    since: datetime = Field(description="The start of the seven days.")
    until: datetime
    documents: int = Field(description="Distinct texts of the week that were read.")
    documents_before: int = Field(description="Distinct texts of the four weeks before that were read.")
    is_sample: bool


@router.get("/search/facets")
def list_facets(
    context: Context, user: User, q: SearchQuery = "", limit: Annotated[int, Query(ge=1, le=100)] = MAX_FACET_VALUES, fold: Fold = True
) -> FacetList:
    """Count the matches by language, source, section, author, type and site, at most `limit` values of each."""
    found = count_facets(context.engine, q, user=user, limit=limit, matches=MAX_FACET_MATCHES, seconds=COUNT_SECONDS, without_copies=fold)
    items = tuple(FacetItem(facet=facet, value=one.value, n=one.n, filter=one.filter) for facet, one in list_counts(found))
    return FacetList(items=items, next=None, counted=found.counted, is_complete=found.is_complete)


@router.get("/search/timeline")
def show_timeline(
    context: Context,
    user: User,
    q: SearchQuery = "",
    step: Annotated[TimelineStep | None, Query(description=STEP_DESCRIPTION)] = None,
    since: Annotated[Timestamp | None, Query(description="By default that of the query, or 30 days before `until`.")] = None,
    until: Annotated[Timestamp | None, Query(description="By default that of the query, or the end of today.")] = None,
    fold: Fold = True,
) -> TimelineList:
    """Count the matches, and all documents, per day, week (from Monday) or month (UTC), for at most ten years."""
    period = choose_period(q, context.now(), since=since, until=until, step=step)
    timeline = count_timeline(context.engine, q, period, user=user, seconds=COUNT_SECONDS, without_copies=fold)
    whole = count_timeline(context.engine, "", period, seconds=COUNT_SECONDS, without_copies=fold)
    items = tuple(
        TimelineItem(start=bar.start, end=bar.end, n=bar.n, all_documents=all_.n, share=bar.share_of(all_))
        for bar, all_ in zip(timeline.bars, whole.bars, strict=True)
    )
    return TimelineList(items=items, next=None, step=period.step)


@router.get("/search/unusual-terms")
def list_unusual_terms(
    context: Context, lang: Annotated[str | None, Query(max_length=10, description="By default the most frequent language.")] = None
) -> TermList:
    """List the words whose share of the documents rose most in the last seven days, against the four weeks before."""
    found = find_unusual_terms(context.engine, context.now(), lang.lower() if lang else None)
    items = tuple(
        TermItem(
            term=one.term,
            documents=one.documents,
            sources=one.sources,
            share=one.share,
            share_before=one.share_before,
            score=one.score,
        )
        for one in found.terms
    )
    return TermList(
        items=items,
        next=None,
        language=found.language,
        languages=found.languages,
        since=found.since,
        until=found.until,
        documents=found.documents,
        documents_before=found.documents_before,
        is_sample=found.is_sample,
    )

"""The pages of a document: its text with the fields and their origins, or the explanation of the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, TypeVar

from anyio import from_thread
from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.intake import reextract
from newsmill.model import Block, Document, ExtractionResult
from newsmill.model.document_fields import DOCUMENT_FIELDS, FieldType
from newsmill.search.search import Search
from newsmill.storage.document_copies import DocumentCopies
from newsmill.storage.marks import Marks
from newsmill.storage.reextractions import Reextractions
from newsmill.storage.stories import Stories
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.pages.match_position import Place
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.template_filters import link, params

MAX_PART_BYTES = 45_000  # of text on one page; with its markup a page stays below 100 KB
MAX_EXPLANATION_CHARACTERS = 40_000  # of blocks on one page of the explanation, with their markup
BLOCK_MARKUP_CHARACTERS = 250  # of one block of the explanation
MAX_BLOCK_CHARACTERS = 400  # of a block in the explanation
MIN_RUN_BLOCKS = 3  # removed one after the other for one reason, which the explanation shows as one line
MAX_LEAD_CHARACTERS = 600
MAX_UPDATES = 60  # of a live blog
MAX_NEAR_DUPLICATES = 10
MAX_IMAGES = 20
MAX_TAGS = 50  # suggested
MAX_MAPPING_ITEMS = 12  # of a field that is a mapping
FIELDS = tuple(field for field in DOCUMENT_FIELDS if field.english is not None)
USEFUL_FIELDS = frozenset(
    ("authors", "published_at", "modified_at", "gone_at", "language", "source", "section", "tags", "is_free", "license", "warnings")
)
SAME_AS_URL = ("canonical_url", "requested_url")  # not shown when equal to the URL

T = TypeVar("T")

router = APIRouter(prefix="/documents", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One field of a document for its table. `origin`: the part of the page, or the layer, that gave the value."""

    name: str
    type: FieldType
    values: tuple[str, ...]
    origin: str | None = None
    at: datetime | None = None

    @property
    def is_useful(self) -> bool:
        """Whether a reader of the article uses it; the others are for programs, or stand above the text."""
        return self.name in USEFUL_FIELDS


@router.get("/{document_id}")
def show_text(request: Request, document_id: str, place: Annotated[Place, Depends()], part: int = 1) -> Response:
    """The text of a document, and its fields with their origins. The matches of the query in `place` are marked."""
    document = get_document(request, document_id)
    return render_text(request, document, document.blocks, part, "text", place)


@router.get("/{document_id}/updates")
def show_text_with_updates(request: Request, document_id: str, place: Annotated[Place, Depends()], part: int = 1) -> Response:
    """The text with the updates of a live blog, and the fields."""
    document = get_document(request, document_id)
    return render_text(request, document, document.with_updates().blocks, part, "updates", place)


def render_text(request: Request, document: Document, blocks: Sequence[Block], part: int, here: str, place: Place) -> Response:
    """One part of a document's text; the first part also has the fields. `here`: the current tab."""
    view, parts = PageView(request), split_text(join_lists(blocks))
    part = min(max(part, 1), max(1, len(parts)))
    context: AppContext = request.app.state.context
    index, query, kept = Search(context.engine, view.user), place.query, place.parameters
    group = DocumentCopies(context.engine).of(document.id) if part == 1 else None
    near = context.near_duplicates.of(document.id, limit=MAX_NEAR_DUPLICATES) or () if part == 1 else ()
    copies = {copy.id for copy in group.documents} if group else set()
    return view.page(
        "document.html",
        here=here,
        origin=kept,
        place={"q": place.query, "order": place.order, "id": document.id, "fold": None if place.fold else 0} if place.order else None,
        neighbours=place.find_neighbours(index, document.id),
        own_marks=view.marks([document.id]).get(document.id),
        tags=[one.tag for one in Marks(context.engine, view.user).list_tags()[:MAX_TAGS]],
        lead_caption=find_caption(document),
        highlight=index.highlighter(query, document.language).mark,
        document=document,
        reextracted=Reextractions(context.engine).find_replacement(document) if part == 1 else None,
        lead=find_lead(document),
        blocks=parts[part - 1] if parts else (),
        updates=document.live_updates[:MAX_UPDATES] if part == 1 and here == "text" else (),
        fields=list(list_fields(document)) if part == 1 else (),
        images=document.images[:MAX_IMAGES] if part == 1 else (),
        story=Stories(context.engine).of_documents([document.id]).get(document.id),
        group=group if group and group.total > 1 else None,
        near_duplicates=[one for one in near if one.id not in copies],
        earlier=params({"part": part - 1, **kept}) if part > 1 else None,
        later=params({"part": part + 1, **kept}) if part < len(parts) else None,
    )


@router.get("/{document_id}/explain")
def show_explanation(request: Request, document_id: str, show: str = "all", part: int = 1) -> Response:
    """The blocks of the page in order, kept or removed, with layer and reason. The archived page is extracted again."""
    view, document = PageView(request), get_document(request, document_id)
    try:
        result = reextract_page(request, document)
    except (NewsmillError, ValueError) as error:
        status = 503 if isinstance(error, ServiceError) else 404
        return view.page("explain.html", status, here="explain", document=document, problem=str(error))
    show = show if show in ("kept", "removed") else "all"
    blocks = [(page, block) for page, block in result.list_blocks() if show == "all" or block.kept == (show == "kept")]
    parts = group_by_size(
        blocks, lambda pair: min(len(pair[1].text), MAX_BLOCK_CHARACTERS) + BLOCK_MARKUP_CHARACTERS, MAX_EXPLANATION_CHARACTERS
    )
    last = max(1, len(parts))
    part = min(max(part, 1), last)
    query = "" if show == "all" else f"&show={show}"
    return view.page(
        "explain.html",
        here="explain",
        document=document,
        problem=None,
        show=show,
        runs=list_runs(parts[part - 1]) if parts else (),
        min_run=MIN_RUN_BLOCKS,
        kept=sum(block.kept for block in result.blocks),
        total=len(result.blocks),
        layers=Counter(block.layer or "trafilatura" for block in result.blocks if not block.kept).most_common(),
        changed=result.document is not None and result.document.content_hash != document.content_hash,
        max_characters=MAX_BLOCK_CHARACTERS,
        earlier=f"?part={part - 1}{query}" if part > 1 else None,
        later=f"?part={part + 1}{query}" if part < last else None,
    )


def get_document(request: Request, document_id: str) -> Document:
    """The document with that ID. Raises HTTPException 404."""
    document: Document | None = request.app.state.context.documents.get(document_id) if document_id.isalnum() else None
    if document is None:
        raise HTTPException(404, Sentence("document {id} does not exist", id=repr(document_id[:64])))
    return document


def reextract_page(request: Request, document: Document) -> ExtractionResult:
    """Extract the archived page again. Raises NewsmillError when the page cannot be read, HTTPException 503 when too many requests wait."""
    context: AppContext = request.app.state.context
    trace = context.ledger.traces.get(document.requested_url) or context.ledger.traces.get(document.url)
    if trace is None:
        raise NewsmillError(Sentence("{url}: the archive does not contain this page", url=document.url))
    result: ExtractionResult = from_thread.run(
        request.app.state.extraction_executor.run, reextract.explain, context.ledger, context.archive, context.profiles, trace
    )
    return result


def join_lists(blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks, with consecutive list items joined to one list."""
    items: list[Block] = []
    for block in blocks:
        if items and (block.type != "list" or block.path != items[0].path):
            yield _join_items(items)
            items = []
        if block.type == "list":
            items.append(block)
        else:
            yield block
    if items:
        yield _join_items(items)


def _join_items(items: Sequence[Block]) -> Block:
    return Block(items[0].type, "\n".join(item.text for item in items), path=items[0].path)


def list_runs(blocks: Sequence[tuple[str | None, Block]]) -> Iterator[tuple[str | None, list[Block]]]:
    """The blocks in order, each with the URL of its page, in groups of neighbours.

    A group was removed from one page by one layer for one reason; a kept block is a group of its own."""
    for (page, removal), group in groupby(blocks, key=lambda pair: (pair[0], None if pair[1].kept else (pair[1].layer, pair[1].reason))):
        if removal is None:
            yield from ((page, [block]) for _, block in group)
        else:
            yield page, [block for _, block in group]


def split_text(blocks: Iterator[Block]) -> list[list[Block]]:
    """The blocks in parts of at most MAX_PART_BYTES. A longer block is cut too."""
    step = MAX_PART_BYTES // 3  # characters; most scripts need at most three bytes a character
    pieces = (Block(block.type, block.text[start : start + step]) for block in blocks for start in range(0, max(1, len(block.text)), step))
    return group_by_size(pieces, lambda block: len(block.text.encode("utf-8", "replace")), MAX_PART_BYTES)


def group_by_size(items: Iterable[T], size: Callable[[T], int], max_size: int) -> list[list[T]]:
    """The items in order, in groups whose sizes add up to at most `max_size`; a larger item gets its own group."""
    groups: list[list[T]] = []
    left = 0
    for item in items:
        left -= size(item)
        if left < 0 or not groups:
            groups.append([])
            left = max_size - size(item)
        groups[-1].append(item)
    return groups


def find_lead(document: Document) -> str | None:
    """The description, unless the text begins with the same words."""
    description, text = (" ".join(part.split()) for part in (document.description or "", document.text[: 2 * MAX_LEAD_CHARACTERS]))
    is_repeated = text.startswith(description[:MAX_LEAD_CHARACTERS].rstrip("….")) if description else True
    return None if is_repeated else description


def find_caption(document: Document) -> str | None:
    """Caption and credit of the main image."""
    found = next((image for image in document.images if image.url == document.image), None)
    return " · ".join(filter(None, (found.caption, found.credit))) or None if found else None


def list_fields(document: Document) -> Iterator[FieldValue]:
    """The fields that have a value, with their origins."""
    for field in FIELDS:
        name, value = field.name, getattr(document, field.name)
        if value is None or value in ((), {}, "") or (name in SAME_AS_URL and value == document.url):
            continue
        origin = document.is_free_reason if name == "is_free" else document.provenance.get(name)
        if isinstance(value, datetime):
            yield FieldValue(name, field.type, (value.isoformat(),), origin, at=value)
        else:
            values = value if name == "warnings" else _format_value(value)
            is_broken = field.type is FieldType.URL and link(value) is None
            yield FieldValue(name, FieldType.TEXT if is_broken else field.type, tuple(values), origin)


def _format_value(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [", ".join(getattr(item, "name", None) or str(item) for item in value)]
    if isinstance(value, dict):
        return [f"{key}: {item}" for key, item in list(value.items())[:MAX_MAPPING_ITEMS]]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    return [f"{value:.2f}" if isinstance(value, float) else str(value)]

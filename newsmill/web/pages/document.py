"""A document to read, the view that explains it, and its archived page behind bars."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from anyio import from_thread
from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from newsmill import reextract
from newsmill.context import AppContext
from newsmill.exceptions import ArchiveDamaged, DecodeError, NewsmillError, ServiceError
from newsmill.model import Block, Document, ExtractionResult, LiveUpdate, Page
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages.rendering import PageView, link

MAX_PART_BYTES = 45_000  # characters of text on one page: with markup and three bytes a letter in many scripts still about 100 KB at most
MAX_EXPLANATION_CHARACTERS = 40_000  # characters of blocks on one page of the explanation; each has 250 of markup besides
BLOCK_MARKUP_CHARACTERS = 250
MAX_BLOCK_CHARACTERS = 400  # characters shown of a block there
MAX_LEAD_CHARACTERS = 600  # characters shown of a description
MAX_UPDATES = 60  # entries of a live blog
MAX_COPIES = 10  # documents with nearly the same text
FIELDS = (
    "url", "canonical_url", "requested_url", "site_name", "source", "authors", "published_at", "modified_at", "first_seen_at", "fetched_at",
    "language", "section", "tags", "article_type", "title", "description", "image", "is_free", "license", "rights",
    "word_count", "confidence", "warnings", "extractor", "profile_version", "revision", "archive_ref", "content_hash", "id",
)  # fmt: skip
URL_FIELDS = ("url", "canonical_url", "requested_url", "image")
SAME_AS_URL = ("canonical_url", "requested_url")  # not said again where they are
# The archived page may show what it holds, and nothing else: no script, no network, no form, no window.
ARCHIVED_PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
# What the policy does not reach: connections made ahead (link rel=preconnect, dns-prefetch), and addresses resolved against another host.
_PRECONNECTING_TAG = re.compile(r"<(/?)(link|meta|base)(?=[\s/>])", re.IGNORECASE)

T = TypeVar("T")

router = APIRouter(prefix="/documents", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One field of a document for its table. `origin`: where the page said it."""

    name: str
    values: tuple[str, ...]
    origin: str | None = None
    at: datetime | None = None
    is_address: bool = False


@router.get("/{document_id}")
def show_text(request: Request, document_id: str, part: int = 1) -> Response:
    """The text, and every field with where it came from."""
    document = get_document(request, document_id)
    return render_text(request, document, document.blocks, part, "text")


@router.get("/{document_id}/updates")
def show_text_with_updates(request: Request, document_id: str, part: int = 1) -> Response:
    """The same, with the updates of a live blog in the text."""
    document = get_document(request, document_id)
    return render_text(request, document, document.with_updates().blocks, part, "updates")


def render_text(request: Request, document: Document, shown: Sequence[Block], part: int, here: str) -> Response:
    """One part of a document's text, with its facts beside the first."""
    view, parts = PageView(request), split_text(join_lists(shown))
    at = min(max(part, 1), max(1, len(parts)))
    return view.page(
        "document.html",
        here=here,
        document=document,
        lead=find_lead(document),
        blocks=parts[at - 1] if parts else (),
        updates=newest_updates(document) if at == 1 and here == "text" else (),
        facts=list(list_fields(document)) if at == 1 else (),
        images=document.images[:20] if at == 1 else (),
        copies=request.app.state.context.near_duplicates.of(document.id, limit=MAX_COPIES) or () if at == 1 else (),
        earlier=f"?part={at - 1}" if at > 1 else None,
        later=f"?part={at + 1}" if at < len(parts) else None,
    )


@router.get("/{document_id}/explain")
def show_explanation(request: Request, document_id: str, show: str = "all", part: int = 1) -> Response:
    """Every block of the page in order, kept or removed, with the layer and the reason: the page is read again for it."""
    view, document = PageView(request), get_document(request, document_id)
    try:
        reading = reextract_page(request, document)
    except (NewsmillError, ValueError) as error:
        return view.page("explain.html", _status(error), here="explain", document=document, problem=str(error))
    show = show if show in ("kept", "removed") else "all"
    wanted = [block for block in reading.blocks if show == "all" or block.kept == (show == "kept")]
    parts = group_by_size(
        wanted, lambda block: min(len(block.text), MAX_BLOCK_CHARACTERS) + BLOCK_MARKUP_CHARACTERS, MAX_EXPLANATION_CHARACTERS
    )
    last = max(1, len(parts))
    at = min(max(part, 1), last)
    kept = sum(block.kept for block in reading.blocks)
    turn = "" if show == "all" else f"&show={show}"
    return view.page(
        "explain.html",
        here="explain",
        document=document,
        problem=None,
        show=show,
        blocks=parts[at - 1] if parts else (),
        kept=kept,
        total=len(reading.blocks),
        layers=Counter(block.layer or "trafilatura" for block in reading.blocks if not block.kept).most_common(),
        changed=reading.document is not None and reading.document.content_hash != document.content_hash,
        most=MAX_BLOCK_CHARACTERS,
        earlier=f"?part={at - 1}{turn}" if at > 1 else None,
        later=f"?part={at + 1}{turn}" if at < last else None,
    )


@router.get("/{document_id}/page")
def show_archived_page(request: Request, document_id: str) -> Response:
    """The archived page in a frame."""
    view, document = PageView(request), get_document(request, document_id)
    problem = None
    try:
        read_archived_page(request.app.state.context, document)
    except (ArchiveDamaged, NewsmillError) as error:
        problem = str(error)
    return view.page("archived.html", 200 if problem is None else 404, here="page", document=document, problem=problem)


@router.get("/{document_id}/archived")
def get_archived_html(request: Request, document_id: str) -> Response:
    """The archived page itself, as it was fetched but for its charset, behind a policy that lets it do nothing."""
    document = get_document(request, document_id)
    try:
        html = decode_page(read_archived_page(request.app.state.context, document))
    except (ArchiveDamaged, DecodeError) as error:
        raise HTTPException(404, str(error)) from None
    headers = {
        "Content-Security-Policy": ARCHIVED_PAGE_POLICY,
        "X-Frame-Options": "SAMEORIGIN",
        "X-DNS-Prefetch-Control": "off",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Response(disable_preconnects(html).encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)


def disable_preconnects(html: str) -> str:
    """The page without the elements that reach out ahead of any policy; their names are made unknown ones, nothing is parsed.

    >>> caged('<LINK rel=preconnect href=//x><p>text')
    '<x-LINK rel=preconnect href=//x><p>text'
    """
    return _PRECONNECTING_TAG.sub(r"<\1x-\2", html)


def get_document(request: Request, document_id: str) -> Document:
    """The document of that id. Raises HTTPException 404."""
    document: Document | None = request.app.state.context.documents.get(document_id) if document_id.isalnum() else None
    if document is None:
        raise HTTPException(404, "no document has this id")
    return document


def reextract_page(request: Request, document: Document) -> ExtractionResult:
    """The page's blocks, when it is its turn. Raises NewsmillError when it cannot be read, HTTPException 503 when too many wait."""
    context: AppContext = request.app.state.context
    trace = context.ledger.trace(document.requested_url) or context.ledger.trace(document.url)
    if trace is None:
        raise NewsmillError(f"no page of {document.url} is archived")
    reading: ExtractionResult = from_thread.run(
        request.app.state.rereader.run, reextract.explain, context.ledger, context.archive, context.profiles, trace
    )
    return reading


def read_archived_page(context: AppContext, document: Document) -> Page:
    """Raises ArchiveDamaged."""
    segment, mark, offset = (document.archive_ref or "").partition("@")
    if not mark or not offset.isdecimal():
        raise ArchiveDamaged(f"no page of {document.url} is archived")
    return context.archive.read_page(segment, int(offset))


def decode_page(page: Page) -> str:
    """A page's HTML as text, decompressed under the caps of read/. Raises DecodeError."""
    from newsmill.charset import to_text  # brings the tables of the encodings: only who looks at a page pays for them
    from newsmill.extraction.decode import decode_body

    return to_text(decode_body(page.header("Content-Encoding"), page.body), page.header("Content-Type"))[0]


def _status(error: Exception) -> int:
    return 503 if isinstance(error, ServiceError) else 404


def join_lists(blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks, list items that stand one by one joined to one list."""
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


def split_text(blocks: Iterator[Block]) -> list[list[Block]]:
    """The text cut between blocks into parts of about PART bytes; a block that is longer is cut as well."""
    step = MAX_PART_BYTES // 3
    cut = (Block(block.type, block.text[at : at + step]) for block in blocks for at in range(0, max(1, len(block.text)), step))
    return group_by_size(cut, lambda block: len(block.text.encode("utf-8", "replace")), MAX_PART_BYTES)


def group_by_size(items: Iterable[T], size: Callable[[T], int], most: int) -> list[list[T]]:
    """The items in order, in groups whose sizes add up to `most` or less; an item that is larger has a group of its own."""
    groups: list[list[T]] = []
    left = 0
    for item in items:
        left -= size(item)
        if left < 0 or not groups:
            groups.append([])
            left = most - size(item)
        groups[-1].append(item)
    return groups


def find_lead(document: Document) -> str | None:
    """The description, unless the text begins with the same words."""
    said, text = (" ".join(part.split()) for part in (document.description or "", document.text[: 2 * MAX_LEAD_CHARACTERS]))
    return None if not said or text.startswith(said[:MAX_LEAD_CHARACTERS].rstrip("….")) else said


def newest_updates(document: Document) -> tuple[LiveUpdate, ...]:
    """The newest entries of a live blog, which its text holds as well."""
    return document.live_updates[:MAX_UPDATES]


def list_fields(document: Document) -> Iterator[FieldValue]:
    """Every field that is known, with its provenance."""
    for name in FIELDS:
        value = getattr(document, name)
        if value is None or value in ((), {}, "") or (name in SAME_AS_URL and value == document.url):
            continue
        origin = document.is_free_reason if name == "is_free" else document.provenance.get(name)
        if isinstance(value, datetime):
            yield FieldValue(name, (value.isoformat(),), origin, at=value)
        else:
            yield FieldValue(name, tuple(_format_value(value)), origin, is_address=name in URL_FIELDS and link(value) is not None)


def _format_value(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [", ".join(getattr(item, "name", None) or str(item) for item in value)]
    if isinstance(value, dict):
        return [f"{name}: {said}" for name, said in list(value.items())[:12]]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    return [f"{value:.2f}" if isinstance(value, float) else str(value)]

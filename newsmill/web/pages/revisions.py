"""The revisions of a document: the list, and what one changed, with the words removed and added; and how two documents differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from markupsafe import escape
from starlette.exceptions import HTTPException

from newsmill.model import Document, LiveUpdate, Revision, RevisionSummary
from newsmill.similarity.revision_comparison import (
    SEPARATOR,
    ChangeKind,
    ParagraphChange,
    Piece,
    compare_texts,
    compare_words,
    list_changed_fields,
)
from newsmill.storage.revisions import Revisions, find_cause
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.pages.document import get_document, group_by_size
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.template_filters import params

MAX_PART_CHARACTERS = 55_000  # of paragraphs with their markup on one page; a page stays below 100 KB
PIECE_MARKUP_CHARACTERS = 11  # <ins></ins>
PARAGRAPH_MARKUP_CHARACTERS = 40
MAX_PIECE_CHARACTERS = 8_000  # a longer piece is cut; most scripts need at most three bytes a character
MAX_LINE_CHARACTERS = 2_000  # of title, description and authors
MAX_COMPARED_CHARACTERS = 1_000_000  # of a text: a comparison takes at most a second
MIN_FOLDED = 3  # unchanged paragraphs in a row, beside the ones next to a change, that are folded

router = APIRouter(prefix="/documents", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])

Number = Annotated[int | None, Query()]


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring paragraphs. `is_folded`: the reader opens them."""

    paragraphs: Sequence[ParagraphChange]
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """The paragraphs of one field on a page."""

    field: str
    runs: Sequence[Run]


@router.get("/{document_id}/revisions")
def show_revisions(request: Request, document_id: str, old: Number = None, new: Number = None, part: int = 1) -> Response:
    """The list of revisions; with `new`, what that revision changed against `old` (default: the kept one before it), or its text if both
    are the same. Raises HTTPException 404."""
    view, document = PageView(request), get_document(request, document_id)
    store = Revisions(request.app.state.context.engine)
    listed = store.list(document.id) or ()
    if new is None:
        return view.page("revisions.html", here="revisions", document=document, listed=listed, missing=document.revision - len(listed))
    first, second = find_compared(store, document.id, listed, old, new)
    parts = group_by_size(list_paragraphs(first, second), lambda item: measure(item[1]), MAX_PART_CHARACTERS)
    last = max(1, len(parts))
    part = min(max(part, 1), last)
    query = {"old": first.revision, "new": second.revision}
    return view.page(
        "revision.html",
        here="revisions",
        document=document,
        listed=listed,
        old=first,
        new=second,
        is_single=second.revision == first.revision,
        cause=find_cause(first, second) if second.revision != first.revision else None,
        changed=list_changed_fields(first, second),
        is_cut=first.text != second.text and max(len(first.text), len(second.text)) > MAX_COMPARED_CHARACTERS,
        sections=list(list_sections(parts[part - 1])) if parts else (),
        earlier=params({**query, "part": part - 1}) if part > 1 else None,
        later=params({**query, "part": part + 1}) if part < last else None,
    )


@router.get("/{document_id}/differences/{other_id}")
def show_differences(request: Request, document_id: str, other_id: str, part: int = 1) -> Response:
    """What the text of a document adds to another document's, and what it leaves out. Raises HTTPException 404."""
    view, document, other = PageView(request), get_document(request, document_id), get_document(request, other_id)
    parts = group_by_size(list_paragraphs(other, document), lambda item: measure(item[1]), MAX_PART_CHARACTERS)
    last = max(1, len(parts))
    part = min(max(part, 1), last)
    return view.page(
        "differences.html",
        here="differences",
        document=document,
        other=other,
        is_single=False,
        changed=(other.title, other.description, other.authors, other.text)
        != (document.title, document.description, document.authors, document.text),
        is_cut=other.text != document.text and max(len(other.text), len(document.text)) > MAX_COMPARED_CHARACTERS,
        sections=list(list_sections(parts[part - 1])) if parts else (),
        earlier=params({"part": part - 1}) if part > 1 else None,
        later=params({"part": part + 1}) if part < last else None,
    )


def find_compared(
    store: Revisions, document_id: str, listed: Sequence[RevisionSummary], old: int | None, new: int
) -> tuple[Revision, Revision]:
    """The two revisions, the older one first. Raises HTTPException 404 for one that is not kept."""
    if old is None:
        old = next((one.previous or new for one in listed if one.revision == new), new)
    found = []
    for number in sorted((old, new)):
        revision = store.get(document_id, number)
        if revision is None:
            raise HTTPException(404, Sentence("revision {n} of document {id} is not kept", n=number, id=repr(document_id)))
        found.append(revision)
    return found[0], found[1]


def list_paragraphs(old: Revision | Document, new: Revision | Document) -> Iterator[tuple[str, ParagraphChange]]:
    """The fields that differ, and always the text: (name, paragraph) in the order of a page."""
    lines = {
        "title": (old.title or "", new.title or ""),
        "description": (old.description or "", new.description or ""),
        "authors": (", ".join(one.name for one in old.authors), ", ".join(one.name for one in new.authors)),
    }
    for name, (before, after) in lines.items():
        if before != after:
            pieces = compare_words(before[:MAX_LINE_CHARACTERS], after[:MAX_LINE_CHARACTERS])
            yield from ((name, change) for change in cut(ParagraphChange(ChangeKind.CHANGED, pieces)))
    texts = {"text": (old.text, new.text)}
    if old.live_updates != new.live_updates:
        texts["live_updates"] = (join_updates(old.live_updates), join_updates(new.live_updates))
    for name, (before, after) in texts.items():
        if before != after:
            before, after = before[:MAX_COMPARED_CHARACTERS], after[:MAX_COMPARED_CHARACTERS]
        yield from ((name, change) for whole in compare_texts(before, after) for change in cut(whole))


def join_updates(updates: Iterable[LiveUpdate]) -> str:
    """The updates of a live blog as paragraphs."""
    return SEPARATOR.join(part for update in updates for part in (update.title, update.text) if part)


def cut(change: ParagraphChange) -> Iterator[ParagraphChange]:
    """The paragraph, or several if it is larger than a page. Those without text are left out."""
    step = MAX_PIECE_CHARACTERS
    pieces = [Piece(one.kind, one.text[start : start + step]) for one in change.pieces for start in range(0, len(one.text), step)]
    for group in group_by_size(pieces, measure_piece, MAX_PART_CHARACTERS):
        yield ParagraphChange(change.kind, tuple(group))


def measure(change: ParagraphChange) -> int:
    """The bytes of a paragraph on a page."""
    return PARAGRAPH_MARKUP_CHARACTERS + sum(map(measure_piece, change.pieces))


def measure_piece(piece: Piece) -> int:
    """The bytes of a piece on a page."""
    return PIECE_MARKUP_CHARACTERS + len(escape(piece.text).encode("utf-8", "replace"))


def list_sections(items: Iterable[tuple[str, ParagraphChange]]) -> Iterator[Section]:
    """The fields of one page, with long runs of unchanged paragraphs folded."""
    for field, group in groupby(items, key=lambda item: item[0]):
        paragraphs = [change for _, change in group]
        is_changed = any(change.kind is not ChangeKind.KEPT for change in paragraphs)
        yield Section(field, list(list_runs(paragraphs)) if is_changed else [Run(paragraphs)])


def list_runs(paragraphs: Sequence[ParagraphChange]) -> Iterator[Run]:
    """The paragraphs in order. Of many unchanged ones, the first and the last are beside a change and stay open."""
    for is_kept, group in groupby(paragraphs, key=lambda change: change.kind is ChangeKind.KEPT):
        run = list(group)
        if not is_kept or len(run) < MIN_FOLDED + 2:
            yield Run(run)
        else:
            yield Run(run[:1])
            yield Run(run[1:-1], is_folded=True)
            yield Run(run[-1:])

"""Marks of the user who asks. They change no document, so every token may set its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from newsmill.storage.marks import MAX_CHANGED, MAX_NOTE_CHARACTERS, MAX_TAG_CHARACTERS, MAX_TAGS, MarkChange, Marks, TagCount
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, ItemList, QueryText, User, complete_list

marks_router = APIRouter(tags=["marks"], dependencies=[Depends(require_scope(Scope.READ))])
DocumentId = Annotated[QueryText, Field(max_length=64)]
Tag = Annotated[QueryText, Field(max_length=MAX_TAG_CHARACTERS)]


class MarkedId(BaseModel):
    """The marks of one document."""

    id: str
    starred: bool
    read: bool
    tags: tuple[str, ...]
    note: str | None


class MarkRequest(BaseModel):
    """A change of the marks of some documents. What is absent or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    ids: list[DocumentId] = Field(min_length=1, max_length=MAX_CHANGED)
    starred: bool | None = None
    read: bool | None = None
    add_tags: list[Tag] = Field(default=[], max_length=MAX_TAGS)
    remove_tags: list[Tag] = Field(default=[], max_length=MAX_TAGS)
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARACTERS)] | None = Field(default=None, description='"" removes the note.')


class MarkResponse(BaseModel):
    """The result of a change."""

    documents: int = Field(description="The number of documents that were changed; unknown ids are ignored.")


@marks_router.get("/marks")
def list_marks(
    context: Context, user: User, id: Annotated[list[DocumentId], Query(max_length=MAX_CHANGED, description="IDs of documents.")]
) -> ItemList[MarkedId]:
    """List the marks of documents. Documents without a mark are left out."""
    found = Marks(context.engine, user).get(id)
    return complete_list(
        MarkedId(id=key, starred=marks.starred, read=marks.read, tags=marks.tags, note=marks.note) for key, marks in found.items()
    )


@marks_router.post("/marks")
def change_marks(context: Context, user: User, request: MarkRequest) -> MarkResponse:
    """Star documents, mark them as read, give them tags or a note, or undo that."""
    change = MarkChange(
        starred=request.starred,
        read=request.read,
        add_tags=tuple(request.add_tags),
        remove_tags=tuple(request.remove_tags),
        note=request.note,
    )
    return MarkResponse(documents=Marks(context.engine, user).change(request.ids, change, now=context.now()))


@marks_router.get("/tags")
def list_tags(context: Context, user: User) -> ItemList[TagCount]:
    """List the user's tags with the number of documents, the most frequent first; at most 200."""
    return complete_list(Marks(context.engine, user).list_tags())
